"""What every script does first: `start(snakemake)` before anything heavy is imported."""

import os
import sys
import traceback
from contextlib import ExitStack, suppress
from functools import partial

from miga.experiment.warm import hand_over

HELD = ExitStack()  # until the process ends


def start(snakemake, threads: int | None = None) -> None:
    """Run as a fork of the run's process that has imported it all, where there is one. Send all output, also that of
    libraries and of errors, to the rule's log; use the job's threads only, or so many, and of the GPUs one that no
    other job has, where the rule asks for one."""
    hand_over()
    screen = os.dup(2)
    log = open(snakemake.log[0], "w", buffering=1, encoding="utf-8")  # noqa: SIM115 (open until the process ends)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    sys.excepthook = partial(ended, screen)
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads or snakemake.threads)
    if torch := sys.modules.get("torch"):  # of a fork: it has read the environment already
        torch.set_num_threads(threads or snakemake.threads)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if snakemake.resources.get("gpu"):
        from miga.experiment.lease import lease_gpu

        HELD.enter_context(lease_gpu())


def ended(screen: int, kind: type[BaseException], error: BaseException, trace) -> None:
    """An error that ends a script: its log says where it comes from, and last what it is; where the log takes no more,
    as on a full disk, who looks on is told."""
    where = "".join(traceback.format_exception(kind, error, trace))
    try:
        os.write(1, where.encode("utf-8", "backslashreplace"))
        os.fsync(1)
    except OSError:
        with suppress(OSError):
            os.write(screen, f"{where.splitlines()[-1]}\n".encode("utf-8", "backslashreplace"))
