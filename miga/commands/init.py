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
    laid = folder / ".laid"
    try:
        laid.mkdir()
        for name in HOME_FILES:
            if (HOME / name).is_dir():
                shutil.copytree(HOME / name, laid / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(HOME / name, laid / name)
        for name in HOME_FILES:
            (laid / name).rename(folder / name)
    except OSError as error:  # of several files a list of (from, to, "[Errno 28] No space left on device: ...")
        why = error.args[0][0][2].split("] ")[-1].split(": ")[0] if isinstance(error, shutil.Error) else error.strerror
        raise ValueError(f"{folder}: suites could not be laid down ({why.lower()})") from None
    finally:
        shutil.rmtree(laid, ignore_errors=True)
    print(f"{folder}: {', '.join(HOME_FILES)}\n\n  cd {folder}\n  snakemake --cores all --config suite=sprites")
