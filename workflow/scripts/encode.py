"""Encode all prompts of the suite with one base model."""

from start import start

start(snakemake)

import json
from pathlib import Path

from miga import models
from miga.experiment.texts import names_of, save

sets = json.loads(Path(snakemake.input.prompts).read_text())
prompts = {
    name: text
    for chosen in sets.values()
    for prompt in chosen
    for name, text in zip(names_of(prompt["id"], prompt["then"]), (prompt["prompt"], *prompt["then"]), strict=True)
}
base = snakemake.params.base
model = models.load(base["model"], **base["params"])
texts = model.encode(list(prompts.values()))
save(Path(snakemake.output[0]), dict(zip(prompts, texts, strict=True)))
