"""The report page."""

from start import start

start(snakemake)

from pathlib import Path

from eval import report

params = snakemake.params
report.write(Path(snakemake.input.scores).parent, params.title, params.note, params.entries, params.tables)
