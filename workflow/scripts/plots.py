"""The plots of the main comparison."""

from start import start

start(snakemake)

from pathlib import Path

from shards import facts_of

from eval import plots, scores

params = snakemake.params
table, facts = scores.read(snakemake.input.scores), facts_of(snakemake.input.manifests)
for name in params.names:
    getattr(plots, name)(table, facts, Path(snakemake.output[0]).with_name(name), params.entries)
