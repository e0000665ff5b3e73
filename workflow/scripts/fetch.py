"""Download what the suite needs and this machine lacks. What is downloaded is said here and in the log."""

import sys
from pathlib import Path

from chosen import benchmarks

from miga.experiment.needed import needed_by
from miga.models.fetch import fetch

params = snakemake.params
with open(snakemake.log[0], "w", encoding="utf-8") as log:

    def say(line: str) -> None:
        for file in (sys.stderr, log):
            print(line, file=file, flush=True)

    try:
        for name in needed_by(params.suite):
            fetch(name, say)
        for benchmark, settings in benchmarks(params.benchmarks):
            benchmark.fetch(settings, Path(params.root), say)
    except ValueError as error:
        say(str(error))
        sys.exit(1)
