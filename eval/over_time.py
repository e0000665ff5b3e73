"""The table of drift operators: what published work makes of how each metric changes over a video's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from eval.drift import OPERATORS, derived
from eval.metric import Metric, card
from eval.records import PLACE
from eval.statistics import RESAMPLES
from eval.tables import Table, comparison


def over_time(
    name: str,
    title: str,
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    metrics: Sequence[str],
    entries: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Table:
    """A row per base, metric and entry: every operator (`eval.drift.OPERATORS`) on the series of that metric.

    An operator that is defined for none of the videos has no column. Nothing is bold: the operators disagree on what
    drift is, and no matrix of faults has tried them on these series.
    """
    fps = dict(zip(facts[list(PLACE)].itertuples(index=False, name=None), facts["fps"], strict=True))
    used = scores[scores["metric"].isin(metrics)]
    found = derived(used, lambda row: fps.get(tuple(row[name] for name in PLACE)) or 0.0, tuple(OPERATORS))
    names = found["metric"].str.rpartition(".")
    of, found = names[0], found.assign(metric=names[2])
    defined = set(found.loc[found["value"].notna(), "metric"])
    columns = [_column(operator) for operator in OPERATORS if operator in defined]
    lines = []
    for metric in (metric for metric in metrics if metric in set(of)):
        own = comparison(name, title, found[of == metric], facts, columns, entries, resamples=resamples)
        lines += [replace(row, words=(*row.words, card(metric).label)) for row in own.rows]
    bases = list(dict.fromkeys(row.base for row in lines))
    lines.sort(key=lambda row: bases.index(row.base))
    told = [f"{column.short}: {column.summary}" for column in columns]
    return Table(name, title, ("Base", "Method", "Series"), tuple(columns), tuple(lines), (*notes, *told))


def _column(operator: str) -> Metric:
    """An operator on whichever series, in that series' own unit."""
    words = OPERATORS[operator]
    return Metric(
        operator, operator, operator, words, float("-inf"), float("inf"), False, scale=1, unit="", digits=4,
        ranked=False,
    )  # fmt: skip
