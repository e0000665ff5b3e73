"""Controls: videos whose scores bracket a metric. Each rearranges the base model's own clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace


class Control(MethodConfig):
    """Parameters of a control."""

    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: Control, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """The base model's own clip, whatever was asked."""
    yield sample_clip(model, texts[0], noise, guidance_scale=config.guidance_scale)


def native_length(native: int, wanted: int, seed: int) -> range:
    """The clip as it is, with the number of frames that it has."""
    return range(native)


def static(native: int, wanted: int, seed: int) -> list[int]:
    """The clip's first frame, held."""
    return [0] * wanted


def looped(native: int, wanted: int, seed: int) -> list[int]:
    """The clip again and again, from its start."""
    return [i % native for i in range(wanted)]


def shuffled(native: int, wanted: int, seed: int) -> list[int]:
    """The clip again and again, its frames in random order."""
    order = np.random.default_rng(seed)
    return [int(i) for _ in range(-(-wanted // native)) for i in order.permutation(native)][:wanted]


def control(name: str, label: str, arrange, sound: bool = False) -> Method:
    summary = arrange.__doc__
    card = Card(label=label, summary=summary, version="1", length="finite", control=True, sound=sound)
    return Method(name=name, card=card, config=Control, generate=generate, arrange=arrange)


NATIVE_LENGTH = control("native_length", "Native length", native_length, sound=True)
STATIC = control("static", "Static", static)
SHUFFLED = control("shuffled", "Shuffled", shuffled)
LOOPED = control("looped", "Looped", looped)
