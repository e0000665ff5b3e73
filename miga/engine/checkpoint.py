"""Save a generation in flight and go on with it later, bit for bit.

    generation = method.generate(model, texts, num_latents, config, noise, trace)
    found = checkpoint.load(path, identity)          # None when there is no file; ValueError when it is another run's
    if found:
        generation = checkpoint.resume(generation, found)
        decoder.restore(found.decoder)
        trace.events = found.trace
    for latents in generation:
        frames = decoder.push(latents)
        ...write and flush them...
        now = checkpoint.state(generation), decoder.state(), trace.events
        checkpoint.save(path, Checkpoint(identity, latents_taken, frames_written, *now))

A method whose generation is a `Stream` (FIFO-Diffusion, MIGA, ScalingNoise) is snapshot as it stands: queue, solver
history, position; with keyed noise there is no random state. Any other method is finite and reproducible: it is run
again and the latents that were already decoded are skipped.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.files import replacing

FORMAT = 1


class Stream(Iterator[Tensor]):
    """A generation in flight whose state between two chunks can be saved.

    `state()` is valid after a chunk has been taken and before the next one is asked for. It is a nested dict of
    tensors, numbers, strings and lists. `restore(state)` must be called on a fresh stream of the same arguments.
    """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that the rest of the generation depends on, besides the arguments that made it."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""


@dataclass(frozen=True)
class Checkpoint:
    """A generation in flight.

    Attributes
    ----------
    identity: what asked for the video (method, parameters, model digest, prompt, seed, frames); plain values.
    latents: how many latents have been taken from the generation and pushed to the decoder.
    frames: how many decoded frames have been written.
    generation: `state(generation)`.
    decoder: `decoder.state()`.
    trace: `trace.events` so far.
    """

    identity: dict[str, Any]
    latents: int
    frames: int
    generation: dict[str, Any] | None
    decoder: dict[str, Tensor]
    trace: dict[str, Any]


def state(generation: Iterator[Tensor]) -> dict[str, Any] | None:
    """The state of a stream; None for a generation that can only be run again."""
    return generation.state() if isinstance(generation, Stream) else None


def resume(generation: Iterator[Tensor], checkpoint: Checkpoint) -> Iterator[Tensor]:
    """The rest of a generation: what comes after the latents of the checkpoint."""
    if isinstance(generation, Stream):
        generation.restore(checkpoint.generation)
        return generation
    return skip(generation, checkpoint.latents)


def skip(generation: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """A generation without its first `count` latents."""
    for chunk in generation:
        if len(chunk) > count:
            yield chunk[count:]
        count = max(count - len(chunk), 0)


def save(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, never a part."""
    with replacing(path) as partial, open(partial, "wb") as file:
        torch.save({"format": FORMAT, **vars(checkpoint)}, file)
        file.flush()
        os.fsync(file.fileno())


def load(path: Path | str, identity: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint at `path`, None when there is none. `ValueError` when it belongs to another video or is broken."""
    path = Path(path)
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found.pop("format") != FORMAT:
            raise ValueError("it has another format")
        checkpoint = Checkpoint(**found)
    except Exception as error:
        raise ValueError(
            f"{path} is not a usable checkpoint ({error}); delete it to start from the beginning"
        ) from error
    if checkpoint.identity != identity:
        keys = [key for key in {**checkpoint.identity, **identity} if checkpoint.identity.get(key) != identity.get(key)]
        raise ValueError(
            f"{path} is the checkpoint of another video (it differs in {', '.join(sorted(keys))}); "
            "delete it, or ask for the same video again"
        )
    return checkpoint
