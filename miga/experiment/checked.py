"""A suite is checked once: what passed holds as long as the suite, the code and the plug-ins are the same.

No torch, unless something is to be checked: that is much of what a run that has nothing to do would take.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from miga.experiment.digest import PACKAGES, code_digest, remembered
from miga.experiment.experiment import Experiment


def check_once(experiment: Experiment) -> list[str]:
    """`check` what the suite asks for, `ValueError` as there; returns what is told of the videos that others made.
    Files of others, videos and models in folders, are looked at each time."""
    theirs = experiment.given or any(Path(base.model).is_dir() for base in experiment.suite.bases.values())
    if theirs or not (known := remembered()):
        return checked(experiment)
    return known.get(f"checked {identity(experiment)}", lambda: checked(experiment))


def checked(experiment: Experiment) -> list[str]:
    from miga.experiment.check import check, told

    check(experiment)
    return list(told(experiment))


def identity(experiment: Experiment) -> str:
    """Digest of the suite with its files, of what is registered, and of the code of plug-ins of other packages."""
    found = entry_points()
    points = sorted(p for group in found.groups if group.startswith("miga.") for p in found.select(group=group))
    others = sorted({point.module for point in points if point.module.split(".")[0] not in PACKAGES})
    said = [experiment.model_dump_json(), *map(shown, points), code_digest(*others)]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def shown(point: EntryPoint) -> str:
    return f"{point.group} {point.name} {point.value}"
