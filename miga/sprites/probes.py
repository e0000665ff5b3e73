"""Linear probes that a sprites denoiser is trained with, and that are thrown away afterwards.

What a motion looks like depends on the word in the caption, on the frame and on the place in the frame, and on none of
them alone. Denoising hardly rewards the first of the three to be learned: without probes, a network of this size draws
every colour rightly and moves its shapes anywhere. The probes ask for each of the three at every token half-way through
the network, and for the place of the shape at its end.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from miga.sprites import world

NOTHING = len(world.MOTIONS)  # the class of captions that ask for no motion
_PHRASE = re.compile("|".join(world.MOTION_PHRASES.values()))
_CLASS = {phrase: world.MOTIONS.index(motion) for motion, phrase in world.MOTION_PHRASES.items()}


def motions_asked(captions: list[str]) -> Int[Tensor, " n"]:
    """The class of the first motion that each caption asks for."""
    found = [_PHRASE.search(caption) for caption in captions]
    return torch.tensor([_CLASS[match[0]] if match else NOTHING for match in found])


def cells(places: np.ndarray, side: int) -> Int[Tensor, "n frames"]:
    """Places (n, frames, 2) in pixels -> the cell, counted row by row, of a grid of side x side cells."""
    column, row = torch.from_numpy(places * side / world.SIZE).long().clamp(0, side - 1).unbind(-1)
    return row * side + column


class Probes(nn.Module):
    """Cross entropies of frame, row, column and motion read inside the network, and of the place read at its end."""

    def __init__(self, inside: int, end: int, frames: int, side: int) -> None:
        """`inside`, `end`: channels there; `frames`, `side`: of the grid of tokens inside."""
        super().__init__()
        self.classes = (frames, side, side, NOTHING + 1)
        self.inside, self.end = nn.Linear(inside, sum(self.classes)), nn.Linear(end, 1)

    def forward(
        self,
        inside: Float[Tensor, "n frames rows columns c"],
        end: Float[Tensor, "n frames cells d"],
        motions: Int[Tensor, " n"],
        cells: Int[Tensor, "n frames"],
    ) -> Float[Tensor, ""]:
        """What is added to the loss of the denoiser."""
        answers = self.inside(inside.float()).split(self.classes, dim=-1)
        grid = torch.meshgrid(*(torch.arange(n, device=inside.device) for n in inside.shape[:4]), indexing="ij")
        truth = (*grid[1:], motions[grid[0]])
        within = sum(F.cross_entropy(a.flatten(0, 3), t.flatten()) for a, t in zip(answers, truth, strict=True))
        places = self.end(end.float())[..., 0].flatten(0, 1)
        return 0.1 * within + 0.3 * F.cross_entropy(places, cells.flatten())
