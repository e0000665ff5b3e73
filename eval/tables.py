"""Tables as CSV, Markdown and LaTeX: every number from the long table or the sidecars, with its interval and its n.

A cell in bold is the best of its column on its base model, controls and videos of others apart, and only where the 95 %
interval of the paired difference to the runner-up excludes zero. Nothing is bold by a metric that the matrix of faults
(`eval/sensitivity.py`) has not tried, nor by one that rewards a video for freezing or looping, unless the video moves
and repeats like a sound control. A value that an unsound control beats is grey, with that control named.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from eval.files import write_text
from eval.metric import ROUNDING, Metric, known_card
from eval.records import labels_of
from eval.sensitivity import verdicts
from eval.statistics import RESAMPLES, Estimate, difference, estimate, pooled

CALLS = Metric("calls_per_frame", "Model calls per frame", "Calls/frame",
               "Forward passes of the denoiser per video frame; a guided pass counts as two.",
               0, float("inf"), False, scale=1, unit="", digits=1)  # fmt: skip
SECONDS = Metric("seconds_per_frame", "Seconds per frame", "s/frame",
                 "Wall time per video frame, decoding and writing included, loading of models not.",
                 0, float("inf"), False, scale=1, unit="s", digits=3)  # fmt: skip
MEMORY = Metric("peak_memory_mb", "Peak memory", "Memory",
                "Largest memory of a generating process: of the GPU where there is one, else resident.",
                0, float("inf"), False, scale=1, unit="MB", digits=0)  # fmt: skip
COST = (CALLS, SECONDS, MEMORY)
BEATEN = "◁"
NOT_RUN = Estimate(None, None, None, 0, 0, 0)


@dataclass(frozen=True)
class Cell:
    """A number of a table. `paper` is what the paper prints in this place, in the same unit as `estimate`; `beaten` is
    the label of the control that is better, although something is wrong with it."""

    estimate: Estimate
    best: bool = False
    beaten: str = ""
    paper: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of a table: its base and entry, the words in front of its numbers, and a cell per column."""

    base: str
    entry: str
    words: tuple[str, ...]
    cells: dict[str, Cell]
    control: bool = False
    port: bool = False  # the method's own paper has it on other base models only
    origin: str = ""  # "trained" or "external" where others made the videos: they stand beside the base's, not of it


@dataclass(frozen=True)
class Table:
    """A table before it is written: `words` are the headings of the columns without numbers."""

    name: str
    title: str
    words: tuple[str, ...]
    columns: tuple[Metric, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    compared: bool = field(default=False)  # printed numbers stand beside ours

    @property
    def printed(self) -> set[str]:
        """Columns that the paper has a number in, by name."""
        return {name for row in self.rows for name, cell in row.cells.items() if cell.paper is not None}


def comparison(
    name: str,
    title: str,
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    columns: Sequence[Metric],
    entries: Sequence[str] | None = None,
    words: Mapping[str, str] | None = None,
    heading: str = "Method",
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Table:
    """Entries x metrics on every base model, in the order of `entries` (default: as they come in `scores`).

    scores: the long table of one suite, one protocol and version per metric; facts: its sidecars (`records.read`).
    words: entry -> its text in the first column instead of its label, under `heading`.
    An entry that ran on another base model only has a row without numbers; videos of others have none there.
    """
    one_protocol(scores)
    labels = labels_of(facts, scores["entry"]) | dict(words or {})
    entries = [entry for entry in (labels if entries is None else entries) if entry in labels]
    marks, controls, sound, origins = _marks(facts), _controls(facts), _sound(facts), origins_of(facts)
    rows = []
    for base in dict.fromkeys(scores["base"]):
        parts = dict(list(scores[scores["base"] == base].groupby("entry", sort=False)))
        alike = partial(_like_a_sound_video, parts=parts, sound=sound, resamples=resamples)
        apart = controls | origins.keys()
        contenders = {entry: parts[entry] for entry in entries if entry in parts and entry not in apart}
        cells: dict[str, dict[str, Cell]] = {entry: {} for entry in entries}
        for column in columns:
            estimates = {
                entry: estimate(parts[entry], column.parts, resamples) if entry in parts else NOT_RUN
                for entry in entries
            }
            best = _best(contenders, estimates, column, resamples)
            if best and not (may_rank(column) and (not misleads(column) or alike(best))):
                best = None
            rivals = {entry: estimates[entry] for entry in entries if entry in controls - sound}
            for entry in entries:
                beaten = None if entry in controls else _beaten(estimates[entry], rivals, column)
                cells[entry][column.name] = Cell(estimates[entry], entry == best, labels[beaten] if beaten else "")
        for entry in (entry for entry in entries if entry in parts or entry not in origins):
            words = ("–" if entry in origins else base, labels[entry])
            rows.append(Row(base, entry, words, cells[entry], *marks(base, entry)))
    return Table(name, title, ("Base", heading), tuple(columns), tuple(rows), tuple(notes))


def differences(
    name: str,
    title: str,
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    reference: str,
    columns: Sequence[Metric],
    entries: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Table:
    """The reference entry minus each other one, paired on prompt and seed; bold where the interval excludes zero."""
    one_protocol(scores)
    entries = list(dict.fromkeys(scores["entry"])) if entries is None else list(entries)
    marks, labels, rows = _marks(facts), labels_of(facts, scores["entry"]), []
    for base in dict.fromkeys(scores["base"]):
        parts = dict(list(scores[scores["base"] == base].groupby("entry", sort=False)))
        if reference not in parts:
            continue
        for entry in entries:
            if entry == reference or entry not in parts:
                continue
            gaps = {c.name: difference(parts[reference], parts[entry], c.parts, resamples) for c in columns}
            label = f"{labels[reference]} − {labels[entry]}"
            cells = {column: Cell(gap, gap.certain) for column, gap in gaps.items()}
            rows.append(Row(base, entry, (base, label), cells, *marks(base, entry)))
    return Table(name, title, ("Base", "Difference"), tuple(columns), tuple(rows), tuple(notes))


def cost(
    facts: pd.DataFrame,
    entries: Sequence[str] | None = None,
    name: str = "cost",
    title: str = "Cost",
    notes: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Table:
    """Model calls and seconds per frame (means over prompts), largest peak memory and streaming, from the sidecars."""
    entries = list(dict.fromkeys(facts["entry"])) if entries is None else list(entries)
    marks, origins = _marks(facts), origins_of(facts)
    spent = pd.concat([
        facts.assign(metric=metric.name, value=pd.to_numeric(facts[fact]) / pd.to_numeric(facts["frames"]))
        for metric, fact in ((CALLS, "model_calls"), (SECONDS, "wall_seconds"))
    ])  # fmt: skip
    rows = []
    for base in dict.fromkeys(facts["base"]):
        for entry in entries:
            part = facts[(facts["base"] == base) & (facts["entry"] == entry)]
            if part.empty:
                continue
            own = spent[(spent["base"] == base) & (spent["entry"] == entry)]
            cells = {column.name: Cell(estimate(own, column.parts, resamples)) for column in (CALLS, SECONDS)}
            peak = pd.to_numeric(part["peak_memory_mb"])
            counts = int(peak.notna().sum()), len(part), part["prompt_id"].nunique()
            cells[MEMORY.name] = Cell(Estimate(None if peak.isna().all() else float(peak.max()), None, None, *counts))
            first = part.iloc[0]
            unsaid = "unknown" if entry in origins else "–"
            streams = unsaid if pd.isna(first["streaming"]) else "yes" if first["streaming"] else "no"
            words = ("–" if entry in origins else base, first["label"], streams)
            rows.append(Row(base, entry, words, cells, *marks(base, entry)))
    return Table(name, title, ("Base", "Method", "Streaming"), COST, tuple(rows), tuple(notes))


def over_clips(
    name: str,
    title: str,
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    columns: Sequence[Metric],
    entries: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """Entries x metrics as VBench-Long aggregates them: the mean over all clips of all videos, so that a long video
    counts more. The series are the values of the clips; clips are no independent draws, so there are no intervals."""
    one_protocol(scores)
    marks, labels, rows = _marks(facts), labels_of(facts, scores["entry"]), []
    for base in dict.fromkeys(scores["base"]):
        for entry in (entry for entry in (labels if entries is None else entries) if entry in labels):
            part = scores[(scores["base"] == base) & (scores["entry"] == entry)]
            cells = {column.name: Cell(pooled(part, column.name)) for column in columns}
            rows.append(Row(base, entry, (base, labels[entry]), cells, *marks(base, entry)))
    return Table(name, title, ("Base", "Method"), tuple(columns), tuple(rows), tuple(notes))


def speed(
    measured: pd.DataFrame,
    facts: pd.DataFrame,
    entries: Sequence[str] | None = None,
    name: str = "speed",
    title: str = "Speed",
    notes: Sequence[str] = (),
) -> Table:
    """Seconds of one video at each length that the suite measures; `measured` is of `records.read_lengths`."""
    entries = list(dict.fromkeys(measured["entry"])) if entries is None else list(entries)
    marks, labels = _marks(facts), labels_of(facts, measured["entry"])
    columns = [
        Metric(f"seconds_{frames}", f"{frames} frames", f"{frames} f.", "Wall time of one video, decoding included.",
               0, float("inf"), False, scale=1, unit="s", digits=1)
        for frames in sorted(set(measured["frames"]))
    ]  # fmt: skip
    spent = {
        (row.base, row.entry, f"seconds_{row.frames}"): None if pd.isna(row.seconds) else row.seconds * row.frames
        for row in measured.itertuples()
    }
    rows = []
    for base in dict.fromkeys(measured["base"]):
        for entry in (entry for entry in entries if any(key[:2] == (base, entry) for key in spent)):
            seconds = {column.name: spent.get((base, entry, column.name)) for column in columns}
            cells = {
                key: Cell(Estimate(value, None, None, int(value is not None), 1, 1)) for key, value in seconds.items()
            }
            rows.append(Row(base, entry, (base, labels[entry]), cells, *marks(base, entry)))
    return Table(name, title, ("Base", "Method"), tuple(columns), tuple(rows), tuple(notes))


def with_paper(table: Table, numbers: Mapping[tuple[str, str], Mapping[str, float]], source: str = "") -> Table:
    """The same table with printed numbers, (base, entry) -> metric -> percent, beside ours, and a note of whose they
    are."""
    rows = []
    for row in table.rows:
        printed = numbers.get((row.base, row.entry), {})
        cells = {
            column.name: replace(row.cells[column.name], paper=printed[column.name] / column.scale)
            if column.name in printed
            else row.cells[column.name]
            for column in table.columns
        }
        rows.append(replace(row, cells=cells))
    notes = (*table.notes, f"Printed numbers: {source}.") if source else table.notes
    return replace(table, rows=tuple(rows), notes=notes, compared=True)


ABOUT = ("columns", "source", "setting")  # of a table of printed numbers; its other keys are base models


def paper_sources(path: str | Path) -> dict[str, str]:
    """Table -> who printed its numbers and in which setting, of a file that says so."""
    said = yaml.safe_load(Path(path).read_text()).items()
    return {name: "; ".join([table["source"], table["setting"]]) for name, table in said if "source" in table}


def paper_numbers(path: str | Path) -> dict[str, dict[tuple[str, str], dict[str, float]]]:
    """Table -> (base, entry) -> metric -> percent (seconds, of times), as `config/paper_results.yaml` has them."""
    return {
        table: {
            (base, entry): {column: value for column, value in zip(columns, values, strict=True) if value is not None}
            for base, part in bases.items()
            for entry, values in part.items()
        }
        for table, (columns, bases) in (
            (name, (said["columns"], {key: part for key, part in said.items() if key not in ABOUT}))
            for name, said in yaml.safe_load(Path(path).read_text()).items()
        )
    }


def one_protocol(scores: pd.DataFrame) -> None:
    """`ValueError` where a table would mix suites, or protocols or versions of one metric."""
    if len(suites := set(scores["suite"])) > 1:
        raise ValueError(f"scores of different suites never meet in one table: {', '.join(sorted(suites))}")
    for metric, part in scores.groupby("metric"):
        for column in ("protocol", "version"):
            if len(found := set(part[column])) > 1:
                raise ValueError(f"{metric}: {column}s {', '.join(sorted(found))} do not belong in one table")


def _controls(facts: pd.DataFrame) -> set[str]:
    return set(facts.loc[facts["control"].eq(True), "entry"])


def _ports(facts: pd.DataFrame) -> set[tuple[str, str]]:
    """(base, entry) where the method is this project's port to the base model."""
    ported = facts[facts["port"].eq(True)]
    return set(zip(ported["base"], ported["entry"], strict=True))


def _marks(facts: pd.DataFrame) -> Callable[[str, str], tuple[bool, bool, str]]:
    """(base, entry) -> whether it is a control, whether it is a port, and whose videos they are: what a row says."""
    controls, ports, origins = _controls(facts), _ports(facts), origins_of(facts)
    return lambda base, entry: (entry in controls, (base, entry) in ports, origins.get(entry, ""))


def origins_of(facts: pd.DataFrame) -> dict[str, str]:
    """Entry -> how its videos came to be, of those that others made."""
    given = facts[facts["origin"].notna()]
    return dict(zip(given["entry"], given["origin"], strict=True))


def _best(parts: Mapping[str, pd.DataFrame], estimates: Mapping[str, Estimate], column: Metric, resamples: int):
    """The entry that is certainly better than the runner-up, or None. Motion is no quality: it has no best."""
    ranked = [entry for entry in parts if estimates[entry].mean is not None]
    ranked.sort(key=lambda entry: estimates[entry].mean, reverse=column.higher_is_better)
    if len(ranked) < 2 or not column.ranked:
        return None
    gap = difference(parts[ranked[0]], parts[ranked[1]], column.parts, resamples)
    return ranked[0] if gap.certain else None


def _sound(facts: pd.DataFrame) -> set[str]:
    """Controls that nothing is wrong with."""
    return set(facts.loc[facts["sound"].eq(True), "entry"])


def may_rank(column: Metric) -> bool:
    """Whether a column ranks entries: no registered metric does that no matrix of faults has tried."""
    measured = [part for part in column.parts if known_card(part.rpartition(".")[0] or part)]
    return all(map(verdicts, measured))


def misleads(column: Metric) -> bool:
    """Whether a column rewards a video for standing still or for beginning again."""
    return any(verdicts(column.name).get(fault) == "rewards" for fault in ("freeze", "loop"))


def _like_a_sound_video(entry: str, parts: Mapping[str, pd.DataFrame], sound: set[str], resamples: int) -> bool:
    """Whether an entry moves as a sound control does, and repeats no more than one, within their intervals."""

    def found(name: str, metric: str) -> Estimate:
        return estimate(parts[name], (metric,), resamples) if name in parts else NOT_RUN

    def within(metric: str, value: float | None) -> bool:
        intervals = [own for own in (found(control, metric) for control in sound) if own.low is not None]
        return value is not None and any(own.low <= value <= own.high for own in intervals)

    lowest = [own.high for own in (found(control, "repetition") for control in sound) if own.high is not None]
    repeats = found(entry, "repetition").mean
    return within("motion", found(entry, "motion").mean) and repeats is not None and repeats <= max(lowest, default=-1)


def _beaten(own: Estimate, rivals: Mapping[str, Estimate], column: Metric) -> str | None:
    """The best of the controls that are better than an entry; none where more is neither better nor worse."""
    sign = 1 if column.higher_is_better else -1
    better = {
        name: sign * rival.mean
        for name, rival in rivals.items()
        if own.mean is not None and rival.mean is not None and sign * (rival.mean - own.mean) > ROUNDING
    }
    return max(better, key=better.get) if better and column.ranked else None


# --- writing ---------------------------------------------------------------------------------------------------------


def write(table: Table, folder: str | Path) -> list[Path]:
    """Write <name>.csv, <name>.md, <name>.tex, and <name>.json for the report; returns the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "csv": to_frame(table).to_csv(index=False),
        "md": to_markdown(table),
        "tex": to_latex(table),
        "json": json.dumps(to_data(table), indent=1, allow_nan=False) + "\n",
    }
    paths = [folder / f"{table.name}.{suffix}" for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def to_frame(table: Table) -> pd.DataFrame:
    """The numbers unrounded and unscaled: per metric its mean, low, high, n and total, best, and the paper's number."""
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        line: dict[str, Any] = {"base": row.base, "entry": row.entry}
        line |= {_key(word): text for word, text in zip(table.words[1:], row.words[1:], strict=True)}
        line |= {"control": row.control, "port": row.port, "origin": row.origin}
        for column in table.columns:
            cell, name = row.cells[column.name], column.name
            found = cell.estimate
            line |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
            line |= {f"{name}_n": found.n, f"{name}_total": found.total, f"{name}_best": cell.best}
            line |= {f"{name}_beaten": cell.beaten}
            if table.compared:
                line |= {f"{name}_paper": cell.paper}
        rows.append(line)
    return pd.DataFrame(rows)


def to_data(table: Table) -> dict[str, Any]:
    """The table as plain data with what a reader of it must know, for pages that show it."""
    shown = ("name", "label", "short", "summary", "unit", "scale", "digits", "ranked", "higher_is_better")
    return {
        "name": table.name,
        "title": table.title,
        "words": list(table.words),
        "columns": [
            {key: getattr(column, key) for key in shown} | {"printed": column.name in table.printed}
            for column in table.columns
        ],
        "rows": [
            {
                "base": row.base,
                "entry": row.entry,
                "words": list(row.words),
                "control": row.control,
                "port": row.port,
                "origin": row.origin,
                "n": _count(row),
                "cells": {
                    name: {**asdict(cell.estimate), "best": cell.best, "beaten": cell.beaten, "paper": cell.paper}
                    for name, cell in row.cells.items()
                },
            }
            for row in table.rows
        ],
        "notes": [*table.notes, legend(table)],
        "compared": table.compared,
    }


def to_markdown(table: Table) -> str:
    heads = [f"{c.label}{_unit(c)} {_arrow(c)}".strip() for c in table.columns]
    lines = [f"**{_escape_markdown(table.title)}**", ""]
    lines.append("| " + " | ".join([*map(_escape_markdown, [*table.words, *heads]), "n"]) + " |")
    lines += ["|" + "|".join(["---"] * len(table.words) + ["---:"] * (len(table.columns) + 1)) + "|"]
    for row in table.rows:
        words = [_escape_markdown(word) for word in row.words]
        if row.control:
            words[1] = f"*{words[1]}* (control)"
        words[1] += " †" * row.port
        cells = [_markdown(row.cells[column.name], column, column.name in table.printed) for column in table.columns]
        lines.append("| " + " | ".join([*words, *cells, _count(row)]) + " |")
    return "\n".join([*lines, "", *(f"{_escape_markdown(note)}\n" for note in [*table.notes, legend(table)])])


def to_latex(table: Table) -> str:
    """A row takes a line for means, one for intervals and one for the paper's numbers, where there are such."""
    head = [*map(_latex, table.words), *(f"{_latex(c.short)} {_arrow_latex(c)}".strip() for c in table.columns), "n"]
    lines = [
        r"% needs \usepackage{booktabs,graphicx,xcolor}",
        r"\begin{table}\centering\small",
        rf"\caption{{{_latex(table.title)}. {_latex(' '.join([*table.notes, legend(table)]))}}}\smallskip",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(table.words)}{'r' * (len(table.columns) + 1)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        if number and row.base != table.rows[number - 1].base:
            lines.append(r"\midrule")
        lines += _latex_lines(row, table)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""])


def legend(table: Table) -> str:
    """How to read the cells."""
    parts = ["n: videos with a value of all videos."]
    if any(cell.estimate.low is not None for row in table.rows for cell in row.cells.values()):
        parts.insert(0, "Mean [95 % bootstrap interval over prompts].")
    if any(cell.best for row in table.rows for cell in row.cells.values()):
        best = "" if table.words[1:2] == ("Difference",) else "best of the contenders, and "
        against = "to the runner-up " if best else ""
        parts.append(f"Bold: {best}the interval of the paired difference {against}excludes zero.")
    if any(cell.beaten for row in table.rows for cell in row.cells.values()):
        parts.append(f"{BEATEN} names a control that beats the value, though something is wrong with it.")
    if table.compared:
        parts.append("In parentheses: the printed number and ours minus it; –: nobody printed one.")
    if any(row.port for row in table.rows):
        parts.append("†: our port to this base model, which the method's own paper does not have.")
    if any(row.origin for row in table.rows):
        words = "trained, external: videos that others made, with a model trained for it or in ways unknown to us"
        parts.append(words + ("." if table.words[1:2] == ("Difference",) else "; they are never bold."))
    return " ".join(parts)


def number(value: float | None, column: Metric, sign: bool = False) -> str:
    """A value as tables print it: scaled, with the metric's digits, a dash for none."""
    if value is None:
        return "–"
    shown = round(value * column.scale, column.digits) + 0.0  # no negative zero
    return f"{shown:{'+' if sign else ''}.{column.digits}f}".replace("-", "−")


def _markdown(cell: Cell, column: Metric, printed: bool) -> str:
    found = cell.estimate
    text = f"**{number(found.mean, column)}**" if cell.best else number(found.mean, column)
    if found.low is not None:
        text += f" [{number(found.low, column)}, {number(found.high, column)}]"
    if cell.beaten:
        text = f"<sub>{text} {BEATEN} {_escape_markdown(cell.beaten)}</sub>"
    return text + (f" ({_beside(cell, column)})" if printed else "")


def _latex_lines(row: Row, table: Table) -> list[str]:
    words = [_latex(word) for word in row.words]
    if row.control:
        words[1] = rf"\textit{{{words[1]}}}"
    words[1] += r"\rlap{$^\dagger$}" * row.port
    means, intervals, papers = [], [], []
    for column in table.columns:
        cell = row.cells[column.name]
        found, mean = cell.estimate, number(cell.estimate.mean, column)
        shown = rf"\textcolor{{gray}}{{{_latex(mean)}}}" if cell.beaten else _latex(mean)
        means.append(rf"\textbf{{{shown}}}" if cell.best else shown)
        interval = "" if found.low is None else f"[{number(found.low, column)}, {number(found.high, column)}]"
        intervals.append(f"{interval} {BEATEN} {cell.beaten}".strip() if cell.beaten else interval)
        papers.append(f"({_beside(cell, column)})" if column.name in table.printed else "")
    lines = [[*words, *means, _latex(_count(row))]]
    for texts in filter(any, (intervals, papers)):
        small = [text and rf"{{\scriptsize {_latex(text)}}}" for text in texts]
        lines.append([*([""] * len(words)), *small, ""])
    return [" & ".join(line) + r" \\" for line in lines]


def _beside(cell: Cell, column: Metric) -> str:
    if cell.paper is None:
        return "–"
    gap = None if cell.estimate.mean is None else cell.estimate.mean - cell.paper
    return f"{number(cell.paper, column)}, {number(gap, column, sign=True)}"


def _count(row: Row) -> str:
    counts = list(dict.fromkeys((cell.estimate.n, cell.estimate.total) for cell in row.cells.values()))
    return ", ".join(f"{n} of {total}" if total else "not run" for n, total in counts)


def _unit(column: Metric) -> str:
    return f" ({column.unit})" if column.unit else ""


def _arrow(column: Metric) -> str:
    return "" if not column.ranked else "↑" if column.higher_is_better else "↓"


def _arrow_latex(column: Metric) -> str:
    return "" if not column.ranked else r"$\uparrow$" if column.higher_is_better else r"$\downarrow$"


def _key(word: str) -> str:
    return re.sub(r"\W+", "_", word.lower())


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text).replace("\n", " ")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character) or _greek(character) for character in text)


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"}
_LATEX |= {
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "◁": r"$\triangleleft$",
    "†": r"$^\dagger$",
}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def _greek(character: str) -> str:
    """A Greek letter as a formula, any other character as it is."""
    kind, _, letter = unicodedata.name(character, "").rpartition(" LETTER ")
    name = {"GREEK SMALL": letter.lower(), "GREEK CAPITAL": letter.capitalize()}.get(kind, "")
    return rf"$\{name}$" if name.isalpha() else character
