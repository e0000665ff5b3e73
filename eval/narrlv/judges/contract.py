"""The contract of a judge, and what all judges share: how a model is asked, and how a frame becomes a picture.

A judge sees frames, reads a question and gives votes, which are texts; what a vote says is the metric's parser's word.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Frames = UInt8[np.ndarray, "frames height width 3"]

SYSTEM = "You are a helpful assistant."
YES_OR_NO = "Answer with one word: yes or no."
QWEN = "Qwen/Qwen2.5-VL-72B-Instruct"


class Judge(Protocol):
    """The contract.

    protocol: all that may change a vote, as plain JSON, with a readable name under "judge"; never a secret.
    concurrency: how many `ask` may run at the same time.
    ask: `votes` answers to a question on frames (F, H, W, 3) uint8 RGB, in order of time; F = 0 is a question on text
        alone. Votes that could not be had: `JudgeError`, or a shorter list. A vote without a text is no vote.

    A judge may have `left_out`, the names of settings in `protocol` that its votes did without so far.
    """

    protocol: Mapping[str, Any]
    concurrency: int

    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> Sequence[str]: ...


class JudgeError(Exception):
    """Why votes are missing. `votes` are those that were given; `stop`: every other question would fail as well."""

    def __init__(self, reason: str, votes: Sequence[str] = (), stop: bool = False) -> None:
        super().__init__(reason)
        self.votes = list(votes)
        self.stop = stop


@dataclass(frozen=True)
class Sampling:
    """How a language model answers; the defaults are the released protocol's."""

    temperature: float | None = 0.7  # None, here and below: not sent, the server's own
    top_p: float | None = 0.8
    repetition_penalty: float | None = 1.05
    max_tokens: int | None = 32  # thinking counts: a reasoning model needs thousands
    instruction: str = YES_OR_NO  # appended to each question

    def __post_init__(self) -> None:
        told = [(name, value) for name, value in self.sent.items() if not 0 <= value < math.inf]
        if told or self.max_tokens == 0:
            name, value = [*told, ("max_tokens", 0)][0]
            raise ValueError(f"sampling: {name} {value}: give a number that a judge can answer with, or None")

    @property
    def sent(self) -> dict[str, float]:
        """What goes with a request."""
        return {name: value for name, value in asdict(self).items() if name != "instruction" and value is not None}


RELEASED = Sampling()


def jpeg(frame: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A frame as JPEG, quality 95 with 4:2:0 chroma: the defaults of the released code's writer."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(file, "jpeg", quality=95, subsampling=2)
    return file.getvalue()
