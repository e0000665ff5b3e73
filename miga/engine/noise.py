"""Where every random number comes from.

`KeyedNoise`, the default, derives each frame's noise from (seed, purpose, frame, level), so that results do not depend
on batching, window order, chunking or resuming. `ReplayNoise` draws from generators in call order, as the released
implementations do; it exists for parity with their recorded traces.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Shape = tuple[int, int, int]


class Noise(ABC):
    """Standard normal noise for latent frames of shape (C, h, w), float32 on the CPU."""

    @abstractmethod
    def frames(
        self, purpose: str, frames: Sequence[int], levels: int | Sequence[int], shape: Shape
    ) -> Float[Tensor, "f c h w"]:
        """One draw per frame, in the order given. `purpose` separates uses of one frame at one level."""

    @abstractmethod
    def clip(self, purpose: str, num_frames: int, level: int, shape: Shape) -> Float[Tensor, "f c h w"]:
        """Noise for a whole clip at one level (the base model's own sampling)."""

    @abstractmethod
    def shuffled(self, purpose: str, items: Sequence[int], index: int) -> list[int]:
        """The items in random order. `index` separates shuffles of one purpose."""

    @abstractmethod
    def choices(self, purpose: str, items: Sequence[str], count: int, index: int) -> list[str]:
        """So many of the items, each equally likely, with replacement."""

    @abstractmethod
    def uniform(self, purpose: str, index: int) -> float:
        """A number uniform in [0, 1)."""

    @abstractmethod
    def uniforms(
        self, purpose: str, frames: Sequence[int], levels: int | Sequence[int], shape: Shape
    ) -> Float[Tensor, "f c h w"]:
        """As `frames`, but uniform in [0, 1)."""

    def window(
        self, purpose: str, frames: Sequence[int], levels: Sequence[int], kept: slice, shape: Shape
    ) -> Float[Tensor, "k c h w"]:
        """Noise for the kept frames of a window that reads all of `frames`."""
        return self.frames(purpose, frames[kept], levels[kept], shape)


def key(*parts: object) -> int:
    """A 63-bit seed from anything printable; equal on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


class KeyedNoise(Noise):
    """Noise addressed by (seed, purpose, frame, level): order and grouping of the requests do not matter."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def frames(self, purpose, frames, levels, shape):
        return self.filled(torch.Tensor.normal_, purpose, frames, levels, shape)

    def uniforms(self, purpose, frames, levels, shape):
        return self.filled(torch.Tensor.uniform_, purpose, frames, levels, shape)

    def filled(self, fill, purpose, frames, levels, shape):
        levels = [levels] * len(frames) if isinstance(levels, int) else levels
        draws = torch.empty(len(frames), *shape)
        for draw, frame, level in zip(draws, frames, levels, strict=True):
            fill(draw, generator=torch.Generator().manual_seed(key(self.seed, purpose, int(frame), int(level))))
        return draws

    def clip(self, purpose, num_frames, level, shape):
        return self.frames(purpose, range(num_frames), level, shape)

    def shuffled(self, purpose, items, index):
        return random.Random(key(self.seed, purpose, index)).sample(items, len(items))

    def choices(self, purpose, items, count, index):
        return random.Random(key(self.seed, purpose, index)).choices(items, k=count)

    def uniform(self, purpose, index):
        return random.Random(key(self.seed, purpose, index)).random()


class ReplayNoise(Noise):
    """The draw order of a released implementation: each request takes the next numbers of one stream.

    A frame is drawn as (C, 1, h, w) and a clip as one block (C, F, h, w), as the originals do. `stream` answers
    `stream(shape) -> Tensor`; by default a `torch.Generator` seeded with `seed`, which also gives the uniform draws.
    Shuffles, choices and single numbers come from Python's generator, seeded alike.
    """

    def __init__(self, seed: int | None = None, stream=None) -> None:
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.stream = stream or (lambda shape: torch.randn(shape, generator=self.generator))
        self.random = random.Random(seed)

    def frames(self, purpose, frames, levels, shape):
        if not len(frames):
            return torch.empty(0, *shape)
        return torch.stack([self.stream(tuple(shape)) for _ in frames])

    def clip(self, purpose, num_frames, level, shape):
        channels, *size = shape
        return self.stream((channels, num_frames, *size)).transpose(0, 1)

    def window(self, purpose, frames, levels, kept, shape):
        return self.frames(purpose, frames, levels, shape)[kept]  # the originals draw for discarded frames too

    def shuffled(self, purpose, items, index):
        items = list(items)
        self.random.shuffle(items)
        return items

    def choices(self, purpose, items, count, index):
        return self.random.choices(items, k=count)

    def uniform(self, purpose, index):
        return self.random.random()

    def uniforms(self, purpose, frames, levels, shape):
        return torch.stack([torch.rand(tuple(shape), generator=self.generator) for _ in frames])
