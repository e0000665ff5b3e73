"""The one long table: a row per video and metric. Everything published is a pure function of it and of the table of
videos (`eval.records`). `entry` is a method with its parameters under a name; `prompt_id` and `seed` pair entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eval import records
from eval.files import replacing

# What may name a video in a row. `label`, how tables called its entry, stands in tables of version 0.1 and is what
# scripts of that time give: it is taken and left aside, since labels are joined when a table is made.
IDENTITY = ("suite", "base", "entry", "method", "label", "prompt_id", "seed")
SCHEMA = pa.schema(
    [
        *((name, pa.int64() if name == "seed" else pa.string()) for name in records.IDENTITY),
        ("frames", pa.int64()),  # frames decoded; 0 where the file could not be read
        ("metric", pa.string()),
        ("protocol", pa.string()),  # through which networks and rules: scores of two protocols never meet
        ("version", pa.string()),
        ("value", pa.float64()),  # null exactly where `reason` is not
        ("reason", pa.string()),
        ("series", pa.list_(pa.float64())),  # per frame or per pair of frames
    ]
)
SCORED = "videos_sha256"  # key of the parquet file's own metadata
COLUMNS = tuple(SCHEMA.names)
KEY = ["suite", "base", "entry", "prompt_id", "seed", "metric", "protocol"]


def check(scores: pd.DataFrame, name: str = "scores") -> pd.DataFrame:
    """The table itself, in the schema's order; `ValueError` says which column or row does not fit the contract."""
    missing = [column for column in COLUMNS if column not in scores]
    if missing:
        raise ValueError(f"{name}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    scores = scores[list(COLUMNS)].reset_index(drop=True)
    values = pd.to_numeric(scores["value"], errors="coerce")
    unclear = values.isna() == scores["reason"].isna()
    if unclear.any():
        row = scores[unclear].iloc[0]
        raise ValueError(f"{name}: {_names(row)} needs either a value or a reason, not both and not neither")
    if np.isinf(values).any():
        raise ValueError(f"{name}: {_names(scores[np.isinf(values)].iloc[0])} has an infinite value")
    twice = scores.duplicated(KEY)
    if twice.any():
        raise ValueError(f"{name}: {_names(scores[twice].iloc[0])} is there twice")
    return scores


def write(scores: pd.DataFrame, path: str | Path, videos: Mapping[str, str] | None = None) -> None:
    """Write the table as parquet after checking it; the same table gives the same bytes.

    videos: sha256 of the files that were scored, by name; `scored_files` reads it.
    """
    path = Path(path)
    scores = check(scores, path.name).sort_values(KEY, kind="stable")
    notes = {SCORED: json.dumps(videos, sort_keys=True)} if videos else None
    with replacing(path) as partial:
        pq.write_table(
            pa.Table.from_pandas(scores, SCHEMA, preserve_index=False).replace_schema_metadata(notes), partial
        )


def scored_files(path: str | Path) -> dict[str, str]:
    """The sha256 of the files that a table was computed from, by name; empty where it does not say."""
    return json.loads((pq.read_schema(path).metadata or {}).get(SCORED.encode(), b"{}"))


def read(paths: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """The table of one file, or of several together."""
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if missing := [str(path) for path in paths if not Path(path).is_file()]:
        raise ValueError(f"{missing[0]}: no such file of scores")
    tables = [_read(path) for path in paths]
    return check(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS)))


def _read(path: str | Path) -> pd.DataFrame:
    try:
        return pq.read_table(path, schema=SCHEMA).to_pandas()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"{path}: cannot be read as a table of scores ({reason})") from None


def _names(row: pd.Series) -> str:
    return "/".join(str(row[column]) for column in KEY)
