"""Make the videos of a shard with one loaded model; those that are there with the same request are left alone."""

from start import start

start(snakemake)

from pathlib import Path

from eval.records import place, write_shard
from miga import models
from miga.experiment.job import Job
from miga.experiment.run import run_shard
from miga.experiment.texts import load, names_of

params, wildcards, output = snakemake.params, snakemake.wildcards, Path(snakemake.output[0])
suite = output.parents[2]
jobs = [
    Job(
        suite=params.suite,
        base=wildcards.base,
        entry=wildcards.entry,
        method=params.entry["method"],
        params=params.entry["params"],
        prompt_id=prompt_id,
        prompt=prompt,
        then=params.then.get(prompt_id, ()),
        seed=seed,
        frames=params.frames,
        encoder=params.encoder,
        video=suite / place(wildcards.base, wildcards.entry, prompt_id, seed),
    )
    for prompt_id, prompt, seed in params.videos
]
model = models.load(params.base["model"], **params.base["params"])
names = {name for job in jobs for name in names_of(job.prompt_id, job.then)}
run_shard(jobs, model, load(snakemake.input.texts, names))
write_shard([job.video for job in jobs], output)
