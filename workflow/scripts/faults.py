"""The matrix of faults on videos of this suite: table and heat map."""

from start import start

start(snakemake)

from pathlib import Path

from chosen import benchmarks
from shards import videos_of

from eval import plots, sensitivity

params, folder = snakemake.params, Path(snakemake.output[0]).parent
((benchmark, settings),) = benchmarks(params.benchmarks)
videos = videos_of(snakemake.input.videos, params.prompts)[: params.videos]
found = sensitivity.matrix(benchmark.faults(videos, settings, params.strength))
sensitivity.write(sensitivity.beside_recorded(found), folder)
plots.faults(found, folder / "plots/faults")
