"""What every script does first: `start(snakemake)` before anything heavy is imported."""

import os
import sys
from contextlib import ExitStack

HELD = ExitStack()  # until the process ends


def start(snakemake, threads: int | None = None) -> None:
    """Send all output, also that of libraries and of errors, to the rule's log; use the job's threads only, or so many,
    and of the GPUs one that no other job has, where the rule asks for one."""
    log = open(snakemake.log[0], "w", buffering=1, encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads or snakemake.threads)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if snakemake.resources.get("gpu"):
        from miga.experiment.lease import lease_gpu

        HELD.enter_context(lease_gpu())
