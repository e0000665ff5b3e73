"""Table and plot of one ablation."""

from start import start

start(snakemake)

from pathlib import Path

from shards import facts_of

from eval import plots, scores, tables

params = snakemake.params
table = tables.comparison(
    snakemake.wildcards.table,
    f"{params.suite}: {params.ablation['title']}",
    scores.read(snakemake.input.scores),
    facts_of(snakemake.input.manifests),
    entries=list(params.ablation["rows"]),
    words=params.ablation["rows"],
    heading="Setting",
    notes=[params.note],
    resamples=params.resamples,
)
if snakemake.input.paper and table.name == "ablation":  # Table 3
    table = tables.with_paper(table, tables.paper_numbers(snakemake.input.paper[0], "ablation"))
tables.write(table, Path(snakemake.output.tables[0]).parent)
plots.ablation(table, snakemake.output.plots[0])
