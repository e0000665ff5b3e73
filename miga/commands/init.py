"""`miga init`: a folder of one's own in which suites run, without a checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from tyro.conf import Positional


def init(folder: Positional[Path]) -> None:
    """Lay down what runs suites: Snakefile, workflow, config and profiles, as this version has them.

    Nothing that is there is overwritten: where one of them stands already, nothing is laid down.

    Example: miga init lab

    Args:
        folder: Where to; it is made where it is missing.
    """
    from miga.experiment.digest import HOME, HOME_FILES

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder")
    if there := [name for name in HOME_FILES if (folder / name).exists()]:
        raise ValueError(f"{folder / there[0]} is there already: choose another folder, or move it away")
    folder.mkdir(parents=True, exist_ok=True)
    for name in HOME_FILES:
        if (HOME / name).is_dir():
            shutil.copytree(HOME / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(HOME / name, folder / name)
    print(f"{folder}: {', '.join(HOME_FILES)}\n\n  cd {folder}\n  snakemake --cores all --config suite=sprites")
