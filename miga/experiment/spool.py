"""What an unfinished video leaves on disk, so that a run that was killed resumes.

A compressed stream cannot be appended to after a kill, so the decoded frames are kept as they are beside the checkpoint
and written into the video again; both files go away when the video is whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.files import hidden, leftovers, naming
from miga.engine import checkpoint
from miga.engine.base_model import Decoder
from miga.engine.checkpoint import Checkpoint
from miga.engine.trace import Trace
from miga.experiment.video import Frames


class Spool:
    """Frames and state of one video in flight.

    path: the video; the files stand beside it.
    identity: the request of the video. A checkpoint of another request is a `ValueError` that says how it differs.
    every: frames between two checkpoints.
    device: where the model's latents live.
    seconds: that lie between two checkpoints at least.
    """

    def __init__(
        self, path: Path, identity: dict[str, Any], every: int, device: torch.device, seconds: float = 0.0
    ) -> None:
        self.state = hidden(path, "checkpoint")
        self.raw = hidden(path, "frames")  # height and width as uint32, then frame after frame
        self.identity, self.every, self.seconds, self.moment = identity, every, seconds, time.monotonic()
        self.found = checkpoint.load(self.state, identity, device)
        self.written = self.saved = self.found.frames if self.found else 0
        if not self.found:
            self.raw.unlink(missing_ok=True)

    def replay(self, batch: int = 64) -> Iterator[Frames]:
        """The frames behind the checkpoint. What was written after it is cut off."""
        with open(self.raw, "r+b") as file:
            height, width = (int(n) for n in np.fromfile(file, np.uint32, 2))
            size = height * width * 3
            file.truncate(8 + self.written * size)
            for start in range(0, self.written, batch):
                count = min(batch, self.written - start)
                yield np.fromfile(file, np.uint8, count * size).reshape(count, height, width, 3)

    def keep(self, frames: Frames, latents: int, generation: Iterator[Tensor], decoder: Decoder, trace: Trace) -> None:
        """Append new frames; when a checkpoint is due, make one. `latents` counts all taken."""
        with naming(self.raw), open(self.raw, "ab") as file:
            if not self.written:
                file.write(np.array(frames.shape[1:3], np.uint32))
            file.write(np.ascontiguousarray(frames))
            self.written += len(frames)
            if self.written - self.saved < self.every or time.monotonic() - self.moment < self.seconds:
                return
            file.flush()
            os.fsync(file.fileno())
        self.saved, self.moment = self.written, time.monotonic()
        state = checkpoint.state(generation)
        checkpoint.save(
            self.state, Checkpoint(self.identity, latents, self.written, state, decoder.state(), trace.events)
        )

    def clear(self) -> None:
        for path in (self.state, self.raw, *leftovers(self.state)):
            path.unlink(missing_ok=True)


def forget(path: Path, identity: dict[str, Any]) -> None:
    """Drop what an unfinished video of another request, or a broken one, has left where this one is to be made."""
    state = hidden(path, "checkpoint")
    try:
        checkpoint.load(state, identity)
    except ValueError:
        state.unlink()
