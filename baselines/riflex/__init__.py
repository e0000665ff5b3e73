"""RIFLEx: the rotary component after whose period content repeats is slowed down to one period per video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from math import pi
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from miga.engine.attention import time_frequencies, time_frequency
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace

COMPONENTS = 22  # of Wan's rotary positions in time
PRESETS: dict[str, dict[str, Any]] = dict(
    wrapper=dict(k=6, scale=0.9, length="video"),  # what Wan users run: ComfyUI-WanVideoWrapper, VideoX-Fun
    paper=dict(k=6, scale=1.0, length="video"),  # the paper's formula; it names no k for Wan
    lvsa=dict(k=4, scale=1.0, length="clips"),  # the RIFLEx rows of LVSA's table
    freeloc=dict(k=5, scale=1.0, length=80),  # FreeLOC's own RIFLEx
)


class RIFLEx(MethodConfig):
    """Parameters of RIFLEx. Any can be set on top of a preset."""

    preset: Literal["wrapper", "paper", "lvsa", "freeloc"] = Field(
        "wrapper", description=f"whose version for Wan, which the authors left open: {PRESETS}"
    )
    k: int | None = Field(
        None,
        ge=1,
        description="component that is slowed, from 1; default: the preset's where the network has Wan's 22, else the "
        "one whose period is nearest to the model's own clip",
    )
    scale: float = Field(0.9, gt=0, description="periods that fit into the length: below 1 leaves a margin")
    length: int | Literal["video", "clips"] = Field(
        "video", description="latent frames of a period: of the video, of whole clips of the model, or so many"
    )
    guard: bool = Field(False, description="only where the video is longer than the component's own period")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")

    @model_validator(mode="before")
    @classmethod
    def of_the_preset(cls, chosen: dict[str, Any]) -> dict[str, Any]:
        known = PRESETS.get(chosen.get("preset", "wrapper"), {})
        return {name: value for name, value in known.items() if name != "k"} | chosen


def frequencies(channels: int, base: float = 10000.0) -> Float[Tensor, " components"]:
    """Radians per frame of the rotary components of so many channels, fastest first."""
    return base ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)


def identify(theta: Float[Tensor, " components"], repeats: int, whole: bool = True) -> int:
    """The component, from 1, whose period (rounded to `whole` frames) is nearest to the frame at which a too long
    video is seen to repeat; the first of equals."""
    periods = 2 * pi / theta
    return 1 + int(((periods.round() if whole else periods) - repeats).abs().argmin())


def slowed(config: RIFLEx, theta: Float[Tensor, " components"], frames: int, window: int) -> tuple[int, float] | None:
    """Which component, from 1, turns by how many radians per latent frame; None where nothing is to change."""
    own = PRESETS[config.preset]["k"] if len(theta) == COMPONENTS else identify(theta, window)
    k = own if config.k is None else config.k
    if k > len(theta):
        raise ValueError(f"riflex cannot slow component {k}: this network has {len(theta)} rotary components in time")
    clips = max(1, round(frames / window))
    if config.length == "clips" and clips == 1:
        return None
    if config.guard and frames <= round(2 * pi / float(theta[k - 1])):
        return None
    length = dict(video=frames, clips=clips * window).get(config.length, config.length)
    return k, config.scale * 2 * pi / length


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: RIFLEx, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video while one rotary component turns slower."""
    theta = time_frequencies(model.denoiser)
    change = slowed(config, theta, num_latents, model.window)
    trace.add("riflex", component=change and change[0], period=change and 2 * pi / change[1])
    with time_frequency(model.denoiser, change[0] - 1, change[1]) if change else nullcontext():
        video = sample_clip(model, texts[0], noise, num_latents, guidance_scale=config.guidance_scale)
    yield video


METHOD = Method(
    name="riflex",
    card=Card(
        label="RIFLEx",
        summary="One rotary component of time is slowed so that the whole video fits into its period.",
        cost="As direct sampling: memory linear in frames, time quadratic.",
        version="1",
        length="finite",
        paper="RIFLEx: A Free Lunch for Length Extrapolation in Video Diffusion Transformers",
        year=2025,
        url="https://arxiv.org/abs/2502.15894",
        licence="Apache-2.0",
        needs=dict(rotary=(True,)),
        published=("wan2.1-1.3b",),
        notes=(
            "Needs rotary positions over time: VideoCrafter2 has no temporal position encoding. The authors have no "
            "code and no component for Wan; three public versions disagree, hence the presets. In preset wrapper at 2x "
            "(41 latents) the changed frequency is raised, not slowed: the period falls from 51.0 to 45.6 frames, and "
            "only from 46 latents on does it grow; with the authors' guard (guard=true) the row at 2x would equal "
            "direct sampling. Networks with another number of components than Wan's 22: the component whose period is "
            "nearest to the model's own clip, which is our choice."
        ),
    ),
    config=RIFLEx,
    generate=generate,
)
