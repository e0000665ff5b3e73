"""Encode some prompts of the suite with one base model."""

from start import start

start(snakemake)

from pathlib import Path

from miga import models
from miga.experiment.texts import names_of, save

base, prompts = snakemake.params.base, {}
for id, wanted in snakemake.params.prompts.items():
    if None in wanted:
        raise ValueError(f"the prompt {id} is not here yet: run `snakemake fetch`")
    prompts |= zip(names_of(id, wanted[1:]), wanted, strict=True)
model = models.load(base["model"], **base["params"])
texts = model.encode(list(prompts.values()))
save(Path(snakemake.output[0]), dict(zip(prompts, texts, strict=True)))
