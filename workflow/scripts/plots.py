"""The plots of the main comparison."""

from start import start

start(snakemake)

from pathlib import Path

from chosen import benchmarks

from eval import plots, records, scores

params = snakemake.params
table, facts = scores.read(snakemake.input.scores), records.read(snakemake.input.videos)
((benchmark, settings),) = benchmarks(params.benchmarks)
table, columns = benchmark.own(table, settings), benchmark.columns(settings)
for name in params.names:
    getattr(plots, name)(table, facts, Path(snakemake.output[0]).with_name(name), params.entries, columns)
