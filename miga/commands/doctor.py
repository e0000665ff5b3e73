"""`miga doctor`: what is here, and what is missing."""

from __future__ import annotations


def doctor(suite: str = "auto") -> int:
    """Say what is installed, which suite would run, and what is missing for it. Exit status 1 when something is.

    Example: miga doctor --suite sprites

    Args:
        suite: A suite by name or path; auto: the one that `snakemake` would take here.
    """
    from miga.experiment.doctor import BAD, findings

    found = list(findings(suite))
    for state, what, details in found:
        print(f"{state:<8} {what:<22} {details}")
    missing = [what for state, what, _ in found if state == BAD]
    print(f"\nmissing: {', '.join(missing)}" if missing else "\nnothing is missing")
    return 1 if missing else 0
