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

from eval.cards import card, of_videos
from eval.files import write_text
from eval.scores import read, read_sidecars

FOLDER = Path(__file__).parent

FIGURES = {
    "comparison": "Every metric of every method with its 95 % interval; controls are hollow and grey.",
    "drift": "Similarity to the first window over time; bands are 95 % intervals of the mean over prompts.",
    "consistency_motion": "Overall score against motion: a frozen picture stands in the upper left corner.",
    "cost_quality": "Overall score against seconds per frame.",
    "lengths": "Peak memory above that of the loaded model, and seconds per frame, against the length of the video.",
    "levels": "Noise levels that the windows of one video read, from the lowest to the highest, guidance included.",
    "reflection": "Self-reflection in the video with the most searches: scores, candidates and what was adopted.",
    "foresight": "The consistency score of noisy frames against that of the same frames when they are clean.",
}
FIRST = ("vbench", "narrlv", "differences", "cost")  # tables in this order, then the ablations


def write(suite: str | Path, title: str, note: str = "", entries: Sequence[str] | None = None) -> Path:
    """Write the report of a suite's folder and return its path.

    Reads scores.parquet, the sidecars, tables/*.json and plots/*.svg, and quality.json and manifest.json where they
    are. `note` is what a reader must know about the suite; `entries` orders the gallery (default: as in the scores).
    """
    suite = Path(suite)
    path = suite / "report/index.html"
    path.parent.mkdir(exist_ok=True)
    scores = read(suite / "scores.parquet")
    tables = sorted(suite.glob("tables/*.json"), key=lambda path: (_rank(path.stem), path.stem))
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
            gallery=gallery(suite, scores, entries),
            manifest=_json(suite / "manifest.json"),
            summary=_summary(scores),
        )
    )
    write_text(path, page)
    return path


def gallery(suite: Path, scores: pd.DataFrame, entries: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """A record per video: where it is, what made it, and its scores; reasons in place of missing ones."""
    found = scores[["base", "entry", "prompt_id", "seed"]].drop_duplicates()
    places = [suite / row.base / row.entry / row.prompt_id / f"seed-{row.seed}.json" for row in found.itertuples()]
    facts = read_sidecars(place for place in places if place.is_file())
    order = list(dict.fromkeys(scores["entry"])) if entries is None else list(entries)
    facts = facts[facts["entry"].isin(order)]
    facts = facts.iloc[facts["entry"].map(order.index).argsort(kind="stable")]
    values = {
        key: {row.metric: None if pd.isna(row.value) else row.value for row in rows.itertuples()}
        for key, rows in scores.groupby(["base", "entry", "prompt_id", "seed"])
    }
    records = []
    for fact in facts.to_dict("records"):
        key = (fact["base"], fact["entry"], fact["prompt_id"], fact["seed"])
        path = Path(fact["path"]).relative_to(suite)
        keep = ("base", "entry", "label", "prompt_id", "prompt", "seed", "frames", "fps", "model_calls", "wall_seconds")
        records.append(
            {name: _plain(fact[name]) for name in (*keep, "control", "port", "frames_sha256", "version")}
            | {"src": _link(path.with_suffix(".mp4")), "sidecar": _link(path), "scores": values.get(key, {})}
        )
    return records


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
    environment.globals["metrics"] = [
        {name: getattr(shown, name) for name in ("name", "short", "label", "scale", "digits")}
        for shown in map(card, of_videos())
    ]
    return environment


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


def _rank(name: str, order: Sequence[str] = FIRST) -> int:
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
