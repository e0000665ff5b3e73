"""The tables of the benchmarks, the paired differences to the reference entry, the costs, and times against length."""

from start import start

start(snakemake)

from pathlib import Path

from chosen import benchmarks

from eval import records, scores, tables
from eval.benchmark import Sheet
from eval.contrast import contrast

params, folder = snakemake.params, Path(snakemake.output[0]).parent
table, facts = scores.read(snakemake.input.scores), records.read(snakemake.input.videos)
common = dict(entries=params.entries, resamples=params.resamples)
printed, sources = {}, {}
if snakemake.input.paper:
    printed, sources = (read(snakemake.input.paper[0]) for read in (tables.paper_numbers, tables.paper_sources))
sheet = Sheet(params.title, params.note, printed=printed, sources=sources, **common)

chosen = list(benchmarks(params.benchmarks))
found = [make(table, facts, sheet) for one, settings in chosen for make in one.tables(settings).values()]
main, settings = chosen[0]
own, columns = main.own(table, settings), main.board(settings)
noted = dict(notes=[params.note], resamples=params.resamples)
if params.reference:
    title = f"{params.title}: paired differences"
    found.append(
        tables.differences("differences", title, own, facts, params.reference, columns, params.entries, **noted)
    )
if params.contrast:
    title = f"{params.title}: difference of differences"
    found.append(contrast("contrast", title, own, facts, columns=columns, **params.contrast, **noted))
found.append(tables.cost(facts, params.entries, **noted))
if snakemake.input.measured:
    spent = tables.speed(records.read_lengths(snakemake.input.measured), facts, params.entries, notes=[params.note])
    found.append(tables.with_paper(spent, printed["speed"], sources["speed"]) if "speed" in printed else spent)
for one in found:
    tables.write(one, folder)
