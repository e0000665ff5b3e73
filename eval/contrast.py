"""A difference of differences: what one entry gains over another on one base model, less that on another.

Says whether a gain belongs to a base model rather than to the entry, as where a method is meant to repair something
that only some models suffer from.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eval.metric import Metric
from eval.records import labels_of
from eval.statistics import RESAMPLES, difference
from eval.tables import Cell, Row, Table, one_protocol


def gains(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """First minus second, a row per (prompt, seed, metric) that both have."""
    pairs = first.merge(second, on=["prompt_id", "seed", "metric"])
    return pairs.assign(value=pairs["value_x"] - pairs["value_y"])[["prompt_id", "seed", "metric", "value"]]


def contrast(
    name: str,
    title: str,
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    entries: Sequence[str],
    bases: Sequence[str],
    columns: Sequence[Metric],
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Table:
    """First entry minus second on each of two base models, and the first of these differences minus the second.

    All are paired on prompt and seed and resampled by prompt; bold where the interval excludes zero.
    """
    one_protocol(scores)
    gap = " − ".join(labels_of(facts, entries).values())
    single = {base: [_of(scores, base, entry) for entry in entries] for base in bases}
    pairs = {(base, gap): pair for base, pair in single.items()}
    pairs[" − ".join(bases), "difference of the differences"] = [gains(*pair) for pair in single.values()]
    rows = []
    for words, pair in pairs.items():
        found = {column.name: difference(*pair, column.parts, resamples) for column in columns}
        rows.append(Row(words[0], entries[0], words, {column: Cell(gap, gap.certain) for column, gap in found.items()}))
    return Table(name, title, ("Base", "Difference"), tuple(columns), tuple(rows), tuple(notes))


def _of(scores: pd.DataFrame, base: str, entry: str) -> pd.DataFrame:
    return scores[(scores["base"] == base) & (scores["entry"] == entry)]
