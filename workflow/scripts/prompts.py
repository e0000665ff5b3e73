"""The prompts of the suite, by set, as one file."""

from start import start

start(snakemake)

from pathlib import Path

from eval.files import write_json

write_json(Path(snakemake.output[0]), dict(snakemake.params.prompts))
