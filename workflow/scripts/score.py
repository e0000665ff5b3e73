"""Score the videos of one entry by one benchmark: rows of the long table."""

from start import start

start(snakemake)

from pathlib import Path

from shards import videos_of

from eval import scores
from eval.benchmark import BENCHMARKS, Prompt
from eval.parsing import parse

params, output = snakemake.params, Path(snakemake.output[0])
benchmark = BENCHMARKS.get(snakemake.wildcards.benchmark)
prompts = {id: Prompt(**prompt) for id, prompt in params.prompts.items()}
settings = parse(benchmark.settings, params.settings, f"benchmark {benchmark.name!r}")
videos = videos_of(snakemake.input.videos, prompts)
folder = output.with_suffix("")
scores.write(benchmark.score(videos, prompts, settings, folder, Path(params.cache)), output)
