"""Folders of videos that anybody made: the long table, written after every video, and what a cut-off run left of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval import scores
from eval.files import file_digest
from eval.names import SUFFIXES, is_video, prompt_and_index, readable
from eval.records import IDENTITY
from eval.scores import COLUMNS, KEY
from eval.vbench.score import Backbones, row

Rows = list[dict[str, Any]]
Video = tuple[Path, dict[str, Any]]  # and its identity
NAMED = 6  # of many files, so many are named


def foreign(folder: str | Path) -> list[Video]:
    """(path, identity) of the videos in a folder that somebody else made, named `<prompt>-<i>.mp4` as VBench does."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.iterdir() if is_video(path))
    if not paths:
        others = "; ".join(left_aside(folder))
        raise ValueError(f"{folder}: no videos ({', '.join(SUFFIXES)}) in this folder" + (f"; {others}" * bool(others)))
    name = readable(folder.resolve().name)
    named: dict[tuple[str, int], Path] = {}
    for path in paths:
        place = prompt_and_index(path)
        if place in named:
            raise ValueError(f"{folder}: {named[place].name} and {path.name} are both sample {place[1]} of one prompt")
        named[place] = path
    return [(path, dict(zip(IDENTITY, ("custom", "", name, "", *place), strict=True))) for place, path in named.items()]


def left_aside(folder: Path) -> Iterator[str]:
    """A sentence for each kind of thing in a folder that is not scored, with the first names."""
    paths = sorted(folder.iterdir())
    videos = {path.stem for path in paths if is_video(path)}
    kinds = {"sub-folder": [], "hidden file": [], "file of another kind": []}
    for path in paths:
        if path.is_dir():
            kinds["sub-folder"].append(path)
        elif path.name.startswith("."):
            kinds["hidden file"].append(path)
        elif not is_video(path) and not (path.suffix == ".json" and path.stem in videos):  # its sidecar
            kinds["file of another kind"].append(path)
    for kind, found in kinds.items():
        if found:
            names = ", ".join(readable(path.name) for path in found[:NAMED])
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            words = kind if len(found) == 1 else kind.replace("folder", "folders").replace("file", "files", 1)
            yield f"left aside: {len(found)} {words} ({names}{more})"


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

    scorer: (path, backbones, metrics=...) -> rows of the protocol. resume: what the table says of a file with the
    content of today stays, and the rows of other folders; computed is only what has no value there, or one of other
    networks. Rows of videos that are gone go.
    """  # fmt: skip
    digests = {_name(identity): _digest(path) for path, identity in videos}
    rows, before = _kept(videos, digests, out) if resume and out.is_file() else ({}, {})
    files = before | {name: digest for name, digest in digests.items() if digest}
    empty = [row(metric, backbones, 0) | {"protocol": protocol} for metric in metrics]
    for path, identity in videos:
        lacking = [wanted["metric"] for wanted in empty if not _holds(rows.get(_key(identity | wanted)), wanted)]
        if lacking:
            rows |= {_key(identity | found): identity | found for found in scorer(path, backbones, metrics=lacking)}
        scores.write(pd.DataFrame(rows.values(), columns=list(COLUMNS)), out, files)


def _kept(
    videos: Sequence[Video], digests: Mapping[str, str | None], out: Path
) -> tuple[dict[tuple, dict[str, Any]], dict[str, str]]:
    """Rows by key, and files by name, of a table: of this folder those of the same content, of other folders all."""
    old, files = scores.read(out), scores.scored_files(out)
    folder = videos[0][1]["entry"]
    same = {name for name, digest in digests.items() if digest and digest == files.get(name)}
    rows = old.astype(object).where(old.notna(), None).to_dict("records")
    rows = [found for found in rows if found["entry"] != folder or _name(found) in same]
    names = {_name(found) for found in rows}
    return {_key(found): found for found in rows}, {name: files[name] for name in names & files.keys()}


def _name(found: Mapping[str, Any]) -> str:
    return "/".join(str(found[name]) for name in ("entry", "prompt_id", "seed"))


def _digest(path: Path) -> str | None:
    """sha256 of a file; None where it cannot be read, or is none: a pipe would be waited for."""
    if not path.is_file():
        return None
    try:
        return file_digest(path)
    except OSError:
        return None


def _holds(found: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    return found is not None and found["value"] is not None and found["version"] == wanted["version"]


def _key(found: Mapping[str, Any]) -> tuple:
    return tuple(found[name] for name in KEY)
