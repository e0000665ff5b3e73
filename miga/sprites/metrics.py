"""Ground truth as metrics: whether a video of the sprites world shows what its prompt asks.

They read what the reader sees in each frame (`READING`) and how many subjects there are (`SUBJECTS`), two looks that
the sprites networks have and no others. A prompt with events, or one of another world, has no value and a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from eval.metric import Metric, NotDefined
from eval.vbench.metrics import Measured, Observation
from miga.sprites import READING, truth, world
from miga.sprites.reader import HEADS, Reader, Reading

SUBJECTS = "subjects"
_COLUMNS = (*HEADS, "x", "y", "confidence")


def read(reader: Reader) -> Callable[[Tensor], Tensor]:
    """What the reader says of frames (n, height, width, 3) uint8, a column per head, coordinate and confidence."""

    def look(frames: Tensor) -> Tensor:
        found = reader.read(frames)
        return torch.from_numpy(np.stack([np.asarray(getattr(found, name), np.float64) for name in _COLUMNS], axis=1))

    return look


def count(frames: Tensor) -> Tensor:
    """How many subjects each frame shows."""
    return torch.from_numpy(truth.subjects(frames.cpu().numpy()).astype(np.float64))


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


_SEEN = Metric(
    "", "", "", "", 0, 1, True, source="this project", frames=1, part=READING,
)  # fmt: skip

PROMPT_FIDELITY = replace(
    _SEEN,
    name="prompt_fidelity",
    label="Prompt fidelity",
    short="Fid.",
    summary="Share of frames whose shape, colour, background and pattern are all as the prompt asks.",
    formula=lambda seen: _share(truth.prompt_fidelity(_read(seen), _asked(seen))),
)
SHAPE, COLOUR, BACKGROUND, PATTERN = (
    replace(
        _SEEN,
        name=f"{head}_fidelity",
        label=f"{head.capitalize()} fidelity",
        short=f"{head.capitalize()}",
        summary=f"Share of frames whose {head} is as the prompt asks.",
        formula=_head(head),
    )
    for head in HEADS
)
IDENTITY = replace(
    _SEEN,
    name="identity",
    label="Identity",
    short="Id.",
    summary="Share of the video until the asked subject (shape and colour) is lost for half a second; "
    "1 where it never is.",
    formula=lambda seen: _lifetime(truth.alive(_read(seen), _asked(seen))),
)
KEPT = replace(
    _SEEN,
    name="kept",
    label="Kept subject",
    short="Kept",
    summary="The same for the subject that the video begins with, asked or not.",
    formula=lambda seen: _lifetime(truth.kept(_read(seen), seen.window)),
)
MOTION_FIDELITY = replace(
    _SEEN,
    name="motion_fidelity",
    label="Motion fidelity",
    short="M.F.",
    summary="How well the subject moves as the prompt asks, at the world's speeds and steadily, per window of 16 "
    "frames.",
    formula=_motion,
)
STARTS_RIGHT = replace(
    _SEEN,
    name="starts_right",
    label="Starts right",
    short="Starts",
    summary="Share of videos whose subject starts in the asked direction.",
    formula=_starts,
)
_COUNTED = replace(_SEEN, part=SUBJECTS)
ONE_SUBJECT = replace(
    _COUNTED,
    name="one_subject",
    label="One subject",
    short="One",
    summary="Share of frames with exactly as many subjects as asked.",
    formula=_subjects(lambda counts, wanted: counts == wanted),
)
NO_SUBJECT = replace(
    _COUNTED,
    name="no_subject",
    label="No subject",
    short="None",
    summary="Share of frames with no subject at all.",
    formula=_subjects(lambda counts, wanted: counts == 0),
    higher_is_better=False,
)
MANY_SUBJECTS = replace(
    _COUNTED,
    name="many_subjects",
    label="Too many subjects",
    short="Many",
    summary="Share of frames with more subjects than asked.",
    formula=_subjects(lambda counts, wanted: counts > wanted),
    higher_is_better=False,
)
