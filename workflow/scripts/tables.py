"""The tables of the benchmarks, the paired differences to the reference entry, and the costs."""

from start import start

start(snakemake)

from pathlib import Path

from chosen import benchmarks

from eval import records, scores, tables
from eval.benchmark import Sheet

params, folder = snakemake.params, Path(snakemake.output[0]).parent
table, facts = scores.read(snakemake.input.scores), records.read(snakemake.input.videos)
common = dict(entries=params.entries, resamples=params.resamples)
printed = tables.paper_numbers(snakemake.input.paper[0]) if snakemake.input.paper else {}
sheet = Sheet(params.title, params.note, printed=printed, **common)

chosen = list(benchmarks(params.benchmarks))
found = [make(table, facts, sheet) for one, settings in chosen for make in one.tables(settings).values()]
if params.reference:
    main, settings = chosen[0]
    own, title = main.own(table, settings), f"{params.title}: paired differences"
    columns = main.board(settings)
    found.append(
        tables.differences("differences", title, own, facts, params.reference, columns, notes=[params.note], **common)
    )
found.append(tables.cost(facts, notes=[params.note], **common))
for one in found:
    tables.write(one, folder)
