"""When each latent frame takes which step: the schedules of SkyReels-V2-DF (arXiv 2504.13074's released code)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Turn(NamedTuple):
    """One call of the network.

    state: of every frame, 0 = pure noise and not started, k = its k-th step is due, steps + 1 = finished.
    steps: which frames take a step.
    start, end: the frames that the network is shown.
    """

    state: Int[Tensor, " f"]
    steps: Bool[Tensor, " f"]
    start: int
    end: int


def turns(frames: int, steps: int, window: int, lag: int = 0, block: int = 1, ready: int = 0) -> Iterator[Turn]:
    """All calls for a clip of so many frames, of which the first `ready` are clean from the beginning.

    With `lag` 0 all frames go together. Else the frames go in blocks, each `lag` steps behind the one before, and the
    window of frames that the network is shown moves on when the block after it starts.

    `ValueError` where blocks do not divide the frames, or a lag is so small that more is under way than a window holds.
    """
    check(frames, steps, window, lag, block, ready)
    blocks, shown = frames // block, min(window, frames) // block
    now = [steps + 1 if i < ready // block else 0 for i in range(blocks)]
    end = shown
    while min(now) < steps:
        new = []
        for i, state in enumerate(now):
            free = i == 0 or now[i - 1] >= steps
            new.append(max(0, min(state + 1 if free else new[i - 1] - lag, steps + 1)))
        while end < blocks and new[end] > 0:
            end += 1
        state = torch.tensor(new).repeat_interleave(block)
        moved = torch.tensor([a != b and a != steps + 1 for a, b in zip(new, now, strict=True)])
        yield Turn(state, moved.repeat_interleave(block), (end - shown) * block, end * block)
        now = new


def check(frames: int, steps: int, window: int, lag: int, block: int, ready: int) -> None:
    """`ValueError` for arguments with which the released code loses frames or the start image without a word."""
    for count, what in (
        (frames, "latent frames"),
        (min(window, frames), "latent frames of a window"),
        (ready, "given"),
    ):
        if count % block:
            raise ValueError(
                f"block={block} does not divide {count} {what}: the rest would be left as noise; choose another block"
            )
    if ready >= frames:
        raise ValueError(f"{ready} given latent frames leave nothing to make of {frames}")
    least = -(-steps // (window // block))
    if frames > window and lag < least:
        raise ValueError(f"lag={lag} is too small: {frames} latent frames in windows of {window} need at least {least}")
