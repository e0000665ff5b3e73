"""Files in the folder of a suite that a run has made and reads again: which of them nobody can read.

Snakemake looks at dates only, so an empty file or half of one (a full disk, a lost power) passes for finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from glob import glob
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from eval.records import LENGTHS, SHARDS

SAID = {  # keys that each must have, beside others
    "manifest.json": {"files": dict, "config": dict},
    "quality.json": {"verdict": str, "groups": list},
    "prompts.json": {},
    "tables/*.json": {"columns": list, "rows": list},
    "rounds/*/settled.json": {"settled": bool},
    "wandb/published.json": {"state": str},
    LENGTHS: {"frames": int},
}
TABLES = {"videos.parquet": "eval.records", "scores.parquet": "eval.scores"}  # by the module that has the schema


def unreadable(suite: Path, benchmarks: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """(file, what is wrong with it) for each one that its rule has to make again.

    `ValueError` where a folder stands in the place of one: it is not ours, and nobody removes it.
    """
    for pattern, read in readers(benchmarks).items():
        for path in (suite / name for name in sorted(glob(pattern, root_dir=suite))):  # links to nowhere too
            if path.is_dir() and not pattern.endswith("*"):
                raise ValueError(f"{path}: a folder, where a file of this suite belongs: move it away")
            if not path.is_dir() and (wrong := _wrong(path, read)):
                yield path, wrong


def lines(found: Mapping[Path, str], shown: int = 5) -> Iterator[str]:
    """A sentence for each of the first ones, and how many more there are."""
    for path, wrong in islice(found.items(), shown):
        yield f"{path}: cannot be read ({wrong}); it is made again where this run needs it"
    if (more := len(found) - shown) > 0:
        yield f"and {more} more files cannot be read and are made again"


def readers(benchmarks: Iterable[str]) -> dict[str, Callable[[Path], Any]]:
    """Pattern of files -> what reads one; a `ValueError` or `OSError`, or False, says that it is none."""
    found = {name: partial(_of_schema, module) for name, module in TABLES.items()}
    found |= {f"*/*/{name}/*.parquet": partial(_of_schema, "eval.scores") for name in benchmarks}
    found |= dict.fromkeys(("tables/*", "plots/*", "leaderboard/*", "faults.*", "report/*"), _whole)
    return (
        found
        | {name: partial(_says, keys) for name, keys in SAID.items()}
        | {
            "run.json": lambda path: None,  # written anew by every run
            "passes.json": lambda path: None,  # and this, where it cannot be read
            SHARDS: _shard,
            "*/text-*.safetensors": _texts,
        }
    )


def _wrong(path: Path, read: Callable[[Path], Any]) -> str | None:
    try:
        return "it is of another kind" if read(path) is False else None
    except FileNotFoundError:
        return "a link to nowhere"
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return " ".join(str(error).split())[:160] or type(error).__name__


def _whole(path: Path) -> None:
    if not path.stat().st_size:
        raise ValueError("it is empty")


def _number(said: str) -> None:
    raise ValueError(f"it holds {said}, which is no number")


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=_number)


def _says(keys: Mapping[str, type], path: Path) -> bool:
    found = _json(path)
    return (
        isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in keys.items()) and found != {}
    )


def _shard(path: Path) -> bool:
    """A list of videos, never an empty one."""
    found = _json(path)
    return isinstance(found, list) and bool(found) and all(isinstance(name, str) for name in found)


def _of_schema(module: str, path: Path) -> bool:
    import pyarrow.parquet as pq

    return pq.read_schema(path).remove_metadata().equals(import_module(module).SCHEMA)


def _texts(path: Path) -> bool:
    """By its head: how long each tensor is says how long the file must be."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size < path.stat().st_size:
            raise ValueError("it is cut short")
        head = json.loads(file.read(size))
    if not head.pop("__metadata__", None):
        raise ValueError("it holds no prompts")
    return 8 + size + max(tensor["data_offsets"][1] for tensor in head.values()) == path.stat().st_size
