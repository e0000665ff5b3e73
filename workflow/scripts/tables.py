"""The main table, the paired differences to the reference entry, and the costs."""

from start import start

start(snakemake)

from pathlib import Path

from videos import facts_of

from eval import scores, tables
from eval.contrast import contrast

params = snakemake.params
table, facts = scores.read(snakemake.input.scores), facts_of(snakemake.input.manifests)
common = dict(entries=params.entries, notes=[params.note], resamples=params.resamples)
estimated = dict(common, scores=table, facts=facts, columns=tables.MAIN)

main = tables.comparison("vbench", f"{params.title}: metrics of VBench", **estimated)
if snakemake.input.paper:
    main = tables.with_paper(main, tables.paper_numbers(snakemake.input.paper[0], "vbench"))
found = [main, tables.cost(facts, **common)]
if params.reference in params.entries:
    title = f"{params.title}: paired differences"
    found.append(tables.differences("differences", title, reference=params.reference, **estimated))
if params.contrast:
    title = f"{params.title}: difference of differences"
    chosen = dict(columns=tables.MAIN, notes=[params.note], resamples=params.resamples, **params.contrast)
    found.append(contrast("contrast", title, table, **chosen))
for one in found:
    tables.write(one, Path(snakemake.output[0]).parent)
