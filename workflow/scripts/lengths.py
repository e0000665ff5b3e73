"""The plot of peak memory and seconds per frame against length."""

from start import start

start(snakemake)

import json
from pathlib import Path

import pandas as pd

from eval import plots, records, scores

table, facts = scores.read(snakemake.input.scores), records.read(snakemake.input.videos)
measured = pd.DataFrame([json.loads(Path(path).read_text()) for path in snakemake.input.measured])
plots.lengths(table, facts, Path(snakemake.output[0]).with_suffix(""), snakemake.params.entries, measured)
