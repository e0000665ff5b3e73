"""Weights from the Hugging Face hub: pinned, verified, recorded.

Downloads go through huggingface_hub, so its environment holds: HF_ENDPOINT (a mirror), HF_HUB_OFFLINE, HF_TOKEN. A file
is compared with the sha256 that the hub states and with the one that the first fetch recorded; the record stands beside
the models, as `<name>.json`. Files that are complete are not downloaded again.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from eval.files import file_digest, write_json
from eval.parsing import read_yaml
from miga.models import home_of, registry, remedy_for, weights
from miga.models.registry import Source


def fetch(name: str, say: Callable[[str], None] = print) -> Path:
    """Get the weights of a base model (or of a network that methods look through); returns their folder.

    Says what it will download, how many GB, from where and under which licence before it starts. Raises `ValueError`
    with one sentence when the hub cannot be reached, a download breaks or a file is not the expected one.
    """
    source = registry.source(name)
    target = home_of(source)
    if source.repo is None:
        if not is_complete(source):
            raise ValueError(f"{target} is missing: the weights of {name} are made with `{remedy_for(source)}`")
        say(f"{name} comes with this package: {target}")
        return target
    if is_complete(source):
        say(f"{name} is in {target}")
        return target
    record = read_record(source)
    revision, files = listing(source, record)
    size = sum(file["bytes"] for file in files.values()) / 1e9
    say(f"{source.label}: {len(files)} files, {size:.2f} GB, from {source.repo} at {revision[:12]}")
    say(f"licence: {source.licence}; into {target}")
    partial = target.with_name(f".{name}.download")
    check_space(partial, size * (2 if source.original else 1))
    download(source, revision, sorted(files), partial)
    verify(source, partial, files, record)
    write_json(record_of(source), dict(repo=source.repo, revision=revision, files=files))
    install(source, partial, target, say)
    return target


def record_of(source: Source) -> Path:
    return weights.home() / f"{source.name}.json"


def read_record(source: Source) -> dict[str, Any]:
    """Revision and files of the first fetch; empty before it."""
    path = record_of(source)
    found = read_yaml(path) if path.exists() else {}  # JSON is YAML
    if not isinstance(found, dict) or not isinstance(found.get("files", {}), dict):
        raise ValueError(f"{path}: is no record of a fetch: delete it, and fetch again")
    return found


def is_complete(source: Source) -> bool:
    """Whether the weights are here. Fetched files must have the sizes on record."""
    folder = home_of(source)
    if not any((folder / index).is_file() for index in ("model_index.json", "config.json")):
        return False
    files = {} if source.original else read_record(source).get("files", {})
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == file["bytes"] for name, file in files.items()
    )


def listing(source: Source, record: dict[str, Any]) -> tuple[str, dict[str, dict[str, Any]]]:
    """The revision to fetch and its needed files: size, and sha256 where the hub states one."""
    from huggingface_hub import HfApi

    wanted = source.revision or record.get("revision")
    try:
        info = HfApi(os.environ.get("HF_ENDPOINT")).model_info(source.repo, revision=wanted, files_metadata=True)
    except Exception as error:  # of httpx and of the hub, all with long explanations
        raise ValueError(unreachable(source, error)) from error
    files = {
        file.rfilename: dict(bytes=file.size, sha256=file.lfs.sha256 if file.lfs else None)
        for file in info.siblings
        if any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in source.files)
    }
    if not files:
        raise ValueError(f"{source.repo} at {info.sha} has none of the files {', '.join(source.files)}")
    return info.sha, files


def unreachable(source: Source, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160]
    return (
        f"{source.repo} cannot be read from the hub ({type(error).__name__}: {reason}): go online, set HF_ENDPOINT to "
        f"a mirror, or copy the folder {home_of(source)} from a machine that has it"
    )


def check_space(folder: Path, gigabytes: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 1e9
    done = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".incomplete"]
    here = sum(path.stat().st_size for path in done) / 1e9
    if free + here < gigabytes:
        raise ValueError(
            f"{folder.parent} has {free:.1f} GB free and {gigabytes - here:.1f} GB are needed: set MIGA_MODELS to a "
            "folder on a larger disk"
        )


def download(source: Source, revision: str, files: list[str], folder: Path) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            source.repo,
            revision=revision,
            allow_patterns=files,
            local_dir=folder,
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except Exception as error:
        raise ValueError(
            f"the download of {source.repo} broke off ({type(error).__name__}: {' '.join(str(error).split())[:160]}); "
            f"`miga models fetch {source.name}` resumes with the files that are missing"
        ) from error


def verify(source: Source, folder: Path, files: dict[str, dict[str, Any]], record: dict[str, Any]) -> None:
    """Compare every file with the hub's sha256 and the record, and fill in sha256 where the hub stated none.

    A file that is wrong is removed, so that the next fetch downloads it again.
    """
    for name, file in files.items():
        path = folder / name
        found = file_digest(path)
        recorded = record.get("files", {}).get(name, {}).get("sha256")
        for whose, expected in (("the hub states", file["sha256"]), ("the first fetch recorded", recorded)):
            if expected and expected != found:
                path.unlink()
                raise ValueError(
                    f"{name} of {source.repo} is not the expected file: its sha256 is {found[:16]}..., {whose} "
                    f"{expected[:16]}...; fetch again, or delete {record_of(source)} if the new file is wanted"
                )
        file["sha256"] = found


def install(source: Source, partial: Path, target: Path, say: Callable[[str], None]) -> None:
    """Move a complete download into place; an original checkpoint is converted on the way and then removed."""
    if target.exists():
        target.rename(aside := free_name(target))
        say(f"{target} was not {source.label} as it is fetched: what stood there is now in {aside}")
    if source.original:
        from miga.models.convert import convert

        say(f"converting to {target}")
        convert(source.name, partial / source.files[0], target)
        shutil.rmtree(partial)
    else:
        shutil.rmtree(partial / ".cache", ignore_errors=True)
        partial.rename(target)


def free_name(path: Path) -> Path:
    """A name beside `path` at which nothing stands."""
    names = (path.with_name(f"{path.name}.before-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


@dataclass(frozen=True)
class Item:
    """A row of the inventory: weights that a suite needs."""

    name: str
    present: bool
    gigabytes: float  # on disk where present, else to download
    licence: str
    folder: Path
    remedy: str


def inventory(names: Iterable[str]) -> list[Item]:
    """What of the weights of these names is here."""
    rows = []
    for name in names:
        source = registry.source(name)
        folder, present = home_of(source), is_complete(source)
        on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9 if present else 0.0
        remedy = "" if present else remedy_for(source)
        rows.append(Item(name, present, on_disk or source.gigabytes, source.licence, folder, remedy))
    return rows
