"""The prompts of the suite, by set, as one file."""

from start import start

start(snakemake)

from pathlib import Path

from eval.files import write_json

for prompts in snakemake.params.prompts.values():
    for prompt in prompts:
        if prompt["prompt"] is None:
            raise ValueError(f"the prompt {prompt['id']} is not here yet: run `snakemake fetch`")
write_json(Path(snakemake.output[0]), dict(snakemake.params.prompts))
