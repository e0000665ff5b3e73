"""Folders of videos that anybody made: the long table, written after every video, and what a cut-off run left of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval import scores
from eval.records import IDENTITY
from eval.scores import COLUMNS, KEY
from eval.vbench.score import SUFFIXES, Backbones, row

Rows = list[dict[str, Any]]
Video = tuple[Path, dict[str, Any]]  # and its identity


def foreign(folder: str | Path) -> list[Video]:
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
    return [(path, dict(zip(IDENTITY, ("custom", "", name, "", *place), strict=True))) for place, path in named.items()]


def score_folder(
    videos: Sequence[Video],
    scorer: Callable[..., Rows],
    backbones: Backbones,
    protocol: str,
    metrics: Sequence[str],
    out: Path,
    resume: bool = False,
) -> None:
    """Rows of all videos; the table is written after each, so that a run that is cut off has lost one at most.

    scorer: (path, backbones, metrics=...) -> rows of the protocol. resume: what the table has stays; computed is only
    what has no value there, or one of other networks, and all of a video that is newer than the table.
    """  # fmt: skip
    rows = {_key(found): found for found in (_kept(videos, out) if resume and out.is_file() else ())}
    empty = [row(metric, backbones, 0) | {"protocol": protocol} for metric in metrics]
    for path, identity in videos:
        lacking = [wanted["metric"] for wanted in empty if not _holds(rows.get(_key(identity | wanted)), wanted)]
        if lacking:
            rows |= {_key(identity | found): identity | found for found in scorer(path, backbones, metrics=lacking)}
        scores.write(pd.DataFrame(rows.values(), columns=list(COLUMNS)), out)


def _kept(videos: Iterable[Video], out: Path) -> Rows:
    """The rows of a table, without those of videos that may have changed since."""
    old, written = scores.read(out), out.stat().st_mtime_ns
    newer = {tuple(identity.values()) for path, identity in videos if path.stat().st_mtime_ns >= written}
    rows = old.astype(object).where(old.notna(), None).to_dict("records")
    return [found for found in rows if tuple(found[name] for name in IDENTITY) not in newer]


def _holds(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    return found is not None and found["value"] is not None and found["version"] == wanted["version"]


def _key(found: Mapping[str, Any]) -> tuple:
    return tuple(found[name] for name in KEY)
