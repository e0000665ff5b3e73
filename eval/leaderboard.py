"""The leaderboard CSV: a row per base, entry and metric, with what a stranger needs to trust, check and merge it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from eval.files import write_text
from eval.metric import ROUNDING, Metric, known_card
from eval.records import labels_of
from eval.scores import KEY as SCORES_KEY
from eval.statistics import RESAMPLES, estimate
from eval.tables import one_protocol


class Sha256(str):
    """64 hexadecimal digits; several, where an entry was made with several, are joined by a slash."""


@dataclass(frozen=True)
class Column:
    """A column of the CSV. `kind` is what its cells must parse as; optional ones may be empty."""

    name: str
    kind: type
    meaning: str
    optional: bool = False


SCHEMA = (
    Column("suite", str, "the experiment: base models x entries x prompts x seeds x metrics"),
    Column("base", str, "base model, as the suite calls it; of videos that others made the one that they stand beside"),
    Column("entry", str, "row of the tables: a method with its parameters, under a name"),
    Column("label", str, "how tables call it"),
    Column("method", str, "registered method; trained or external where others made the videos"),
    Column("method_version", str, "version on the method's card", optional=True),
    Column("control", bool, "whether the entry only brackets the metrics"),
    Column("port", bool, "whether the method is this project's port to the base model, which its own paper lacks"),
    Column("origin", str, "trained or external: others made the videos; empty: this harness did", optional=True),
    Column(
        "metric",
        str,
        "metric, as `miga metrics` lists it; derived ones are the plain mean of the means of others",
    ),
    Column("protocol", str, "networks and rules that the metric was computed with"),
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
    Column("date", date, "day of scoring, YYYY-MM-DD"),
    Column("weights_sha256", Sha256, "digest of the base model's weights", optional=True),
    Column("params_sha256", Sha256, "digest of the method's full parameters as canonical JSON", optional=True),
    Column("scores_sha256", Sha256, "digest of the rows of the long table that the value was computed from"),
)
KEY = ["suite", "base", "entry", "metric"]
AGREE = {  # of all rows with the same one, what must be the same wherever it is said
    "metric": ("protocol", "metric_version", "higher_is_better"),
    "base": ("weights_sha256",),
    "method": ("method_version",),
}
FIRST = 2  # the line below the head


def build(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    date: str,
    metrics: Sequence[Metric],
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """The leaderboard of one suite, from the long table and the sidecars; `date` is YYYY-MM-DD."""
    one_protocol(scores)
    rows, labels = [], labels_of(facts, scores["entry"])
    for (base, entry), part in scores.groupby(["base", "entry"], sort=False):
        made_by = facts[(facts["base"] == base) & (facts["entry"] == entry)]
        for metric in metrics:
            used = part[part["metric"].isin(metric.parts)]
            if set(used["metric"]) != set(metric.parts):  # not measured, or a part of a derived one is not
                continue
            found = estimate(used, metric.parts, resamples)
            measured = used.loc[used["value"].notna(), "frames"]
            rows.append(
                {
                    **{name: used[name].iloc[0] for name in ("suite", "base", "entry", "method", "protocol")},
                    "label": labels[entry],
                    "method_version": _one(made_by["version"]),
                    "control": _one(made_by["control"]) is True,
                    "port": _one(made_by["port"]) is True,
                    "origin": _one(made_by["origin"]),
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
        text = Path(path).read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text), strict=True)
        head = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({' '.join(str(error).split())})") from None
    if len(head) == 1 and (other := next((mark for mark in ";\t|" if mark in head[0]), None)):
        raise ValueError(f"{path}: its columns are separated by {other!r}: save it with commas")
    if twice := sorted({name for name in head if head.count(name) > 1}):
        raise ValueError(f"{path}: column {_called(twice)} is there twice")
    for line, row in rows:
        if len(row) != len(head):
            raise ValueError(f"{path}, line {line}: {len(row)} cells under {len(head)} columns")
    lines = [line - FIRST for line, _ in rows]
    board = pd.DataFrame([row for _, row in rows], columns=head, index=lines, dtype=str)
    return validate(board, str(path)).reset_index(drop=True)


def validate(board: pd.DataFrame, name: str = "leaderboard") -> pd.DataFrame:
    """The board with its columns in order and typed, or a `ValueError` that says which line does not fit the schema.

    The index counts the lines below the head.
    """
    known = {column.name for column in SCHEMA}
    for problem, columns in (("is missing", known - set(board)), ("is not in the schema", set(board) - known)):
        if columns:
            raise ValueError(f"{name}: column {_called(columns)} {problem}")
    typed = pd.DataFrame({column.name: _typed(board[column.name], column, name) for column in SCHEMA})
    for place, row in typed.iterrows():
        line = f"{name}, line {place + FIRST}"
        if not (
            0 <= row["n"] <= row["total"] and 0 <= row["prompts"] <= row["total"]
        ):  # parts may have more than a mean
            raise ValueError(f"{line}: n = {row['n']} of {row['total']} videos, of {row['prompts']} prompts")
        if row["frames"] is not None and row["frames"] < 1:
            raise ValueError(f"{line}: videos of {row['frames']} frames")
        if (row["value"] is None) != (row["n"] == 0):
            raise ValueError(f"{line}: a value goes with n > 0 and an empty cell with n = 0")
        _in_range(row, line)
    twice = typed.duplicated(KEY)
    if twice.any():
        raise ValueError(f"{name}, line {twice.idxmax() + FIRST}: {_names(typed[twice].iloc[0])} is there twice")
    return typed


def merge(boards: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Boards of several machines as one, name -> board. Refuses to mix what does not compare.

    That is: suites; protocols, versions and directions of a metric; weights of a base model; versions of a method;
    lengths of a base model's videos and numbers of videos, where two boards have none in common (controls apart).
    The same row from two boards is kept once when its digest of scores is the same; otherwise it is an error.
    """
    parts = [validate(board, name).assign(source=name) for name, board in boards.items()]
    whole = pd.concat(parts, ignore_index=True)
    if len(suites := whole.groupby("suite", sort=False)["source"].first()) > 1:
        found = ", ".join(f"{suite} ({source})" for suite, source in suites.items())
        raise ValueError(f"boards of different suites do not merge: {found}")
    for what, columns in AGREE.items():
        for name, rows in whole.groupby(what):
            for column in columns:
                found = rows[rows[column].notna()].groupby(column, sort=False)["source"].first()
                if len(found) > 1:
                    names = ", ".join(f"{value} ({source})" for value, source in found.items())
                    raise ValueError(f"{name}: boards of different {column} do not merge: {names}")
    for what, column in (("base", "frames"), ("metric", "total")):
        for name, rows in whole[~whole["control"].astype(bool) & whole[column].notna()].groupby(what):
            _meet(name, column, rows.groupby("source", sort=False)[column].agg(set))
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


def _meet(name: str, column: str, found: pd.Series) -> None:
    """`ValueError` where a board (of source -> values) has no value in common with the first one."""
    for source, values in found.items():
        if not values & found.iloc[0]:
            told = ", ".join(f"{'/'.join(map(str, sorted(found[one])))} ({one})" for one in (found.index[0], source))
            raise ValueError(f"{name}: boards of different {column} do not merge: {told}")


def _typed(cells: pd.Series, column: Column, name: str) -> pd.Series:
    typed = [_parsed(cell, column, f"{name}, line {i + FIRST}") for i, cell in cells.items()]
    return pd.Series(typed, index=cells.index, dtype=object)


def _parsed(cell: Any, column: Column, line: str) -> Any:
    if cell is None or cell == "" or (isinstance(cell, float) and cell != cell):
        if column.optional:
            return None
        raise ValueError(f"{line}: {column.name} is empty")
    if column.kind is int and isinstance(cell, float) and cell.is_integer():  # of a column that has gaps
        cell = int(cell)
    try:
        return PARSE[column.kind](str(cell))
    except ValueError:
        raise ValueError(
            f"{line}: {column.name} is {cell!r}, not {column.kind.__name__} ({KINDS[column.kind]})"
        ) from None


def _called(columns: Iterable[str]) -> str:
    return ", ".join(name or "without a name" for name in sorted(columns))


def _text(cell: str) -> str:
    """Joiners, marks of direction and wide spaces are parts of words in some scripts."""
    odd = [letter for letter in cell if not letter.isprintable() and unicodedata.category(letter) not in ("Cf", "Zs")]
    if cell != cell.strip() or odd:
        raise ValueError
    return unicodedata.normalize("NFC", cell)


def _truth(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise ValueError
    return cell.lower() == "true"


def _whole(cell: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", cell):
        raise ValueError
    return int(cell)


def _number(cell: str) -> float:
    if not re.fullmatch(r"[-+.0-9eE]+", cell) or not math.isfinite(value := float(cell)):
        raise ValueError
    return value


def _day(cell: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell):
        raise ValueError
    return date.fromisoformat(cell).isoformat()


def _sha256(cell: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}(/[0-9a-f]{64})*", cell):
        raise ValueError
    return cell


PARSE = {str: _text, bool: _truth, int: _whole, float: _number, date: _day, Sha256: _sha256}
KINDS = {
    str: "a text in one line, without spaces around it",
    bool: "True or False",
    int: "a whole number",
    float: "a finite number with a decimal point",
    date: "a day as YYYY-MM-DD",
    Sha256: "a sha256 of 64 hexadecimal digits",
}


def _in_range(row: pd.Series, line: str) -> None:
    if (row["low"] is None) != (row["high"] is None):
        raise ValueError(f"{line}: an interval has both ends, low and high, or none")
    if row["value"] is None and row["low"] is not None:
        raise ValueError(f"{line}: an interval without a value")
    if row["value"] is None:
        return
    card = known_card(row["metric"])
    if card and not card.low - ROUNDING <= row["value"] <= card.high + ROUNDING:
        raise ValueError(f"{line}: {card.name} is {row['value']}, outside its range {card.low} to {card.high}")
    if card and row["higher_is_better"] != card.higher_is_better:
        raise ValueError(f"{line}: higher_is_better is {row['higher_is_better']}, which {card.name} is not")
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
