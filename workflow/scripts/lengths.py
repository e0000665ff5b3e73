"""The plot of peak memory and seconds per frame against length."""

from start import start

start(snakemake)

from pathlib import Path

from eval import plots, records, scores

table, facts = scores.read(snakemake.input.scores), records.read(snakemake.input.videos)
measured = records.read_lengths(snakemake.input.measured)
plots.lengths(table, facts, Path(snakemake.output[0]).with_suffix(""), snakemake.params.entries, measured)
