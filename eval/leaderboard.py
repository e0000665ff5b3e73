"""The leaderboard CSV: a row per base, entry and metric, with what a stranger needs to trust, check and merge it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.cards import MEAN3, NARRLV, ROUNDING, Metric, known_card
from eval.files import write_text
from eval.scores import KEY as SCORES_KEY
from eval.statistics import RESAMPLES, estimate
from eval.tables import MAIN, one_protocol


@dataclass(frozen=True)
class Column:
    """A column of the CSV. `kind` is what its cells must parse as; optional ones may be empty."""

    name: str
    kind: type
    meaning: str
    optional: bool = False


SCHEMA = (
    Column("suite", str, "the experiment: base models x entries x prompts x seeds x metrics"),
    Column("base", str, "base model, as the suite calls it"),
    Column("entry", str, "row of the tables: a method with its parameters, under a name"),
    Column("label", str, "how tables call it"),
    Column("method", str, "registered method"),
    Column("method_version", str, "version on the method's card", optional=True),
    Column("control", bool, "whether the entry only brackets the metrics"),
    Column("port", bool, "whether the method is this project's port to the base model, which its own paper lacks"),
    Column(
        "metric",
        str,
        "metric; `overall` is the plain mean of the four raw VBench dimensions, `mean3` of the three NarrLV scores",
    ),
    Column("protocol", str, "networks and rules that the metric was computed with; NarrLV: variant, parser, judge"),
    Column("metric_version", str, "version of the metric and of its networks"),
    Column("higher_is_better", bool, "direction of the metric"),
    Column(
        "value",
        float,
        "mean over prompts of the means over seeds, unscaled; empty where nothing could be measured",
        True,
    ),
    Column("low", float, "lower end of the 95 % bootstrap interval over prompts", optional=True),
    Column("high", float, "upper end of it", optional=True),
    Column("n", int, "videos with a value"),
    Column("total", int, "videos in all"),
    Column("prompts", int, "prompts with a value: the units that are resampled"),
    Column("frames", int, "frames of the shortest video", optional=True),
    Column("date", str, "day of scoring, YYYY-MM-DD"),
    Column("weights_sha256", str, "digest of the base model's weights", optional=True),
    Column("params_sha256", str, "digest of the method's full parameters as canonical JSON", optional=True),
    Column("scores_sha256", str, "digest of the rows of the long table that the value was computed from"),
)
KEY = ["suite", "base", "entry", "metric"]
BOARDS = {"vbench": MAIN, "narrlv": (*NARRLV.values(), MEAN3)}  # file -> its metrics


def build(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    date: str,
    metrics: Sequence[Metric] = MAIN,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """The leaderboard of one suite, from the long table and the sidecars; `date` is YYYY-MM-DD."""
    one_protocol(scores)
    rows = []
    for (base, entry), part in scores.groupby(["base", "entry"], sort=False):
        made_by = facts[(facts["base"] == base) & (facts["entry"] == entry)]
        for metric in metrics:
            used = part[part["metric"].isin(metric.parts)]
            if used.empty:
                continue
            found = estimate(used, metric.parts, resamples)
            measured = used.loc[used["value"].notna(), "frames"]
            rows.append(
                {
                    **{name: used[name].iloc[0] for name in ("suite", "base", "entry", "label", "method", "protocol")},
                    "method_version": _one(made_by["version"]),
                    "control": _one(made_by["control"]) is True,
                    "port": _one(made_by["port"]) is True,
                    "metric": metric.name,
                    "metric_version": "/".join(dict.fromkeys(used["version"])),
                    "higher_is_better": metric.higher_is_better,
                    "value": found.mean, "low": found.low, "high": found.high,
                    "n": found.n, "total": found.total, "prompts": found.prompts,
                    "frames": measured.min() if len(measured) else None,
                    "date": date,
                    "weights_sha256": _one(made_by["weights_sha256"]),
                    "params_sha256": _digest(made_by["params"]),
                    "scores_sha256": digest(used),
                }
            )  # fmt: skip
    return validate(pd.DataFrame(rows, columns=[column.name for column in SCHEMA]))


def write(board: pd.DataFrame, path: str | Path) -> None:
    write_text(path, board.to_csv(index=False))


def read(path: str | Path) -> pd.DataFrame:
    """A leaderboard file, checked; `ValueError` names the file, the column and the line that does not fit."""
    try:
        board = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV file ({' '.join(str(error).split())})") from None
    return validate(board, str(path))


def validate(board: pd.DataFrame, name: str = "leaderboard") -> pd.DataFrame:
    """The board with its columns in order and typed, or a `ValueError` that says which line does not fit the schema."""
    known = {column.name for column in SCHEMA}
    for problem, columns in (("is missing", known - set(board)), ("is not in the schema", set(board) - known)):
        if columns:
            raise ValueError(f"{name}: column {', '.join(sorted(columns))} {problem}")
    typed = pd.DataFrame({column.name: _typed(board[column.name], column, name) for column in SCHEMA})
    for place, row in typed.iterrows():
        line = f"{name}, line {place + 2}"
        if row["n"] > row["total"] or row["n"] < 0:
            raise ValueError(f"{line}: n = {row['n']} of {row['total']} videos")
        if (row["value"] is None) != (row["n"] == 0):
            raise ValueError(f"{line}: a value goes with n > 0 and an empty cell with n = 0")
        _in_range(row, line)
    twice = typed.duplicated(KEY)
    if twice.any():
        raise ValueError(f"{name}, line {twice.idxmax() + 2}: {_names(typed[twice].iloc[0])} is there twice")
    return typed


def merge(boards: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Boards of several machines as one, name -> board. Refuses to mix suites, protocols or versions of a metric.

    The same row from two boards is kept once when its digest of scores is the same; otherwise it is an error.
    """
    parts = [validate(board, name).assign(source=name) for name, board in boards.items()]
    whole = pd.concat(parts, ignore_index=True)
    if len(suites := whole.groupby("suite", sort=False)["source"].first()) > 1:
        found = ", ".join(f"{suite} ({source})" for suite, source in suites.items())
        raise ValueError(f"boards of different suites do not merge: {found}")
    for metric, rows in whole.groupby("metric"):
        for column in ("protocol", "metric_version"):
            if len(found := rows.groupby(column, sort=False)["source"].first()) > 1:
                names = ", ".join(f"{value} ({source})" for value, source in found.items())
                raise ValueError(f"{metric}: boards of different {column}s do not merge: {names}")
    whole = whole.drop_duplicates([*KEY, "scores_sha256"])
    twice = whole.duplicated(KEY, keep=False)
    if twice.any():
        row = whole[twice].iloc[0]
        sources = ", ".join(whole.loc[(whole[KEY] == row[KEY]).all(axis=1), "source"])
        raise ValueError(
            f"{_names(row)}: {sources} have different scores; merge the scores instead, or rename an entry"
        )
    return whole.drop(columns="source").reset_index(drop=True)


def describe() -> str:
    """The schema as a Markdown table, for the documentation."""
    lines = ["| column | type | | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.kind.__name__} | {'may be empty' if column.optional else ''} | {column.meaning} |"
        for column in SCHEMA
    ]
    return "\n".join(lines) + "\n"


def digest(rows: pd.DataFrame) -> str:
    """sha256 of scores: what each row is about and its value to the last bit, or its reason, in any order."""
    lines = sorted("\t".join([*(str(row[name]) for name in SCORES_KEY), _exact(row)]) for _, row in rows.iterrows())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _exact(row: pd.Series) -> str:
    return row["reason"] if pd.isna(row["value"]) else float(row["value"]).hex()


def _typed(cells: pd.Series, column: Column, name: str) -> pd.Series:
    return pd.Series([_parsed(cell, column, f"{name}, line {i + 2}") for i, cell in enumerate(cells)], dtype=object)


def _parsed(cell: Any, column: Column, line: str) -> Any:
    if cell is None or cell == "" or (isinstance(cell, float) and cell != cell):
        if column.optional:
            return None
        raise ValueError(f"{line}: {column.name} is empty")
    try:
        if column.kind is bool:
            return {"true": True, "false": False}[str(cell).lower()]
        value = column.kind(cell)
    except (KeyError, ValueError):
        raise ValueError(f"{line}: {column.name} is {cell!r}, not {column.kind.__name__}") from None
    if column.kind is float and value in (float("inf"), float("-inf")):
        raise ValueError(f"{line}: {column.name} is infinite")
    return value


def _in_range(row: pd.Series, line: str) -> None:
    if row["value"] is None:
        return
    card = known_card(row["metric"])
    if card and not card.low - ROUNDING <= row["value"] <= card.high + ROUNDING:
        raise ValueError(f"{line}: {card.name} is {row['value']}, outside its range {card.low} to {card.high}")
    if row["low"] is not None and not row["low"] - ROUNDING <= row["value"] <= row["high"] + ROUNDING:
        raise ValueError(f"{line}: the value {row['value']} is outside its own interval")


def _one(values: pd.Series) -> Any:
    """The common value of a column, or several joined; None where nobody says."""
    found = list(dict.fromkeys(value for value in values if value is not None and value == value))
    return None if not found else found[0] if len(found) == 1 else "/".join(map(str, found))


def _digest(values: pd.Series) -> str | None:
    texts = {json.dumps(value, sort_keys=True) for value in values if value is not None and value == value}
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest() if texts else None


def _names(row: pd.Series) -> str:
    return "/".join(str(row[column]) for column in KEY)
