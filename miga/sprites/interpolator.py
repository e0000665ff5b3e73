"""Predicts the frame between two frames, for the motion smoothness of the sprites suite.

VBench drops every other frame, rebuilds it with an interpolation network (AMT) and measures the error. On drawn shapes
over still backgrounds the classical method needs no training: for each pixel of the middle frame, find the motion under
which the frame before and the frame after agree around it, and take their mean along that motion. `interpolate` and
`Interpolator` are plain callables on tensors, so scoring code needs nothing else of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch.nn import functional as F

REACH = 4  # half pixels per frame that the search covers in each direction; shapes move at most 1.9 pixels per frame
PATCH = 5  # pixels, side of the square over which two frames are compared
STILLNESS = 3e-3  # cost, in grey levels of 0..1, of each half pixel of motion: ties go to the slowest one
BATCH = 64  # pairs at once


def interpolate(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> torch.Tensor:
    """The frames between `a` and `b` (N, H, W, 3), uint8 or float in 0..1; shape and dtype stay."""
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    if a.shape != b.shape or a.dtype != b.dtype or a.ndim != 4 or a.shape[-1] != 3:
        raise ValueError(f"expected two equal batches (N, height, width, 3), got {tuple(a.shape)}, {tuple(b.shape)}")
    if len(a) == 0:
        return a.clone()
    scale = 255 if a.dtype == torch.uint8 else 1
    parts = zip(a.split(BATCH), b.split(BATCH), strict=True)
    images = torch.cat([_middle(*(x.movedim(-1, 1).float() / scale for x in pair)) for pair in parts])
    middle = images.movedim(1, -1) * scale
    return (middle.round() if scale > 1 else middle).to(a.dtype)


@dataclass(frozen=True)
class Interpolator:
    """`interpolate` on a device; results are on the CPU."""

    device: torch.device

    @classmethod
    def load(cls, device: str | torch.device = "cpu") -> Interpolator:
        return cls(torch.device(device))

    def __call__(self, a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> torch.Tensor:
        return interpolate(*(torch.as_tensor(frames).to(self.device) for frames in (a, b))).cpu()


def _middle(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, H, W) in 0..1 -> the middle ones."""
    halves_before, halves_after = _half_pixels(before), _half_pixels(after)
    size = before.shape[-2:]
    best = torch.full((len(before), 1, *size), torch.inf, device=before.device)
    middle = torch.empty_like(before, memory_format=torch.contiguous_format)
    for dy, dx in product(range(-REACH, REACH + 1), repeat=2):
        past, future = _shifted(halves_before, -dy, -dx, size), _shifted(halves_after, dy, dx, size)
        difference = (past - future).abs_().mean(dim=1, keepdim=True)
        cost = _averaged(difference).add_(STILLNESS * (abs(dy) + abs(dx)))
        better = cost < best
        torch.minimum(best, cost, out=best)
        middle = torch.where(better, past + future, middle)
    return middle / 2


def _averaged(values: torch.Tensor) -> torch.Tensor:
    """The mean over the square around each pixel of (N, 1, H, W), the border replicated: what average pooling adds up,
    in its order and in a part of its time on a CPU."""
    height, width = values.shape[-2:]
    padded = F.pad(values, (PATCH // 2,) * 4, mode="replicate")
    parts = [padded[..., i : i + height, j : j + width] for i, j in product(range(PATCH), repeat=2)]
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total.div_(PATCH**2)


def _half_pixels(images: torch.Tensor) -> dict[tuple[int, int], torch.Tensor]:
    """Images continued beyond their border, and the same a half pixel further down, to the right, and both."""
    images = F.pad(images.contiguous(), (REACH // 2 + 1,) * 4, mode="replicate")
    return {
        (down, right): F.avg_pool2d(images, (1 + down, 1 + right), 1) if down or right else images
        for down, right in product(range(2), repeat=2)
    }


def _shifted(halves: dict[tuple[int, int], torch.Tensor], dy: int, dx: int, size: tuple[int, int]) -> torch.Tensor:
    """What lies (dy, dx) half pixels away from each pixel."""
    (top, down), (left, right) = divmod(dy, 2), divmod(dx, 2)
    origin = REACH // 2 + 1
    rows, columns = (slice(origin + d, origin + d + n) for d, n in zip((top, left), size, strict=True))
    return halves[down, right][..., rows, columns]
