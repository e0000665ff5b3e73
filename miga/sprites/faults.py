"""The matrix of faults: rendered scenes, each with every fault, scored like any video of the sprites world."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from eval import sensitivity
from eval.degrade import FAULTS, degrade
from eval.vbench.faults import Clip, scores
from miga.sprites import world
from miga.sprites.lens import LENS

METRICS = (
    "subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering", "motion", "drift",
    "repetition", "rerun", "sharpness", "prompt_fidelity", "identity", "kept", "motion_fidelity", "one_subject",
)  # fmt: skip
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


def clips(
    count: int = SCENES,
    frames: int = FRAMES,
    strength: float = 1.0,
    seed: int = SEED,
    faults: Sequence[str] = tuple(FAULTS),
) -> Iterator[Clip]:
    """Every rendered scene, sound and with each fault."""
    return _with_faults(scenes(count, seed), frames, strength, seed, faults)


def drawn(prompts: Sequence[str], frames: int, strength: float = 1.0, seed: int = SEED) -> Iterator[Clip]:
    """The scenes of prompts, drawn sound and with the faults that only the world itself can make."""
    return _with_faults([world.parse(prompt) for prompt in prompts], frames, strength, seed, ("swap", "duplicate"))


def _with_faults(
    asked: Sequence[world.Scene], frames: int, strength: float, seed: int, faults: Sequence[str]
) -> Iterator[Clip]:
    sound, second = world.render(asked, frames, seed).frames.numpy(), others(asked, frames, seed)
    for number, scene in enumerate(asked):
        name, prompt = f"scene {number}", world.caption(scene)
        yield Clip("", name, prompt, sound[number], world.FPS)
        for fault in faults:
            other = second[fault][number].numpy() if fault in second else None
            yield Clip(fault, name, prompt, degrade(sound[number], fault, strength, seed + number, other), world.FPS)


def matrix(count: int = SCENES, frames: int = FRAMES, strength: float = 1.0) -> pd.DataFrame:
    """Which metric sees which fault, as `eval.sensitivity.matrix` has it; `ValueError` for numbers that give none."""
    if count < 2 or frames < 2 * world.WINDOW or not 0 <= strength <= 1:
        raise ValueError(
            f"{count} scenes of {frames} frames at strength {strength:g}: give two scenes or more, "
            f"{2 * world.WINDOW} frames or more, and a strength of 0 to 1"
        )
    return sensitivity.matrix(scores(clips(count, frames, strength), LENS.load(METRICS), METRICS))
