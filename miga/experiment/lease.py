"""One GPU per job: Snakemake counts GPUs but does not say which one a job has."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")


def gpus() -> list[str]:
    """The GPUs that this process may use, each by a name that CUDA_VISIBLE_DEVICES takes.

    By UUID where `nvidia-smi` tells it, since an index means another card in another order or inside a job of Slurm's;
    a GPU that is cut into MIG slices is its slices.
    """
    here, visible = listed(), os.environ.get(VISIBLE)
    if visible is None:
        return [slice for slices in here for slice in slices] or indices()
    return [one for name in filter(None, visible.split(",")) for one in meant(name.strip(), here)]


def listed() -> list[list[str]]:
    """UUIDs by `nvidia-smi -L`: of each GPU in the order of its index, or of its MIG slices. Empty without it."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    found: list[list[str]] = []
    for line in done.stdout.splitlines():
        if named := re.search(r"\(UUID: ((GPU|MIG)-\S+)\)", line):
            if named[2] == "GPU":
                found.append([named[1]])
            else:
                found[-1] = [one for one in found[-1] if one.startswith("MIG")] + [named[1]]
    return found


def meant(name: str, here: list[list[str]]) -> list[str]:
    """What an element of CUDA_VISIBLE_DEVICES stands for: an index is a GPU of `nvidia-smi`, all else itself."""
    return here[int(name)] if name.isdigit() and int(name) < len(here) else [name]


def indices() -> list[str]:
    return sorted((p.name[6:] for p in DEVICES.glob("nvidia[0-9]*")), key=int)


@contextmanager
def lease_gpu(folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of the GPUs that this process may use while the block runs, and let CUDA see no other.

    Yields it as in CUDA_VISIBLE_DEVICES, or None on a machine without NVIDIA GPUs. Waits until one is free. Where there
    is one only that Slurm, a container or a person chose by that variable, it is this process's own: nobody is waited
    for. Must be entered before torch touches CUDA. A lease ends with its process, however that ends.
    """
    visible, choice = os.environ.get(VISIBLE), gpus()
    if not choice or (visible is not None and len(choice) == 1):
        yield choice[0] if choice else None
        return
    with held(choice, folder or Path(tempfile.gettempdir(), f"miga-gpus-{os.getuid()}")) as gpu:
        os.environ[VISIBLE] = gpu
        try:
            yield gpu
        finally:
            os.environ.pop(VISIBLE)
            if visible is not None:
                os.environ[VISIBLE] = visible


@contextmanager
def held(choice: list[str], folder: Path) -> Iterator[str]:
    """The first of these that nobody holds, locked in the folder; waits for one."""
    folder.mkdir(exist_ok=True)
    while True:
        for gpu in choice:
            with open(folder / lock_of(gpu), "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield gpu
                return
        time.sleep(1)


def lock_of(gpu: str) -> str:
    """The name of a lock: of this machine by UUID; an index counts within its own job of Slurm's only."""
    scope = os.environ.get("SLURM_JOB_ID", "") if gpu.isdigit() else ""
    return f"{scope}-{gpu.replace('/', '-')}.lock".lstrip("-")
