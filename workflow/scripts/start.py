"""What every script does first: `start(snakemake)` before anything heavy is imported."""

import os
import sys
from contextlib import ExitStack

from miga.experiment.warm import hand_over

HELD = ExitStack()  # until the process ends


def start(snakemake, threads: int | None = None) -> None:
    """Run as a fork of the run's process that has imported it all, where there is one. Send all output, also that of
    libraries and of errors, to the rule's log; use the job's threads only, or so many, and of the GPUs one that no
    other job has, where the rule asks for one."""
    hand_over()
    log = open(snakemake.log[0], "w", buffering=1, encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads or snakemake.threads)
    if torch := sys.modules.get("torch"):  # of a fork: it has read the environment already
        torch.set_num_threads(threads or snakemake.threads)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if snakemake.resources.get("gpu"):
        from miga.experiment.lease import lease_gpu

        HELD.enter_context(lease_gpu())
