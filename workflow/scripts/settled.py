"""After a round of prompts: the main table and the paired differences, and whether more prompts are needed."""

from start import start

start(snakemake)

from pathlib import Path

from chosen import benchmarks
from shards import facts_of

from eval import scores, tables
from eval.benchmark import Sheet
from eval.files import write_json
from eval.stopping import unsettled

params, output = snakemake.params, snakemake.output
folder = Path(output.settled).parent
title, common = f"{params.title}, prompts so far", dict(notes=[params.note], resamples=params.resamples)
facts = facts_of(snakemake.input.manifests, params.named)
((main, settings),) = benchmarks(params.benchmarks)
own = main.own(scores.read(snakemake.input.scores), settings)
sheet = Sheet(title, params.note, params.entries, params.resamples)
found = tables.differences(
    "differences",
    f"{title}: paired differences",
    own,
    facts,
    params.reference,
    main.board(settings),
    params.entries,
    **common,
)
for one in (main.tables(settings)[main.table](own, facts, sheet), found):
    tables.write(one, folder)
lines = list(unsettled(found, params.stop["metrics"], params.stop["settled"]))
write_json(output.settled, {"settled": not lines, "open": lines})
