"""Folders of videos that anybody made: the long table, written after every video, and what a cut-off run left of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eval import scores
from eval.scores import COLUMNS, IDENTITY
from eval.vbench.score import SUFFIXES, Backbones, row

Rows = list[dict[str, Any]]


def foreign(folder: str | Path) -> list[tuple[Path, dict[str, Any]]]:
    """(path, identity) of the videos in a folder that somebody else made, named `<prompt>-<i>.mp4` as VBench does."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"{folder}: no videos ({', '.join(SUFFIXES)}) in this folder")
    name = folder.resolve().name
    named: dict[tuple[str, int], Path] = {}
    for path in paths:
        prompt, _, index = path.stem.rpartition("-")
        place = (prompt, int(index)) if prompt and index.isdigit() else (path.stem, 0)
        if place in named:
            raise ValueError(f"{folder}: {named[place].name} and {path.name} are both sample {place[1]} of one prompt")
        named[place] = path
    return [
        (path, dict(zip(IDENTITY, ("custom", "", name, "", name, *place), strict=True)))
        for place, path in named.items()
    ]


def score_folder(
    videos: Iterable[tuple[Path, dict[str, Any]]],
    scorer: Callable[[Path], Rows],
    out: Path,
    finished: Mapping[Path, Rows],
) -> None:
    """Rows of all videos, taken from `finished` where it has them; a run that is cut off loses one video at most."""
    rows: Rows = []
    for path, identity in videos:
        rows += finished.get(path) or [identity | found for found in scorer(path)]
        scores.write(pd.DataFrame(rows, columns=list(COLUMNS)), out)


def finished(
    videos: Iterable[tuple[Path, dict[str, Any]]], out: Path, backbones: Backbones, metrics: Collection[str]
) -> dict[Path, Rows]:
    """Rows that an earlier run left in a table, of videos older than it with a value there for each metric.

    Rows of other networks, protocols or versions do not count.
    """
    if not out.is_file():
        return {}
    old, written = scores.read(out), out.stat().st_mtime_ns
    wanted = {(metric, row(metric, backbones, 0)["version"]) for metric in metrics}
    asked = old["metric"].str.removesuffix("_clip_to_clip").isin(metrics)
    current = old["version"].isin({version for _, version in wanted}) & (old["protocol"] == backbones.protocol)
    parts = dict(list(old[asked & current].groupby(list(IDENTITY))))
    found = {}
    for path, identity in videos:
        part = parts.get(tuple(identity.values()))
        if part is None or path.stat().st_mtime_ns >= written:
            continue
        if wanted <= {(r.metric, r.version) for r in part[part["value"].notna()].itertuples()}:
            found[path] = part.astype(object).where(part.notna(), None).to_dict("records")
    return found
