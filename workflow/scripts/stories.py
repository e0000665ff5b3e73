"""Table 2 of the paper for this suite, with the paper's numbers beside ours where the suite is the paper's."""

from start import start

start(snakemake)

from pathlib import Path

from shards import facts_of

from eval import scores, tables
from eval.narrlv.table import table2

params, paper = snakemake.params, snakemake.input.paper
made = table2(
    scores.read(snakemake.input.scores),
    facts_of(snakemake.input.manifests),
    entries=params.entries,
    paper=tables.paper_numbers(paper[0], "narrlv") if paper else None,
    title=params.title,
    notes=params.notes,
    resamples=params.resamples,
)
tables.write(made, Path(snakemake.output[0]).parent)
