"""Score the videos of a shard by one benchmark: rows of the long table."""

from start import start

start(snakemake)

from pathlib import Path

from shards import videos_of

from eval import kept, scores
from eval.benchmark import BENCHMARKS, Prompt
from eval.files import file_digest
from eval.parsing import parse

params, output = snakemake.params, Path(snakemake.output[0])
benchmark = BENCHMARKS.get(snakemake.wildcards.benchmark)
prompts = {id: Prompt(**prompt) for id, prompt in params.prompts.items()}
settings = parse(benchmark.settings, params.settings, f"benchmark {benchmark.name!r}")
videos = videos_of([snakemake.input.videos], prompts)
folder, cache = output.with_suffix(""), Path(params.cache)
deciding = [params.code, params.formulas, [file_digest(path) for path in snakemake.input.weights]]
scores.write(kept.score(benchmark, videos, prompts, settings, folder, cache, deciding), output)
