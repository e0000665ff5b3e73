"""Encode some prompts of the suite with one base model."""

from start import start

start(snakemake)

from pathlib import Path

from miga import models
from miga.experiment.texts import save

base, prompts = snakemake.params.base, dict(snakemake.params.prompts)
if absent := [id for id, prompt in prompts.items() if prompt is None]:
    raise ValueError(f"the prompt {absent[0]} is not here yet: run `snakemake fetch`")
model = models.load(base["model"], **base["params"])
texts = model.encode(list(prompts.values()))
save(Path(snakemake.output[0]), dict(zip(prompts, texts, strict=True)))
