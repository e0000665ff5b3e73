"""Which windows of frames cover a video at a step, and how their predictions are averaged.

A window is the list of its frames: the uniform schedule has windows with steps between frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, log2
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Window = list[int]
Schedule = Literal["static", "uniform", "batched"]
Weights = Literal["pyramid", "flat", "overlap_linear", "relative"]


def windows(schedule: Schedule, frames: int, length: int, overlap: int, step: int = 0, stride: int = 1) -> list[Window]:
    """The windows of one step (0 is the noisiest); a video no longer than one window is one window."""
    if frames <= length:
        return [[*range(frames)]]
    match schedule:
        case "static":
            return static(frames, length, overlap)
        case "batched":
            return [[*range(start, min(start + length, frames))] for start in range(0, frames, length)]
        case "uniform":
            return unwrapped(wrapped(frames, length, overlap, step, stride), frames, length)


def static(frames: int, length: int, overlap: int) -> list[Window]:
    """Neighbours share `overlap` frames; the last one ends with the video and may share more."""
    starts = [*range(0, frames - length, length - overlap), frames - length]
    return [[*range(start, start + length)] for start in starts]


def halves(step: int) -> float:
    """0, 1/2, 1/4, 3/4, 1/8, ...: the bits of the step behind the point, mirrored."""
    return int(f"{step:064b}"[::-1], 2) / 2**64


def wrapped(frames: int, length: int, overlap: int, step: int, stride: int) -> list[Window]:
    """Windows from a place that changes with the step, around the end of the video; their frames lie 1, 2, 4, ...
    (`stride` powers at most, as many as the video has room for) apart."""
    shift = halves(step)
    pad = round(frames * shift)
    found = []
    for power in range(min(stride, ceil(log2(frames / length)) + 1)):
        apart = 2**power
        for start in range(int(shift * apart) + pad, frames + pad - overlap, length * apart - overlap):
            found.append([(start + i * apart) % frames for i in range(length)])
    return found


def unwrapped(found: list[Window], frames: int, length: int) -> list[Window]:
    """No window goes around the end: it is moved to end with the video, and where its second half is then left
    uncovered by the next window, a window is inserted there. Each window once."""
    found, place = list(found), 0
    while place < len(found):
        window = found[place]
        fall = next((b for a, b in pairwise(window) if b < a), None)
        if fall is not None:
            unrolled = [(frame - window[0]) % frames for frame in window]
            found[place] = [frame + frames - 1 - unrolled[-1] for frame in unrolled]
            if fall not in found[(place + 1) % len(found)]:
                found.insert(place + 1, [*range(fall, fall + length)])
        place += 1
    return [window for place, window in enumerate(found) if window not in found[:place]]


def weight(
    kind: Weights, window: Window, frames: int, overlap: int, lowest: float = 1e-37
) -> Float[Tensor, " positions"]:
    """Weight of each position of a window in the average.

    overlap_linear falls to `lowest` over the overlap, but not towards an end of the video.
    """
    n = len(window)
    place = torch.arange(n, dtype=torch.float32)
    match kind:
        case "pyramid":
            return torch.minimum(place + 1, n - place)
        case "flat":
            return torch.ones(n)
        case "relative":
            return (1 - (place - (n - 1) / 2).abs() / ((n - 1 + 0.01) / 2)).clamp(min=0.01)
        case "overlap_linear":
            overlap = min(overlap, n)
            ramp, weights = torch.linspace(lowest, 1, overlap), torch.ones(n)
            if window[0] > 0:
                weights[:overlap] = ramp
            if window[-1] < frames - 1:
                weights[n - overlap :] = ramp.flip(0)
            return weights


def average(
    predictions: Sequence[Float[Tensor, "positions ..."]],
    found: Sequence[Window],
    frames: int,
    kind: Weights,
    overlap: int,
) -> Float[Tensor, "frames ..."]:
    """Per frame the weighted mean of the windows that hold it, at least in float32."""
    wide = torch.promote_types(predictions[0].dtype, torch.float32)
    total = predictions[0].new_zeros(frames, *predictions[0].shape[1:], dtype=wide)
    mass = total.new_zeros(frames, *[1] * (total.ndim - 1))
    for window, prediction in zip(found, predictions, strict=True):
        share = weight(kind, window, frames, overlap).to(total).reshape(-1, *mass.shape[1:])
        total[window] += share * prediction
        mass[window] += share
    return (total / mass).to(predictions[0].dtype)


def batches(found: Sequence[Window], most: int) -> Iterator[list[int]]:
    """Numbers of windows of one length, at most so many together."""
    for length in sorted({len(window) for window in found}):
        numbers = [number for number, window in enumerate(found) if len(window) == length]
        yield from (numbers[i : i + most] for i in range(0, len(numbers), most))
