"""Classical block matching: how far the picture moves, and the frame between two frames. No weights, any size.

Both are exhaustive searches: for every candidate displacement the two frames are shifted against each other and the
absolute difference is averaged over a block around each pixel; the pixel takes the candidate with the least
difference. Differences are in grey levels; STILLNESS grey levels per pixel of displacement are added, so that flat
areas, where every candidate fits, stand still.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

BLOCK = 7  # pixels, side of a block
REACH = 4  # pixels between neighbouring frames of MOTION_SIZE, per axis
MOTION_SIZE = 64  # pixels of the short side at which motion is measured
MOVING_SHARE = 0.05  # of the picture: the part that moves most
STILLNESS = 0.5

Shift = tuple[int, int]  # (dy, dx) in pixels


def displacement(frames: UInt8[Tensor, "n height width 3"]) -> Float[Tensor, " n-1"]:
    """How far the most moving twentieth of the picture moves per frame, as a share of the short side.

    Saturates at sqrt(2) REACH / MOTION_SIZE. Displacements are whole pixels of the reduced frames.
    """
    small = _reduced(frames)
    candidates = [((0, 0), (dy, dx)) for dy, dx in _square(REACH)]
    lengths = torch.tensor([math.hypot(*move) for _, move in candidates], device=small.device)
    moved = lengths[_search(small[:-1], small[1:], candidates)].flatten(1)
    most = moved.topk(max(1, round(MOVING_SHARE * moved.shape[1])), dim=1).values
    return most.mean(1) / min(small.shape[2:])


def middle(
    before: UInt8[Tensor, "n height width 3"], after: UInt8[Tensor, "n height width 3"], reach: int = 6
) -> UInt8[Tensor, "n height width 3"]:
    """The frame half-way between two frames, moved along symmetric displacements of up to `reach` pixels per axis."""
    first, second = (frames.permute(0, 3, 1, 2).float() for frames in (before, after))
    # each displacement is shared out between the two frames in whole pixels: half, rounded down, and the rest
    candidates = [((-(dy // 2), -(dx // 2)), (dy - dy // 2, dx - dx // 2)) for dy, dx in _square(reach)]
    best = _search(first, second, candidates)
    past, future = torch.tensor(candidates, device=first.device).permute(1, 2, 0)[..., best]
    frame = (_gathered(first, *past) + _gathered(second, *future)) / 2
    return frame.round().to(torch.uint8).permute(0, 2, 3, 1)


def _square(reach: int) -> list[Shift]:
    """All displacements of up to `reach` pixels per axis, the shortest first."""
    steps = range(-reach, reach + 1)
    return sorted(((dy, dx) for dy in steps for dx in steps), key=lambda move: math.hypot(*move))


def _search(
    first: Float[Tensor, "n c h w"], second: Float[Tensor, "n c h w"], candidates: list[tuple[Shift, Shift]]
) -> Int[Tensor, "n h w"]:
    """Which candidate, a shift of each frame, makes the two agree best around each pixel."""
    height, width = first.shape[2:]
    reach = max(abs(step) for pair in candidates for shift in pair for step in shift)
    first, second = (F.pad(frames.contiguous(), (reach,) * 4, mode="replicate") for frames in (first, second))

    def shifted(frames: Tensor, shift: Shift) -> Tensor:
        return frames[..., reach + shift[0] :, reach + shift[1] :][..., :height, :width]

    inside = torch.ones(1, height, width, device=first.device)  # of a block at the border fewer pixels are there
    across, down = (_sums(inside, axis) for axis in (2, 1))
    best = index = None
    for number, (one, other) in enumerate(candidates):
        difference = (shifted(first, one) - shifted(second, other)).abs_().mean(1)
        cost = _sums(_sums(difference, 2).div_(across), 1).div_(down)
        cost += STILLNESS * math.dist(one, other)
        if best is None:
            best, index = cost, torch.zeros_like(cost, dtype=torch.int64)
            continue
        index.masked_fill_(cost < best, number)
        torch.minimum(best, cost, out=best)
    return index


def _sums(values: Float[Tensor, "n h w"], axis: int) -> Float[Tensor, "n h w"]:
    """Sums over a block along an axis, with nothing beyond the border: what average pooling adds up, in its order and
    in a quarter of its time on a CPU."""
    half = BLOCK // 2
    padded = F.pad(values, (half, half) if axis == 2 else (0, 0, half, half))
    total = padded.narrow(axis, 0, values.shape[axis]).clone()
    for step in range(1, BLOCK):
        total += padded.narrow(axis, step, values.shape[axis])
    return total


def _gathered(
    frames: Float[Tensor, "n c h w"], dy: Int[Tensor, "n h w"], dx: Int[Tensor, "n h w"]
) -> Float[Tensor, "n c h w"]:
    """frames(y + dy, x + dx) with a displacement per pixel, the border replicated."""
    height, width = frames.shape[2:]
    y = (torch.arange(height, device=frames.device)[:, None] + dy).clamp(0, height - 1)
    x = (torch.arange(width, device=frames.device) + dx).clamp(0, width - 1)
    place = (y * width + x).flatten(1)[:, None].expand(-1, frames.shape[1], -1)
    return frames.flatten(2).gather(2, place).reshape(frames.shape)


def _reduced(frames: UInt8[Tensor, "n height width 3"]) -> Float[Tensor, "n 3 h w"]:
    images = frames.permute(0, 3, 1, 2).float()
    ratio = MOTION_SIZE / min(images.shape[2:])
    if ratio == 1:
        return images
    return F.interpolate(images, size=[max(1, round(side * ratio)) for side in images.shape[2:]], mode="area")
