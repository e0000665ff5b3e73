"""What a base model can do, and what a method asks of it. No torch, so that listing and planning stay cheap."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a base model can do, as far as methods and listings ask.

    attention: what `engine.attention` replaces: attention over time per pixel (UNets), joint attention over all
        tokens of a clip (transformers), or nothing.
    prediction: what the network predicts, the noise (epsilon) or the flow.
    rotary: whether positions in time are rotary, so that they can be moved and scaled.
    levels: whether the network is told a noise level per frame, or one per clip only.
    trained: the noise levels that it has seen in training: one per clip, one per clip beside a clean first frame
        (start), or one for each frame.
    stride: video frames of a latent frame after the first one.
    texts: whether a window can have a text per frame.
    clean_timestep: the timestep that a clean frame (level -1) is told, where the network knows clean frames.
    """

    attention: Literal["pixel", "joint", "none"]
    prediction: Literal["epsilon", "flow"]
    rotary: bool = False
    levels: Literal["frame", "clip"] = "frame"
    trained: Literal["one", "start", "each"] = "one"
    stride: int = 1
    texts: Literal["frame", "clip"] = "clip"
    clean_timestep: int | None = None

    @property
    def start_image(self) -> Literal["trained", "untrained"]:
        """Whether the network has seen clips that begin with a given, clean frame."""
        return "untrained" if self.clean_timestep is None else "trained"


Needs = Mapping[str, Collection[Any]]  # ability -> the values of it that will do

WORDS = {
    "attention": "temporal attention that can be replaced ({})",
    "prediction": "prediction of {}",
    "rotary": "rotary positions in time",
    "levels": "noise levels per {}",
    "trained": "training with noise levels of the kind {}",
    "texts": "texts per {}",
}


def lacking(needs: Needs, abilities: Abilities) -> list[str]:
    """What of `needs` a base model lacks, each as a phrase; empty where it will do."""
    return [
        WORDS.get(name, f"{name} {{}}").format(" or ".join(map(str, wanted)))
        for name, wanted in needs.items()
        if getattr(abilities, name) not in wanted
    ]
