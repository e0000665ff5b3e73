"""`miga models ...`: base models listed, fetched, converted."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

TRAINED = dict(one="per clip", start="clip + clean", each="per frame")


def models(json: bool = False) -> None:
    """List the base models and whether their weights are here.

    Example: miga models --json

    Args:
        json: Print everything that is known of them as JSON.
    """
    from json import dumps

    from miga.models import facts, is_present, registry, remedy_for

    specs = [registry.get(name) for name in registry.names()]
    if json:
        print(dumps({spec.name: facts(spec) for spec in specs}, indent=1, ensure_ascii=False))
        return
    row = "{:<20} {:<9} {:>6} {:<17} {:<14} {:<10} {:<62} {}".format
    print(row("name", "size", "fps", "attention", "trained levels", "start image", "licence", "weights"))
    for spec in specs:
        can, options = spec.abilities, spec.options
        state = "here" if is_present(spec) else f"missing: {remedy_for(spec)} ({spec.gigabytes:g} GB)"
        attention = f"{can.attention}{', rotary' if can.rotary else ''}"
        cells = f"{options.width}x{options.height}", options.fps, attention, TRAINED[can.trained], can.start_image
        print(row(spec.name, *cells, spec.licence, state))


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
