"""Window-based attention fusion (FreeNoise): frames attend inside overlapping windows, and those are averaged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from miga.engine.attention import BATCH, Grid, Heads, attention


class Tile(NamedTuple):
    """Windows of one video that share no frame, so that they run as one batch."""

    number: Int[Tensor, " m"]  # which window of the video, counted from its start
    frames: Int[Tensor, "m w"]
    share: Float[Tensor, "m w"]  # of each window in the average that its frames receive


@dataclass(frozen=True)
class Windows:
    """Windows [j * stride, j * stride + size) of a video; a video that is shorter than one window is one window.

    weights: "pyramid" 1, 2, ..., 2, 1 (centre heaviest) or "flat".
    tail: where the windows end before the video does, "extra" adds one over its last `size` frames; "drop", as
        released, leaves those frames without attention output.
    """

    size: int
    stride: int = 4
    weights: Literal["pyramid", "flat"] = "pyramid"
    tail: Literal["extra", "drop"] = "extra"

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.size:
            raise ValueError(f"stride {self.stride} must be between 1 and the window of {self.size} frames")

    def starts(self, frames: int) -> list[int]:
        """First frames of the windows."""
        last = max(frames - self.size, 0)
        return [*range(0, last + 1, self.stride)] + ([last] if last % self.stride and self.tail == "extra" else [])

    def weight(self, size: int) -> Float[Tensor, " w"]:
        """Weight of each position of a window."""
        ramp = torch.arange(1.0, size + 1)
        return torch.minimum(ramp, ramp.flip(0)) if self.weights == "pyramid" else torch.ones(size)

    def tiles(self, frames: int, device: torch.device | str = "cpu", most: int | None = None) -> tuple[Tile, ...]:
        """Every window once, `most` windows a tile at most; else size / stride tiles, however long the video."""
        return _tiles(self, frames, torch.device(device), most or frames)

    def batches(self, q: Heads) -> tuple[Tile, ...]:
        """Tiles for tensors like these, of at most BATCH numbers each."""
        return self.tiles(q.shape[2], q.device, max(1, BATCH // q[:, :, : self.size].numel()))


@cache
@torch.inference_mode(False)
def _tiles(windows: Windows, frames: int, device: torch.device, most: int) -> tuple[Tile, ...]:
    size, starts = min(windows.size, frames), torch.tensor(windows.starts(frames))
    index = starts[:, None] + torch.arange(size)
    weight = windows.weight(size)
    share = weight / torch.zeros(frames).index_add_(0, index.flatten(), weight.repeat(len(starts)))[index]

    regular, apart = int((starts % windows.stride == 0).sum()), -(-size // windows.stride)
    numbers = torch.arange(len(starts))
    disjoint = [numbers[:regular][first::apart] for first in range(apart)] + [numbers[regular:]]
    groups = [own for group in disjoint if len(group) for own in group.split(most)]
    return tuple(Tile(*(x.to(device) for x in (own, index[own], share[own]))) for own in groups)


def window_attention(q: Heads, k: Heads, v: Heads, grid: Grid, *, windows: Windows) -> Heads:
    """The weighted average over the windows that a frame is in of its attention inside each. Linear in frames."""
    out = torch.zeros_like(q)
    for tile in windows.batches(q):
        clip = attention(*(x[:, :, tile.frames] for x in (q, k, v)))
        out[:, :, tile.frames] += (tile.share[..., None, None] * clip).to(q.dtype)
    return out
