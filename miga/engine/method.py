"""The contract of a method, its card, and the registry.

A method registers itself as an entry point of the group `miga.methods`, from this repository or from any other package:

    [project.entry-points."miga.methods"]
    my_method = "my_package:METHOD"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel as Config
from torch import Tensor

from eval.registry import Registry
from miga.engine.abilities import Needs, lacking
from miga.engine.base_model import BaseModel, Text
from miga.engine.noise import Noise
from miga.engine.trace import Trace

Generate = Callable[[BaseModel, Sequence[Text], int | None, Any, Noise, Trace], Iterator[Tensor]]


class MethodConfig(Config, extra="forbid", frozen=True, allow_inf_nan=False):
    """Base of every method's typed parameters: an unknown key is an error, defaults are the original's."""


@dataclass(frozen=True)
class Card:
    """What a reader of a table must know about a method."""

    label: str
    summary: str
    version: str
    length: Literal["finite", "infinite"]
    paper: str = ""
    year: int | None = None
    url: str = ""
    licence: str = ""  # of the original code
    needs: Needs = field(default_factory=dict)  # of a base model's abilities, see `engine.abilities`
    published: tuple[str, ...] = ()  # base models of the authors' own results; on any other, a port of ours
    cost: str = ""  # memory and calls of the network against the length of the video, in words
    notes: str = ""
    control: bool = False  # brackets the metrics; not a contender
    sound: bool = False  # a control that nothing is wrong with
    multi_prompt: bool = False

    def is_port(self, base: str) -> bool:
        """Whether the method on this base model (a registered name) is a port of ours: it was published on others."""
        return bool(self.published) and base not in self.published


@dataclass(frozen=True)
class Method:
    """A name, a card, typed parameters, and `generate(model, texts, num_latents, config, noise, trace)`.

    `generate` yields chunks of finished latents (f, C, h, w), of the model's `latent_shape`, device and dtype, in the
    order of the video. It raises `ValueError`, before the first chunk, for parameters that do not fit each other or the
    model, and `FloatingPointError` where the network's numbers are no longer finite.

    model: what `check` has let pass; `model.denoise` and its other methods are all that a method may ask of it.
    texts: one prompt, or several for a method whose card says `multi_prompt`.
    num_latents: latent frames in all, 1 or more (the last chunk may hold more; the caller cuts). None asks an infinite
        method for more until it is closed.
    config: an instance of the class `config`.
    noise: where all random numbers come from, by purpose, frame and level.
    trace: takes what the method tells about its run.

    `arrange(native, wanted, seed)` is for controls that rearrange decoded frames: `generate` then yields the base
    model's own clip whatever was asked, which decodes to `native` frames, and the video shows those at the returned
    indices, each in 0..native-1: `wanted` of them, or fewer where a control is shorter than what was asked.
    """

    name: str
    card: Card
    config: type[MethodConfig]
    generate: Generate = field(repr=False)
    arrange: Callable[[int, int, int], Sequence[int]] | None = None

    def check(self, model: BaseModel, texts: Sequence[Text], num_latents: int | None) -> None:
        """`ValueError` for a request that the card excludes."""
        if missing := lacking(self.card.needs, model.abilities):
            raise ValueError(f"{self.name} does not run on {model.name!r}: it needs {' and '.join(missing)}")
        if len(texts) > 1 and not self.card.multi_prompt:
            raise ValueError(f"{self.name} takes one prompt, not {len(texts)}")
        if num_latents is None and self.card.length == "finite":
            raise ValueError(f"{self.name} makes videos of a given length only: say how many frames")


METHODS = Registry("miga.methods", "method")
