"""Take away the lock of a killed run: `python workflow/unlock.py` in its folder, before it is started again.

Where a run, or a job of a killed one, is still alive, nothing is touched and the sentence names its process.
"""

import sys
from pathlib import Path

import psutil


def alive() -> list[int]:
    """Processes of Snakemake and of its jobs that work in this folder."""
    here, found = Path.cwd(), []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            ours = any(
                "snakemake" in Path(part).name or "/.snakemake/" in part for part in process.info["cmdline"] or ()
            )
            if ours and Path(process.cwd()) == here:
                found.append(process.info["pid"])
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or somebody else's
    return found


def main() -> None:
    locks = list(Path(".snakemake/locks").glob("*"))
    if locks and (found := alive()):
        sys.exit(f"a run works in this folder (process {found[0]}): wait for it, or stop it")
    for lock in locks:
        lock.unlink()
    if locks:
        print("the last run was killed; this one resumes it")


if __name__ == "__main__":
    main()
