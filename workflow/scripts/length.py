"""Model calls, seconds per frame and peak memory of one entry on one base model at one length."""

from start import start

start(snakemake, threads=1)  # as the jobs that make videos compute, though no other job runs beside

from pathlib import Path

from eval.files import write_json
from miga import models
from miga.experiment.job import configure
from miga.experiment.measure import measure

params, wildcards = snakemake.params, snakemake.wildcards
method, config = configure(params.entry["method"], params.entry["params"])
model = models.load(params.base["model"], **params.base["params"])
found = measure(model, method, config, model.encode([params.prompt]), int(wildcards.frames))
write_json(Path(snakemake.output[0]), dict(base=wildcards.base, entry=wildcards.entry, **found))
