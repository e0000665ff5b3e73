"""Publish the finished suite to Weights & Biases; what could not be published is said in the output and no error."""

from start import start

start(snakemake)

from pathlib import Path

from eval import track
from eval.files import write_json

output = Path(snakemake.output[0])
status = track.publish(output.parents[1], **snakemake.params.wandb)
print(status)
write_json(output, status)
