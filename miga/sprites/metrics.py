"""Ground truth as metrics: whether a video of the sprites world shows what its prompt asks.

They read what the reader sees in each frame (`READING`) and how many subjects there are (`SUBJECTS`), two looks that
the sprites networks have and no others. A prompt with events, or one of another world, has no value and a reason.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from eval.metric import Metric, NotDefined
from eval.vbench.metrics import Measured, Observation
from miga.sprites import truth, world
from miga.sprites.reader import HEADS, Reader, Reading

READING, SUBJECTS = "reading", "subjects"
_COLUMNS = (*HEADS, "x", "y", "confidence")


def looks(reader: Reader) -> dict[str, Callable[[Tensor], Tensor]]:
    """The two looks at frames (n, height, width, 3) uint8 that these metrics read."""

    def read(frames: Tensor) -> Tensor:
        found = reader.read(frames)
        return torch.from_numpy(np.stack([np.asarray(getattr(found, name), np.float64) for name in _COLUMNS], axis=1))

    def count(frames: Tensor) -> Tensor:
        return torch.from_numpy(truth.subjects(frames.cpu().numpy()).astype(np.float64))

    return {READING: read, SUBJECTS: count}


def _asked(seen: Observation) -> world.Scene:
    try:
        scene = world.parse(seen.prompt or "")
    except ValueError as error:
        raise NotDefined(str(error)) from None
    if scene.events:
        raise NotDefined("the prompt has events: what it asks changes over time")
    return scene


def _read(seen: Observation) -> Reading:
    columns = dict(zip(_COLUMNS, seen[READING].numpy().T, strict=True))
    return Reading(**{name: column.astype(np.int64) if name in HEADS else column for name, column in columns.items()})


def _share(frames: np.ndarray) -> Measured:
    return float(frames.mean()), frames.astype(float).tolist()


def _lifetime(alive: np.ndarray) -> Measured:
    return truth.lifetime(alive), alive.astype(float).tolist()


def _motion(seen: Observation) -> Measured:
    reading, windows = _read(seen), None
    windows = truth.motion_fidelity(reading.x, reading.y, _asked(seen).motion, seen.window)
    if not len(windows):
        raise NotDefined(f"{seen.frames} frames: motion_fidelity needs a window of {seen.window}")
    return _share(windows)


def _starts(seen: Observation) -> Measured:
    reading, motion = _read(seen), _asked(seen).motion
    right = truth.starts_right(reading.x, reading.y, motion)
    if right is None:
        raise NotDefined(f"{motion}, {seen.frames} frames: no direction to start in")
    return float(right), []


def _subjects(compared: Callable[[np.ndarray, int], np.ndarray]) -> Callable[[Observation], Measured]:
    def formula(seen: Observation) -> Measured:
        wanted = 1 + (_asked(seen).companion is not None)
        return _share(compared(seen[SUBJECTS].numpy(), wanted))

    return formula


def _head(name: str) -> Callable[[Observation], Measured]:
    return lambda seen: _share(truth.agreement(_read(seen), _asked(seen))[name])


def _measure(
    name: str, label: str, short: str, summary: str, formula, part: str = READING, better: bool = True
) -> Metric:
    return Metric(
        name, label, short, summary, 0, 1, better, source="this project", frames=1, cost="the sprites reader",
        part=part, formula=formula,
    )  # fmt: skip


PROMPT_FIDELITY = _measure(
    "prompt_fidelity", "Prompt fidelity", "Fid.",
    "Share of frames whose shape, colour, background and pattern are all as the prompt asks.",
    lambda seen: _share(truth.prompt_fidelity(_read(seen), _asked(seen))),
)  # fmt: skip
SHAPE, COLOUR, BACKGROUND, PATTERN = (
    _measure(
        f"{head}_fidelity", f"{head.capitalize()} fidelity", f"{head.capitalize()}",
        f"Share of frames whose {head} is as the prompt asks.", _head(head),
    )
    for head in HEADS
)  # fmt: skip
IDENTITY = _measure(
    "identity", "Identity", "Id.",
    "Share of the video until the asked subject (shape and colour) is lost for half a second; 1 where it never is.",
    lambda seen: _lifetime(truth.alive(_read(seen), _asked(seen))),
)  # fmt: skip
KEPT = _measure(
    "kept", "Kept subject", "Kept",
    "The same for the subject that the video begins with, asked or not.",
    lambda seen: _lifetime(truth.kept(_read(seen), seen.window)),
)  # fmt: skip
MOTION_FIDELITY = _measure(
    "motion_fidelity", "Motion fidelity", "M.F.",
    "How well the subject moves as the prompt asks, at the world's speeds and steadily, per window of 16 frames.",
    _motion,
)  # fmt: skip
STARTS_RIGHT = _measure(
    "starts_right", "Starts right", "Starts",
    "Share of videos whose subject starts in the asked direction.",
    _starts,
)  # fmt: skip
ONE_SUBJECT = _measure(
    "one_subject", "One subject", "One",
    "Share of frames with exactly as many subjects as asked.",
    _subjects(lambda counts, wanted: counts == wanted), SUBJECTS,
)  # fmt: skip
NO_SUBJECT = _measure(
    "no_subject", "No subject", "None",
    "Share of frames with no subject at all.",
    _subjects(lambda counts, wanted: counts == 0), SUBJECTS, better=False,
)  # fmt: skip
MANY_SUBJECTS = _measure(
    "many_subjects", "Too many subjects", "Many",
    "Share of frames with more subjects than asked.",
    _subjects(lambda counts, wanted: counts > wanted), SUBJECTS, better=False,
)  # fmt: skip
