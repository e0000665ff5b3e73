"""The report: one static page per suite that opens from the file system, without a network.

    results/<suite>/report/index.html   tables, figures and a gallery of synchronised videos

The page holds its styles, its script and its data; figures and videos are the suite's own files, by relative paths.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval import records
from eval.files import write_text
from eval.metric import known_card
from eval.scores import read

FOLDER = Path(__file__).parent

FIGURES = {
    "comparison": "The metrics of the main table of every method with its 95 % interval; controls are hollow and grey.",
    "drift": "Similarity to the first window over time; bands are 95 % intervals of the mean over prompts.",
    "consistency_motion": "Overall score against motion: a frozen picture stands in the upper left corner.",
    "cost_quality": "Overall score against seconds per frame.",
    "lengths": "Peak memory above that of the loaded model, and seconds per frame, against the length of the video.",
    "levels": "Noise levels that the windows of one video read, from the lowest to the highest, guidance included.",
    "reflection": "Self-reflection in the video with the most searches: scores, candidates and what was adopted.",
    "survival": "Share of videos that have not lost the asked subject yet (Kaplan and Meier), over time.",
    "lags": "Mean similarity of frames against their distance: a frozen or looped video is its best.",
    "faults": "Which metric sees which fault, on sound videos of this suite: mean harm in deviations of the scores.",
    "foresight": "The consistency score of noisy frames against that of the same frames when they are clean.",
}


def write(
    suite: str | Path, title: str, note: str = "", entries: Sequence[str] | None = None, first: Sequence[str] = ()
) -> Path:
    """Write the report of a suite's folder and return its path.

    Reads scores.parquet, videos.parquet, tables/*.json and plots/*.svg, and quality.json and manifest.json where they
    are. `note` is what a reader must know about the suite; `entries` orders the gallery (default: as in the scores),
    `first` are the tables that come before the others.
    """
    suite = Path(suite)
    path = suite / "report/index.html"
    path.parent.mkdir(exist_ok=True)
    scores = read(suite / "scores.parquet")
    tables = sorted(suite.glob("tables/*.json"), key=lambda path: (_rank(path.stem, first), path.stem))
    plots = sorted(suite.glob("plots/*.svg"), key=lambda path: (_rank(path.stem, tuple(FIGURES)), path.stem))
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            note=note,
            style=(FOLDER / "style.css").read_text(),
            script=(FOLDER / "script.js").read_text(),
            quality=_json(suite / "quality.json"),
            tables=[json.loads(path.read_text()) for path in tables],
            plots=[{"name": plot.stem, "caption": FIGURES.get(plot.stem, _words(plot.stem))} for plot in plots],
            metrics=_shown_metrics(scores),
            gallery=gallery(records.read(suite / "videos.parquet"), scores, entries),
            manifest=_json(suite / "manifest.json"),
            summary=_summary(scores),
        )
    )
    write_text(path, page)
    return path


def gallery(videos: pd.DataFrame, scores: pd.DataFrame, entries: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """A record per video: where it is, what made it, and its scores; reasons in place of missing ones."""
    order = list(dict.fromkeys(scores["entry"])) if entries is None else list(entries)
    videos = videos[videos["entry"].isin(order)].sort_values(list(records.PLACE))
    videos = videos.iloc[videos["entry"].map(order.index).argsort(kind="stable")]
    values = {
        key: {row.metric: None if pd.isna(row.value) else row.value for row in rows.itertuples()}
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
    environment.filters["shown"] = _shown
    return environment


def _shown_metrics(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """What the gallery must know of the metrics of the long table; of those that are not installed here, nothing."""
    found = [known for name in dict.fromkeys(scores["metric"]) if (known := known_card(name))]
    return [{key: getattr(known, key) for key in ("name", "short", "label", "scale", "digits")} for known in found]


def _shown(value: float | None, column: dict[str, Any], sign: bool = False) -> str:
    if value is None:
        return "–"
    shown = round(value * column["scale"], column["digits"]) + 0.0  # no negative zero
    return f"{shown:{'+' if sign else ''}.{column['digits']}f}".replace("-", "−")


def _summary(scores: pd.DataFrame) -> dict[str, int]:
    identity = ["base", "entry", "prompt_id", "seed"]
    return {
        "videos": len(scores[identity].drop_duplicates()),
        "methods": scores["method"].nunique(),
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
