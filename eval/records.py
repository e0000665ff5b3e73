"""The results of a suite on disk: where videos stand, and what is known of each. No other module knows either.

    results/<suite>/<base>/<entry>/<prompt_id>/seed-<k>.mp4    a video
    results/<suite>/<base>/<entry>/<prompt_id>/seed-<k>.json   its sidecar: what made it
    results/<suite>/videos.parquet                             a row per video: all that is published of the sidecars

Everything published is a pure function of `videos.parquet` and `scores.parquet` (`eval.scores`). Paths inside results
are relative, so a folder that was moved or renamed is the same results.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from eval.files import replacing, write_json
from eval.parsing import parse

PLACE = ("base", "entry", "prompt_id", "seed")  # which video of a suite
IDENTITY = ("suite", "base", "entry", "method", "prompt_id", "seed")  # a video, as scores name it
SIDECARS = "*/*/*/seed-*.json"  # of the folder of a suite
LENGTHS = "*/*/length-*.json"  # what one video of that length cost, likewise
SHARDS = "*/*/shard-*.json"  # which videos a generation job has made, likewise


class Sidecar(BaseModel, extra="allow"):
    """What stands beside a video: its identity, what was asked for, what came of it, each fact once.

    The first six are required. A sidecar may say more, such as all of the request; tables need what follows.
    """

    suite: str
    base: str
    entry: str
    method: str
    prompt_id: str
    seed: int
    prompt: str | None = None
    params: dict[str, Any] | None = None  # of the method, in full
    version: str | None = None  # of the method
    weights_sha256: str | None = None  # of the base model
    frames: int | None = None  # video frames that were written
    fps: int | float | None = None
    encoder: dict[str, Any] | None = None
    frames_sha256: str | None = None  # of the frames as they decode
    wall_seconds: float | None = None
    model_calls: int | float | None = None
    peak_memory_mb: float | None = None
    control: bool | None = None  # brackets the metrics; no contender
    sound: bool | None = None  # a control that nothing is wrong with
    port: bool | None = None  # to this base model by this project
    origin: str | None = None  # "trained" or "external" where others made it, None where this project did
    streaming: bool | None = None  # memory does not grow with the length
    prompt_tokens: list[dict[str, int] | None] | None = None  # that each prompt had, and that its text tower used
    trace: dict[str, list[dict[str, Any]]] | None = None  # what the method told about its run


NESTED = ("params", "encoder", "prompt_tokens", "trace")  # held as JSON
TYPES = {"seed": pa.int64(), "frames": pa.int64()} | {
    name: kind
    for kind, names in {
        pa.float64(): ("fps", "wall_seconds", "model_calls", "peak_memory_mb"),
        pa.bool_(): ("control", "sound", "port", "streaming"),
    }.items()
    for name in names
}
SCHEMA = pa.schema([(name, TYPES.get(name, pa.string())) for name in (*Sidecar.model_fields, "label")])


def place(base: str, entry: str, prompt_id: str, seed: int) -> Path:
    """Where a video stands in the folder of its suite."""
    return Path(base, entry, prompt_id, f"seed-{seed}.mp4")


def places(rows: pd.DataFrame) -> list[Path]:
    """Where the videos of the rows of either table stand in the folder of their suite."""
    return [place(*which) for which in rows[list(PLACE)].itertuples(index=False)]


def sidecar_of(video: str | Path) -> Path:
    return Path(video).with_suffix(".json")


def read_sidecar(path: str | Path) -> Sidecar:
    """A sidecar, checked. Without a prompt id, it is the name of the folder.

    `FileNotFoundError` where there is none; `ValueError` names the file and what it does not say, or says wrongly.
    """
    path = Path(path)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(said, dict):
        raise ValueError(f"{path}: the sidecar must hold an object")
    said = {"prompt_id": path.parent.name, **said}
    if missing := [name for name in IDENTITY if name not in said]:
        raise ValueError(f"{path}: the sidecar does not say {', '.join(missing)}")
    return parse(Sidecar, said, str(path))


def identity_of(video: str | Path) -> dict[str, Any]:
    """Which video a file is, by the sidecar beside it. `ValueError` where there is none."""
    return read_beside(video).model_dump(include=set(IDENTITY))


def read_beside(video: str | Path) -> Sidecar:
    """The sidecar beside a video; `ValueError` where there is none."""
    try:
        return read_sidecar(sidecar_of(video))
    except FileNotFoundError:
        raise ValueError(
            f"{video}: no sidecar {sidecar_of(video).name} beside it; `miga score` scores videos without one"
        ) from None


def collect(sidecars: Iterable[str | Path], labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The table of videos, made of sidecars: a row each, in their order. What a sidecar does not say is None.

    labels: how tables call an entry; default: by its name. No sidecar holds any, so that an edited one is everywhere.
    """
    rows, labels = [], labels or {}
    for path in sidecars:
        row = read_sidecar(path).model_dump(include=set(SCHEMA.names) - {"label"})
        row["label"] = labels.get(row["entry"], row["entry"])
        rows.append(row | {name: json.dumps(row[name]) for name in NESTED if row[name] is not None})
    return _decoded(pa.Table.from_pylist(rows, SCHEMA))


def write(videos: pd.DataFrame, path: str | Path) -> None:
    """Write the table of videos; equal tables give equal bytes."""
    encoded = {name: [v if v is None else json.dumps(v) for v in videos[name]] for name in NESTED}
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_pandas(videos.assign(**encoded), SCHEMA, preserve_index=False), partial)


def read(path: str | Path) -> pd.DataFrame:
    """The table of videos. `ValueError` where the file is missing or is none."""
    try:
        if lacking := set(IDENTITY) - set(pq.read_schema(path).names):
            raise ValueError(f"it has no column {min(lacking)}")
        return _decoded(pq.read_table(path, schema=SCHEMA))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such table of videos") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path}: not a table of videos ({reason}); remove it, and its suite makes it again from the sidecars"
        ) from None


def found(suite: str | Path, lenient: bool = False) -> pd.DataFrame:
    """What is known of the videos in the folder of a suite that may be unfinished.

    lenient: what cannot be read is left aside; else it is a `ValueError` that names it.
    """
    table = Path(suite, "videos.parquet")
    try:
        return read(table) if table.is_file() else collect(sorted(Path(suite).glob(SIDECARS)))
    except ValueError:
        if not lenient:
            raise
    return collect(path for path in sorted(Path(suite).glob(SIDECARS)) if readable(path))


def readable(sidecar: Path) -> bool:
    """Whether there is a whole sidecar."""
    try:
        return bool(read_sidecar(sidecar))
    except (OSError, ValueError):
        return False


def read_lengths(paths: Iterable[str | Path]) -> pd.DataFrame:
    """What videos of several lengths cost, a row each (`miga.experiment.measure`)."""
    return pd.DataFrame([json.loads(Path(path).read_text(encoding="utf-8")) for path in paths])


def _decoded(table: pa.Table) -> pd.DataFrame:
    videos = table.replace_schema_metadata(None).to_pandas()
    for name in NESTED:
        videos[name] = pd.Series(
            [json.loads(v) if isinstance(v, str) else None for v in videos[name]], videos.index, dtype=object
        )
    return videos


def labels_of(videos: pd.DataFrame, entries: Iterable[str]) -> dict[str, str]:
    """Entry -> how tables call it, in the order of `entries`; one of which no video is known, by its name."""
    known = dict(zip(videos["entry"], videos["label"], strict=True))
    return {entry: known.get(entry, entry) for entry in entries}


def told(trace: Mapping[str, list] | None, kind: str) -> pd.DataFrame:
    """The events of one kind in a trace of the table of videos, a row each; empty where there are none."""
    return pd.DataFrame((trace or {}).get(kind, []))


def write_shard(videos: Iterable[Path], path: Path) -> None:
    """What a generation job has made. Videos stand below the folder of `path`."""
    write_json(path, [video.relative_to(path.parent).as_posix() for video in videos])


def read_shards(paths: Iterable[str | Path]) -> list[Path]:
    """The videos of some generation jobs, wherever their folders are now."""
    return [Path(path).parent / video for path in paths for video in json.loads(Path(path).read_text())]
