"""Table and plot of one ablation."""

from start import start

start(snakemake)

from pathlib import Path

from chosen import benchmarks
from shards import facts_of

from eval import plots, scores, tables
from eval.parsing import known

params = snakemake.params
((benchmark, settings),) = benchmarks(params.benchmarks)
table = tables.comparison(
    snakemake.wildcards.table,
    f"{params.suite}: {params.ablation['title']}",
    benchmark.own(scores.read(snakemake.input.scores), settings),
    facts_of(snakemake.input.manifests, params.named),
    benchmark.columns(settings),
    entries=list(params.ablation["rows"]),
    words=params.ablation["rows"],
    heading="Setting",
    notes=[params.note],
    resamples=params.resamples,
)
if snakemake.input.paper and params.ablation["paper"]:
    printed = tables.paper_numbers(snakemake.input.paper[0])
    known(params.ablation["paper"], printed, f"table in {snakemake.input.paper[0]}:")
    table = tables.with_paper(table, printed[params.ablation["paper"]])
tables.write(table, Path(snakemake.output.tables[0]).parent)
plots.ablation(table, snakemake.output.plots[0])
