"""The report: one static page per suite that opens from the file system, without a network.

    results/<suite>/report/index.html    what was found, videos side by side, charts, tables, figures, a blind vote
    results/<suite>/report/summary.txt   its gist, for a terminal

The page holds its styles, its scripts and its data; figures and videos are the suite's own files, by relative paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval import records
from eval.files import write_text
from eval.metric import known_card
from eval.report import findings
from eval.report.gist import gist
from eval.scores import read
from eval.tables import number

FOLDER = Path(__file__).parent
SCRIPTS = ("page.js", "tables.js", "wall.js", "votes.js")
LONG = ("drift", "repetition", "prompt_fidelity", "identity", "dynamic_degree")  # what a long video is judged by
FIGURES = {
    "drift": "Similarity to the first window over time; bands are 95 % intervals of the mean over prompts.",
    "survival": "Share of videos that have not lost their subject yet, against time (Kaplan and Meier).",
    "lags": "Mean similarity of frames against their distance: a frozen or looped video stays on top.",
    "comparison": "The metrics of the main table of every method with its 95 % interval; controls are hollow and grey.",
    "consistency_motion": "Overall score against motion: a frozen picture stands in the upper left corner.",
    "cost_quality": "Overall score against seconds per frame.",
    "lengths": "Peak memory above that of the loaded model, and seconds per frame, against the length of the video.",
    "levels": "Noise levels that the windows of one video read, from the lowest to the highest, guidance included.",
    "reflection": "Self-reflection in the video with the most searches: scores, candidates and what was adopted.",
    "faults": "Which metric sees which fault, on sound videos of this suite: mean harm in deviations of the scores.",
    "foresight": "The consistency score of noisy frames against that of the same frames when they are clean.",
}
OVER_TIME = ("drift", "survival", "lags")  # figures that stand with the charts


def write(
    suite: str | Path, title: str, note: str = "", entries: Sequence[str] | None = None, first: Sequence[str] = ()
) -> Path:
    """Write the report of a suite's folder and return its path.

    Reads scores.parquet, videos.parquet, tables/*.json and plots/*.svg, and quality.json and manifest.json where they
    are. `note` is what a reader must know about the suite; `entries` orders the videos (default: as in the scores),
    `first` are the tables that come before the others, the first of them the main one.
    """
    suite = Path(suite)
    path = suite / "report/index.html"
    path.parent.mkdir(exist_ok=True)
    scores = read(suite / "scores.parquet")
    tables = read_tables(suite, first)
    plots = sorted(suite.glob("plots/*.svg"), key=lambda path: (_rank(path.stem, tuple(FIGURES)), path.stem))
    plots = [
        {"name": plot.stem, "caption": FIGURES.get(plot.stem, _words(plot.stem)), "over_time": plot.stem in OVER_TIME}
        for plot in plots
    ]
    found = found_in(tables)
    videos = records.read(suite / "videos.parquet")
    shown = gallery(videos, scores, entries)
    shown.sort(key=lambda video: video["label"] != findings.reference(found[1]))  # what a suite is about stands first
    quality, manifest = (_json(suite / f"{name}.json") for name in ("quality", "manifest"))
    page = (
        _environment()
        .get_template("page.html")
        .render(
            suite=suite.name,
            title=title,
            note=note,
            style=(FOLDER / "style.css").read_text(),
            scripts=[(FOLDER / name).read_text() for name in SCRIPTS],
            found=findings.sentences(*found),
            basis=findings.basis(found[0]),
            quality=quality,
            tables=tables,
            charts=list(charts(tables, findings.reference(found[1]))),
            plots=plots,
            tabs=list(_tabs(tables, plots, bool(shown), bool(manifest))),
            metrics=_shown_metrics(scores),
            gallery=shown,
            manifest=manifest,
            summary=_summary(scores, videos),
        )
    )
    write_text(path, page)
    write_text(path.with_name("summary.txt"), gist(title, len(shown), *found, list(LONG), quality))
    return path


def read_tables(suite: Path, first: Sequence[str] = ()) -> list[findings.Data]:
    """The tables of a suite's folder as plain data, those named in `first` before the others."""
    paths = sorted(suite.glob("tables/*.json"), key=lambda path: (_rank(path.stem, first), path.stem))
    return [json.loads(path.read_text()) for path in paths]


def found_in(tables: Sequence[findings.Data]) -> tuple[findings.Data, findings.Data | None]:
    """The main table, and the one of paired differences where there is one."""
    return tables[0], next((table for table in tables if table["name"] == "differences"), None)


def charts(tables: Sequence[findings.Data], reference: str | None = None) -> Iterator[dict[str, Any]]:
    """A chart per metric of LONG that a table has, and base model: a line per entry, places in percent of the scale."""
    for name in LONG:
        for table in tables:
            column = next((column for column in table["columns"] if column["name"] == name), None)
            if column is not None and table["words"][1:] == ["Method"]:
                yield from _charts(table, column, reference)
                break


def _charts(table: findings.Data, column: dict[str, Any], reference: str | None) -> Iterator[dict[str, Any]]:
    measured = [(row, row["cells"][column["name"]]) for row in table["rows"]]
    measured = [(row, cell) for row, cell in measured if cell["mean"] is not None]
    ends = [end for _, cell in measured for end in (cell["mean"], cell["low"], cell["high"]) if end is not None]
    low, high = min([0, *ends]), max([0, *ends])

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low or 1), 2)

    for base in dict.fromkeys(row["base"] for row, _ in measured):
        yield {key: column[key] for key in ("label", "unit")} | {
            "base": base,
            "arrow": "" if not column["ranked"] else "→" if column["higher_is_better"] else "←",
            "lines": [
                {
                    "name": row["words"][1],
                    "kind": "control" if row["control"] else "reference" if row["words"][1] == reference else "",
                    "at": place(cell["mean"]),
                    "bar": cell["low"] is not None
                    and (place(cell["low"]), round(place(cell["high"]) - place(cell["low"]), 2)),
                    "mean": _shown(cell["mean"], column),
                    "interval": findings.shown(cell, column),
                }
                for row, cell in measured
                if row["base"] == base
            ],
        }


def _tabs(tables: Sequence[findings.Data], plots: Sequence[Mapping], videos: bool, manifest: bool):
    """What stands behind the tabs: every table but the main one, the other figures, the vote, where it comes from."""
    for table in tables[1:]:
        label = table["title"].rpartition(": ")[2]
        yield {"id": f"panel-{table['name']}", "label": label[:1].upper() + label[1:]}
    if not all(plot["over_time"] for plot in plots):
        yield {"id": "figures", "label": "Figures"}
    if videos:
        yield {"id": "vote", "label": "Vote blind"}
    if manifest:
        yield {"id": "provenance", "label": "Provenance"}


def gallery(videos: pd.DataFrame, scores: pd.DataFrame, entries: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """A record per video: where it is, what made it, and its scores by protocol and metric, None for a missing one."""
    order = list(dict.fromkeys(scores["entry"])) if entries is None else list(entries)
    videos = videos[videos["entry"].isin(order)].sort_values(list(records.PLACE))
    videos = videos.iloc[videos["entry"].map(order.index).argsort(kind="stable")]
    values = {
        key: {
            protocol.partition("/")[0]: dict(zip(part["metric"], map(_plain, part["value"]), strict=True))
            for protocol, part in rows.groupby("protocol", sort=False)
        }
        for key, rows in scores.groupby(list(records.PLACE))
    }
    shown = []
    for fact, path in zip(videos.to_dict("records"), records.places(videos), strict=True):
        key = tuple(fact[name] for name in records.PLACE)
        keep = ("base", "entry", "label", "prompt_id", "prompt", "seed", "frames", "fps", "model_calls", "wall_seconds")
        shown.append(
            {name: _plain(fact[name]) for name in (*keep, "control", "port", "frames_sha256", "version")}
            | {"src": _link(path), "sidecar": _link(records.sidecar_of(path)), "scores": values.get(key, {})}
        )
    return shown


def _link(path: Path) -> str:
    return quote(f"../{path.as_posix()}")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": _shown, "with_interval": findings.shown}
    return environment


def _shown_metrics(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """What the gallery must know of the metrics of the long table; of those that are not installed here, nothing."""
    found = [known for name in dict.fromkeys(scores["metric"]) if (known := known_card(name))]
    return [{key: getattr(known, key) for key in ("name", "short", "label", "scale", "digits")} for known in found]


def _shown(value: float | None, column: Mapping[str, Any], sign: bool = False) -> str:
    return number(value, SimpleNamespace(**column), sign)


def _summary(scores: pd.DataFrame, videos: pd.DataFrame) -> dict[str, int]:
    """How many of what; controls and the videos of others are no methods."""
    identity = ["base", "entry", "prompt_id", "seed"]
    videos = videos[videos["entry"].isin(scores["entry"])]
    given, controls = videos["origin"].notna(), videos["control"].eq(True)
    apart = {"controls": videos.loc[controls, "entry"], "imported rows": videos.loc[given, "entry"]}
    return {
        "videos": len(scores[identity].drop_duplicates()),
        "methods": videos.loc[~given & ~controls, "method"].nunique(),
        **{name: entries.nunique() for name, entries in apart.items() if len(entries)},
        "base models": scores["base"].nunique(),
        "prompts": scores["prompt_id"].nunique(),
        "seeds": scores["seed"].nunique(),
    }


def _rank(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _plain(value: Any) -> Any:
    """A value that JSON knows: missing ones are None, numpy's are Python's."""
    if isinstance(value, float) and value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None
