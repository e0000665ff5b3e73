"""Take a shard of videos that others made into the results."""

from start import start

start(snakemake)

from pathlib import Path

from eval.parsing import parse
from eval.records import place, write_shard
from miga.experiment.given import take
from miga.experiment.suite import Given

params, wildcards, output = snakemake.params, snakemake.wildcards, Path(snakemake.output[0])
suite, given, videos = output.parents[2], parse(Given, params.entry, wildcards.entry), []
for (prompt_id, prompt, seed), source in zip(params.videos, snakemake.input, strict=True):
    videos.append(suite / place(wildcards.base, wildcards.entry, prompt_id, seed))
    about = dict(base=wildcards.base, entry=wildcards.entry, prompt_id=prompt_id, prompt=prompt, seed=seed)
    take(Path(source), videos[-1], dict(suite=params.suite, **about), given)
write_shard(videos, output)
