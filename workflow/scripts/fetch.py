"""Download what the suite needs and this machine lacks. What is downloaded is said here and in the log."""

import sys
from pathlib import Path

from eval.narrlv.suite import fetch as fetch_stories
from eval.vbench import weights
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
        if params.backbones == "vbench":
            weights.fetch(weights.FILES, say=say)
        for folder in params.stories:
            say(f"{len(fetch_stories(Path(folder)))} files of NarrLV are in {folder}")
    except ValueError as error:
        say(str(error))
        sys.exit(1)
