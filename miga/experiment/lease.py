"""One GPU per job: Snakemake counts GPUs but does not say which one a job has."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lease_gpu(folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of this machine's visible GPUs while the block runs, and let CUDA see no other.

    Yields its index as in CUDA_VISIBLE_DEVICES, or None on a machine without NVIDIA GPUs. Waits until one is free. Must
    be entered before torch touches CUDA. A lease ends with its process, however that ends.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible is not None else [p.name[6:] for p in Path("/dev").glob("nvidia[0-9]*")]
    gpus = sorted(filter(None, gpus))
    if not gpus:
        yield None
        return
    folder = folder or Path(tempfile.gettempdir(), f"miga-gpus-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    while True:
        for gpu in gpus:
            with open(folder / f"{gpu.replace('/', '-')}.lock", "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                try:
                    yield gpu
                finally:
                    os.environ.pop("CUDA_VISIBLE_DEVICES")
                    if visible is not None:
                        os.environ["CUDA_VISIBLE_DEVICES"] = visible
                return
        time.sleep(1)
