"""Table 2 of the MIGA paper: methods x (number of atoms, factor), with intervals: all three scores, our mean, and how
many of the judge's votes could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from eval.metric import Metric
from eval.narrlv.cards import MEAN3, NARRLV, UNREAD
from eval.narrlv.metric import SCORES
from eval.narrlv.suite import FACTORS, factor_and_tna
from eval.statistics import RESAMPLES
from eval.tables import Table, comparison, with_paper

_BESIDE = (
    "The paper prints one number a cell and does not say how it is formed from R_fid, R_cov and R_coh. Mean is our "
    "convention, the plain mean of the three; the paper's number stands beside it for want of a better place."
)


def table2(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    entries: Sequence[str] | None = None,
    paper: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
    name: str = "narrlv",
    title: str = "NarrLV",
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Table:
    """Five lines per entry: R_fid, R_cov, R_coh, their mean, unreadable votes.

    A column per (TNA, factor) that the prompts have; a last one takes all prompts together, which is where a few
    prompts per cell still give an interval.
    scores: the long table's rows of one suite and one protocol; `facts`: the sidecars; `paper`: (base, entry) -> column
    -> percent, as `tables.paper_numbers(path, "narrlv")` gives them, shown beside the mean.
    """
    scores = scores[scores["metric"].isin(NARRLV)]
    order = list(FACTORS)
    found = sorted({(tna, order.index(factor)) for factor, tna in map(factor_and_tna, set(scores["prompt_id"]))})
    cells = {
        _cell(order[place], tna): f"{tna} atom{'s' * (tna > 1)}, {order[place].replace('_', ' ')}"
        for tna, place in found
    }
    names = scores["prompt_id"].map(lambda prompt_id: _cell(*factor_and_tna(prompt_id)))
    parts = [scores.assign(metric=scores["metric"] + "." + names)]
    if len(cells) > 1:
        cells["all"] = "All"
        parts.append(scores.assign(metric=scores["metric"] + ".all"))
    scores = pd.concat(parts, ignore_index=True)
    notes = [*notes, *(f"Protocol: {protocol}." for protocol in sorted(set(scores["protocol"])))]
    lines = {}
    for score in (*(NARRLV[name] for name in SCORES), MEAN3, UNREAD):
        columns = _columns(score, cells)
        part = comparison(name, title, scores, facts, columns, entries, notes=notes, resamples=resamples)
        if paper is not None and score is MEAN3:
            part = with_paper(part, paper)
        for place, row in enumerate(part.rows):
            lines[place, score.name] = replace(row, words=(*row.words, score.short))
    rows = tuple(line for _, line in sorted(lines.items(), key=lambda item: item[0][0]))
    notes = (*notes, _BESIDE) if paper is not None else (*notes, f"Mean: {MEAN3.summary}")
    notes = (*notes, f"{UNREAD.short}: {UNREAD.summary}")
    columns = tuple(_columns(MEAN3, cells))
    return Table(name, title, ("Base", "Method", "Score"), columns, rows, notes, compared=paper is not None)


def _cell(factor: str, tna: int) -> str:
    return f"tna{tna}_{factor}"


def _columns(score: Metric, cells: Mapping[str, str]) -> list[Metric]:
    """A column per cell (name -> words) that holds this score of its prompts."""
    return [
        replace(score, name=cell, label=words, short=words, of=tuple(f"{part}.{cell}" for part in score.parts))
        for cell, words in cells.items()
    ]
