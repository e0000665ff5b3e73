"""The frames in flight: their latents, noise levels, solver history and ids, oldest (cleanest) first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from miga.engine.solvers import History, Solver, Stepped


@dataclass
class LatentQueue:
    """Consecutive frames of one video at one noise level each.

    latents: (n, C, h, w), on the model's device.
    levels: (n,) int64 on the CPU; the solver's level of each frame, -1 when finished.
    ids: (n,) int64 on the CPU; the frame's number in the video, which addresses its noise.
    history: what the solver remembers of each frame.
    """

    latents: Float[Tensor, "n c h w"]
    levels: Int[Tensor, " n"]
    ids: Int[Tensor, " n"]
    history: History

    @classmethod
    def of(cls, solver: Solver, latents: Tensor, levels: int | Sequence[int] | Tensor, first_id: int) -> LatentQueue:
        """A queue of frames that no solver has stepped yet, numbered from `first_id`."""
        levels = torch.as_tensor(levels, dtype=torch.long).expand(len(latents)).clone()
        ids = torch.arange(first_id, first_id + len(latents))
        return cls(latents, levels, ids, solver.fresh(latents))

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, index: slice) -> LatentQueue:
        """A copy of some frames; later changes to either queue leave the other alone."""
        history = {name: part[index].clone() for name, part in self.history.items()}
        return LatentQueue(self.latents[index].clone(), self.levels[index].clone(), self.ids[index].clone(), history)

    @property
    def next_id(self) -> int:
        return int(self.ids[-1]) + 1

    def append(self, other: LatentQueue) -> None:
        """Put newer frames behind the last one."""
        self.latents = torch.cat([self.latents, other.latents])
        self.levels = torch.cat([self.levels, other.levels])
        self.ids = torch.cat([self.ids, other.ids])
        self.history = {name: torch.cat([part, other.history[name]]) for name, part in self.history.items()}

    def pop(self, count: int) -> LatentQueue:
        """Take the `count` oldest frames out."""
        head, rest = self[:count], self[count:]
        self.__dict__.update(rest.__dict__)
        return head

    def replace_tail(self, start: int, tail: LatentQueue) -> None:
        """Put other frames in the place of those from position `start` on."""
        head = self[:start]
        head.append(tail)
        self.__dict__.update(head.__dict__)

    def update(self, positions: Int[Tensor, " k"], stepped: Stepped) -> None:
        """Replace frames by the result of their step, one level cleaner. The old tensors stay as they were."""
        where = positions.to(self.latents.device)
        self.latents = self.latents.index_copy(0, where, stepped.sample)
        self.history = {name: part.index_copy(0, where, stepped.history[name]) for name, part in self.history.items()}
        self.levels = self.levels.index_add(0, positions, torch.full_like(positions, -1))

    def to(self, device: torch.device | None) -> LatentQueue:
        """A queue of the same frames, on another device where one is given; levels and ids stay on the CPU."""
        history = {name: part.to(device) for name, part in self.history.items()}
        return LatentQueue(self.latents.to(device), self.levels, self.ids, history)


torch.serialization.add_safe_globals([LatentQueue])  # checkpoints hold queues
