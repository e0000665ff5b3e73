"""The matrix of faults: rendered scenes, each with every fault, scored like any video of the sprites world."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eval.degrade import FAULTS, Video, degrade
from eval.drift import of_series
from eval.files import writable
from eval.metric import NotDefined
from eval.vbench.metrics import measured, parts_of
from eval.vbench.score import Backbones, observe
from miga.sprites import world
from miga.sprites.lens import LENS

METRICS = (
    "subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering", "motion", "drift",
    "repetition", "rerun", "sharpness", "prompt_fidelity", "identity", "kept", "motion_fidelity", "one_subject",
)  # fmt: skip
OVER_TIME = ("sharpness.first_last_15",)
SCENES, FRAMES, SEED = 24, 48, 11


def scenes(count: int = SCENES, seed: int = SEED) -> list[world.Scene]:
    """Scenes without events and companions."""
    return world.sample_scenes(count, seed, events=0.0, companions=0.0)


def others(drawn: Sequence[world.Scene], frames: int, seed: int = SEED) -> dict[str, torch.Tensor]:
    """For faults that show a second video, that of each scene, (scenes, frames, 64, 64, 3) uint8.

    cut: the next scene's. swap: the same way of another shape in another colour. duplicate: with a smaller subject of
    the same shape and colour beside it.
    """
    chance = np.random.default_rng([seed, zlib.crc32(b"swap")])

    def another(values: Sequence[str], own: str) -> str:
        return str(chance.choice([value for value in values if value != own]))

    swapped = [
        replace(s, shape=another(world.SHAPES, s.shape), colour=another(tuple(world.COLOURS), s.colour)) for s in drawn
    ]
    twice = [replace(s, companion=(s.colour, s.shape)) for s in drawn]
    sound = world.render(drawn, frames, seed).frames
    return {
        "cut": sound.roll(-1, 0),
        "swap": world.render(swapped, frames, seed).frames,
        "duplicate": world.render(twice, frames, seed).frames,
    }


def videos(
    count: int = SCENES,
    frames: int = FRAMES,
    strength: float = 1.0,
    seed: int = SEED,
    faults: Sequence[str] = tuple(FAULTS),
) -> Iterator[tuple[str, int, str, Video]]:
    """(fault, scene, prompt, frames) of every rendered scene, sound (fault "") and with each fault."""
    drawn = scenes(count, seed)
    sound, second = world.render(drawn, frames, seed).frames.numpy(), others(drawn, frames, seed)
    for number, scene in enumerate(drawn):
        prompt = world.caption(scene)
        yield "", number, prompt, sound[number]
        for fault in faults:
            other = second[fault][number].numpy() if fault in second else None
            yield fault, number, prompt, degrade(sound[number], fault, strength, seed + number, other)


def scores(backbones: Backbones, metrics: Sequence[str] = METRICS, chunk: int = 16, **options) -> pd.DataFrame:
    """What `sensitivity.matrix` reads: fault, video, metric, value (None where it is not defined)."""
    rows = []
    for fault, number, prompt, clip in videos(**options):
        frames = torch.from_numpy(np.ascontiguousarray(clip))
        about = {"window": world.WINDOW, "fps": float(world.FPS), "prompt": prompt}
        seen = observe(frames.split(chunk), backbones, parts_of(metrics), **about)
        for metric in metrics:
            try:
                value, series = measured(metric, seen)
            except NotDefined:
                value, series = None, None
            rows.append({"fault": fault, "video": number, "metric": metric, "value": value})
            for name in (name for name in OVER_TIME if name.rpartition(".")[0] == metric):
                value = None if series is None else of_series(name.rpartition(".")[2], series, world.FPS)
                rows.append({"fault": fault, "video": number, "metric": name, "value": value})
    return pd.DataFrame(rows)


def make(folder: Path, count: int = SCENES, frames: int = FRAMES, strength: float = 1.0) -> list[Path]:
    """Write the matrix and its heat map into a folder; `ValueError` for numbers that give none."""
    if count < 2 or frames < 2 * world.WINDOW or not 0 <= strength <= 1:
        raise ValueError(
            f"{count} scenes of {frames} frames at strength {strength:g}: give two scenes or more, "
            f"{2 * world.WINDOW} frames or more, and a strength of 0 to 1"
        )
    from eval import plots, sensitivity

    writable(folder / "faults.csv")
    found = sensitivity.matrix(scores(LENS.load(METRICS), count=count, frames=frames, strength=strength))
    return [*sensitivity.write(found, folder), *plots.faults(found, folder / "faults")]
