"""Linear probes that a sprites denoiser is trained with, and that are thrown away afterwards.

What a motion looks like depends on the word in the caption, on the frame and on the place in the frame, and on none of
them alone. Denoising hardly rewards the first of the three to be learned: without probes, a network of this size draws
every colour rightly and moves its shapes anywhere. The probes ask for each of the three at every token half-way through
the network, and for the place of the shape at its end. They also ask half-way for the kind of shape, whose corners are
as small a part of a clip.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from miga.sprites import world

MOTIONS = tuple(world.MOTION_PHRASES[motion] for motion in world.MOTIONS)


def asked(captions: list[str]) -> Int[Tensor, "n 2"]:
    """The classes of the first motion and of the first shape that each caption asks for; the last class is none."""
    return torch.tensor([[_first(MOTIONS, caption), _first(world.SHAPES, caption)] for caption in captions])


def _first(phrases: tuple[str, ...], caption: str) -> int:
    match = re.search("|".join(phrases), caption)
    return phrases.index(match[0]) if match else len(phrases)


def cells(places: np.ndarray, side: int) -> Int[Tensor, "n frames"]:
    """Places (n, frames, 2) in pixels -> the cell, counted row by row, of a grid of side x side cells."""
    column, row = torch.from_numpy(places * side / world.SIZE).long().clamp(0, side - 1).unbind(-1)
    return row * side + column


class Probes(nn.Module):
    """Cross entropies of frame, row, column, motion and shape read inside the network, and of the place at its end."""

    def __init__(self, inside: int, end: int, frames: int, side: int) -> None:
        """`inside`, `end`: channels there; `frames`, `side`: of the grid of tokens inside."""
        super().__init__()
        self.classes = (frames, side, side, len(MOTIONS) + 1, len(world.SHAPES) + 1)
        self.inside, self.end = nn.Linear(inside, sum(self.classes)), nn.Linear(end, 1)

    def forward(
        self,
        inside: Float[Tensor, "n frames rows columns c"],
        end: Float[Tensor, "n frames cells d"],
        wanted: Int[Tensor, "n 2"],
        cells: Int[Tensor, "n frames"],
    ) -> Float[Tensor, ""]:
        """What is added to the loss of the denoiser."""
        answers = self.inside(inside.float()).split(self.classes, dim=-1)
        grid = torch.meshgrid(*(torch.arange(n, device=inside.device) for n in inside.shape[:4]), indexing="ij")
        truth = (*grid[1:], *wanted[grid[0]].unbind(-1))
        within = sum(F.cross_entropy(a.flatten(0, 3), t.flatten()) for a, t in zip(answers, truth, strict=True))
        places = self.end(end.float())[..., 0].flatten(0, 1)
        return 0.1 * within + 0.3 * F.cross_entropy(places, cells.flatten())
