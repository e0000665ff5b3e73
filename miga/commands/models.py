"""`miga models ...`: base models listed, fetched, converted."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional


def models(json: bool = False) -> None:
    """List the base models and whether their weights are here.

    Example: miga models --json

    Args:
        json: Print everything that is known of them as JSON.
    """
    from miga import models

    models.show(json)


def convert(name: Positional[str], source: Positional[Path], out: Positional[Path]) -> None:
    """Turn the original weights of a base model into a directory that loads like any other.

    Example: miga models convert videocrafter2 model.ckpt models/videocrafter2

    Args:
        name: As `miga models` lists it; the sprites models need no conversion.
        source: VideoCrafter2's model.ckpt, or the folder of Wan or SkyReels as its authors publish it.
        out: The directory to make.
    """
    from miga.models.convert import convert

    print(convert(name, source, out))


def fetch(name: Positional[str]) -> None:
    """Download the weights of a base model by pinned revision, verify them, and resume where it was interrupted.

    Example: miga models fetch wan2.1-1.3b

    Args:
        name: As `miga models` lists it.
    """
    from miga.models.fetch import fetch

    fetch(name)
