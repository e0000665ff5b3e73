"""LVSA's pattern: which whole frames each query frame attends to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil

import torch

from miga.engine.attention import BATCH, Grid, Heads, attention

Span = tuple[int, int]  # first and last frame of a window, both inside


def shrunk(frames: int, window: int, first: int, reference: int) -> tuple[int, int]:
    """Half window and leading frames, made smaller where they would hold the whole of a video that is longer than the
    model's own clip."""
    if frames > reference and 2 * window + 1 + first >= frames:
        return max(reference // 2, 1), max(reference // 4, 1)
    return window, first


def key_frame_interval(frames: int, window: int, first: int, reference: int, sparsity_scale: float = 1.0) -> int:
    """Frames between key frames, so that about `sparsity_scale * reference` frames are attended to; 1 is dense."""
    budget = max(first + 1, int(reference * sparsity_scale))
    if frames <= budget:
        return 1
    wanted = max(first, budget - min(2 * window + 1, frames))
    strict = next(k for k in range(frames, 0, -1) if len({*range(first), *range(0, frames, k)}) >= wanted)
    near = 2 * window + first
    return max(strict, ceil(max(frames - near, budget - near) / max(budget - near, 1)))


def global_frames(frames: int, first: int, interval: int, offset: int = 0) -> list[int]:
    """Frames that everyone attends to: the leading ones and every `interval`-th from `offset`, around the end."""
    return sorted({*range(first), *((frame + offset) % frames for frame in range(0, frames, interval))})


def spans(frames: int, window: int, everywhere: Sequence[int]) -> list[Span]:
    """The window of each frame: 2 * window + 1 frames inside the video, grown, to the left first, until it holds as
    many that are not attended to anyway."""
    if not window:
        return []
    known = set(everywhere)
    wanted = min(2 * window + 1, frames - len(known))
    return [grown(frame, frames, window, known, wanted) for frame in range(frames)]


def grown(frame: int, frames: int, window: int, known: set[int], wanted: int) -> Span:
    low = max(0, min(frame - window, frames - 1 - 2 * window))
    high = min(frames - 1, max(frame + window, 2 * window))
    missing = wanted - sum(one not in known for one in range(low, high + 1))
    while missing > 0 and (low > 0 or high < frames - 1):
        if low > 0:
            low -= 1
            missing -= low not in known
        if missing > 0 and high < frames - 1:
            high += 1
            missing -= high not in known
    return low, high


def attended(frames: int, window: int, everywhere: Sequence[int]) -> list[list[int]]:
    """The frames that each frame attends to."""
    near = spans(frames, window, everywhere) or [(0, -1)] * frames
    return [sorted({*everywhere, *range(low, high + 1)}) for low, high in near]


@cache
def groups(
    frames: int, window: int, first: int, interval: int, offset: int
) -> tuple[tuple[list[int], list[list[int]]], ...]:
    """Query frames with as many keys, and those keys: each group can run as one batch."""
    seen = attended(frames, window, global_frames(frames, first, interval, offset))
    sizes = sorted({len(keys) for keys in seen})
    queries = [[frame for frame, keys in enumerate(seen) if len(keys) == size] for size in sizes]
    return tuple((group, [seen[frame] for frame in group]) for group in queries)


def sparse_attention(
    q: Heads, k: Heads, v: Heads, grid: Grid, *, window: int, first: int, interval: int, offset: int
) -> Heads:
    """Each query frame attends to all tokens of its frames, which are gathered: cost and memory are linear in frames
    where the number of attended ones is constant."""
    out = torch.empty_like(q)
    for queries, keys in groups(q.shape[2], window, first, interval, offset):
        most = max(1, BATCH // (len(keys[0]) * q[:, :, 0].numel()))
        for part in range(0, len(queries), most):
            rows = torch.tensor(queries[part : part + most], device=q.device)
            chosen = torch.tensor(keys[part : part + most], device=q.device)
            out[:, :, rows] = attention(q[:, :, rows, None], k[:, :, chosen], v[:, :, chosen]).squeeze(3)
    return out
