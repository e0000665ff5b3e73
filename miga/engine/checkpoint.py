"""Save a generation in flight and resume it later, bit for bit.

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

A method whose generation is a `Stream` (FIFO-Diffusion, MIGA, ScalingNoise) is saved as it stands: queue, solver
history, position; with keyed noise there is no random state. Any other method is finite and reproducible: it is run
again and the latents that were already decoded are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar

import torch
from torch import Tensor

from eval.files import replacing

FORMAT = 2


class Part:
    """A piece of a generation that can be saved between two chunks: the attributes that `saved` names.

    They hold tensors, queues, numbers, strings, None, and lists, tuples, dicts or dataclasses of these.
    """

    saved: ClassVar[tuple[str, ...]] = ()

    def state(self) -> dict[str, Any]:
        """What the rest of the generation depends on, besides the arguments that made this."""
        return {name: copied(getattr(self, name)) for name in self.saved}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state()`, on a fresh object of the same arguments."""
        for name in self.saved:
            setattr(self, name, copied(state[name]))


def copied(value: Any, device: torch.device | None = None) -> Any:
    """A saved value that later changes to the original leave alone; its latents are moved to the device, if any."""
    if hasattr(value, "to"):  # a tensor, which nobody changes in place, or a queue of them
        return value.to(device)
    if is_dataclass(value):
        return replace(value, **{part.name: copied(getattr(value, part.name), device) for part in fields(value)})
    if isinstance(value, dict):
        return {name: copied(part, device) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(part, device) for part in value)
    return value


class Stream(Iterator[Tensor]):
    """A generation in flight whose state between two chunks can be saved.

    chunks: yields finished latents. Everything that it must remember from one chunk to the next is in `parts`, so that
        started anew on restored parts it yields what comes next.
    parts: by name.
    """

    def __init__(self, chunks: Iterator[Tensor], **parts: Part) -> None:
        self.chunks, self.parts = chunks, parts

    def __next__(self) -> Tensor:
        return next(self.chunks)

    def state(self) -> dict[str, Any]:
        """The state of all parts; valid after a chunk has been taken and before the next one is asked for."""
        return {name: part.state() for name, part in self.parts.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state()`, before the first chunk is asked for."""
        for name, part in self.parts.items():
            part.restore(state[name])


@dataclass(frozen=True)
class Checkpoint:
    """A generation in flight.

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
    decoder: dict[str, Any]
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


def load(path: Path | str, identity: dict[str, Any], device: torch.device | None = None) -> Checkpoint | None:
    """The checkpoint at `path`, its latents on the device; None when there is no file.

    `ValueError` when it belongs to another video or is broken.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found.pop("format") != FORMAT:
            raise ValueError("it has another format")
        checkpoint = Checkpoint(**found)
    except Exception as error:
        foreign = isinstance(error, UnpicklingError)  # what torch says then is a page about its options
        reason = "it is broken, or of another method" if foreign else error
        raise ValueError(
            f"{path} is not a usable checkpoint ({reason}); delete it to start from the beginning"
        ) from error
    if checkpoint.identity != identity:
        keys = [key for key in {**checkpoint.identity, **identity} if checkpoint.identity.get(key) != identity.get(key)]
        raise ValueError(
            f"{path} is the checkpoint of another video (it differs in {', '.join(sorted(keys))}); "
            "delete it, or ask for the same video again"
        )
    moved = dict(generation=copied(checkpoint.generation, device), decoder=copied(checkpoint.decoder, device))
    return replace(checkpoint, **moved)
