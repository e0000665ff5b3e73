"""Make the videos of a shard with one loaded model; those that are there with the same request are left alone."""

from start import start

start(snakemake)

from pathlib import Path

from eval.files import write_json
from miga import models
from miga.experiment.lease import lease_gpu
from miga.experiment.run import Job, load_texts, run_shard

params, wildcards = snakemake.params, snakemake.wildcards
jobs = [
    Job(
        suite=params.suite,
        base=wildcards.base,
        entry=wildcards.entry,
        label=params.entry["label"],
        method=params.entry["method"],
        params=params.entry["params"],
        prompt_id=prompt_id,
        prompt=prompt,
        seed=seed,
        frames=params.frames,
        encoder=params.encoder,
        video=Path(snakemake.output[0]).parent.joinpath(prompt_id, f"seed-{seed}.mp4"),
    )
    for prompt_id, prompt, seed in params.videos
]
with lease_gpu():
    model = models.load(params.base["model"], **params.base["params"])
    run_shard(jobs, model, load_texts(Path(snakemake.input.texts), {job.prompt_id for job in jobs}))
write_json(Path(snakemake.output[0]), [str(job.video) for job in jobs])
