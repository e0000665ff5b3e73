"""The prompts of the suite, by set, as one file."""

from start import start

start(snakemake)

from pathlib import Path

from eval.files import write_json
from miga.experiment.experiment import TO_FETCH

for prompts in snakemake.params.prompts.values():
    for prompt in prompts:
        if prompt["prompt"].startswith(TO_FETCH):
            raise ValueError(f"{prompt['id']}: {prompt['prompt']}")
write_json(Path(snakemake.output[0]), dict(snakemake.params.prompts))
