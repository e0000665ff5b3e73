"""FreePCA: windows of temporal attention that share the consistent principal components of all frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import sqrt
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from baselines.freenoise.windows import Windows, window_attention
from baselines.freepca.fusion import fused_attention
from miga.engine.attention import denoise_with
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace


class FreePCA(MethodConfig):
    """Parameters of FreePCA."""

    window: int | None = Field(None, ge=2, description="frames of a window; default: the model's own clip")
    stride: int = Field(4, ge=1, description="frames from one window to the next")
    weights: Literal["flat", "pyramid"] = Field("flat", description="weight of a frame by its place in a window")
    tail: Literal["extra", "drop"] = Field(
        "extra", description="frames after the last whole window: one more window, or no attention output as released"
    )
    components: int = Field(3, ge=0, description="most components that a window takes over; its mean it always does")
    gate_timestep: int = Field(250, description="UNet: components are fused at timesteps above this one")
    gate_fraction: float | None = Field(
        None, ge=0, le=1, description="fused share of the steps, noisiest first, instead; default on transformers: 0.74"
    )
    noise: Literal["shared_mean", "independent"] = Field("shared_mean", description="initial noise beyond a window")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def share_mean(drawn: Float[Tensor, "f ..."], window: int) -> Float[Tensor, "f ..."]:
    """Noise whose blocks of `window` frames all have the temporal mean of the first one, each frame still
    standard normal. A shorter last block gets that mean scaled to its own spread."""
    mean = drawn[:window].mean(0)
    blocks = drawn.split(window)
    return torch.cat([block - block.mean(0) + sqrt(len(blocks[0]) / len(block)) * mean for block in blocks])


def fused_levels(config: FreePCA, model) -> range | list[int]:
    """Levels at which components are fused. The original's rule comes to 0.74 of its 50 steps; the timesteps of a
    shifted flow schedule would let nearly all pass."""
    levels, fraction = model.solver.num_levels, config.gate_fraction
    if fraction is None and model.abilities.prediction == "flow":
        fraction = 0.74
    if fraction is not None:
        return range(levels - round(fraction * levels), levels)
    return [level for level, t in enumerate(model.solver.timesteps.tolist()) if t > config.gate_timestep]


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: FreePCA, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video, frames attending inside windows that are fused in the first steps."""
    windows = Windows(config.window or model.window, config.stride, config.weights, config.tail)
    plain = partial(window_attention, windows=windows)
    fused = partial(fused_attention, windows=windows, components=config.components)
    gate = fused_levels(config, model)
    trace.add(
        "windows", size=windows.size, stride=windows.stride, count=len(windows.starts(num_latents)), fused=len(gate)
    )
    start = noise.clip("start", num_latents, model.solver.num_levels, model.latent_shape)
    if config.noise == "shared_mean":
        start = share_mean(start, windows.size)
    denoise = denoise_with(model, lambda level: fused if level in gate else plain)
    yield sample_clip(model, texts[0], noise, num_latents, start, config.guidance_scale, denoise)


METHOD = Method(
    name="freepca",
    card=Card(
        label="FreePCA",
        summary="Windows of temporal attention that share the consistent principal components of all frames.",
        cost="Memory linear in frames; time quadratic, with a small decomposition for each window.",
        version="1",
        length="finite",
        paper="FreePCA: Integrating Consistency Information across Long-short Frames in Training-free Long Video "
        "Generation via Principal Component Analysis",
        year=2025,
        url="https://arxiv.org/abs/2505.01172",
        licence="none stated in its repository: all rights reserved; the VideoCrafter parts are Apache-2.0",
        needs=dict(attention=("pixel", "joint")),
        published=("videocrafter2",),
        notes=(
            "The paper's table most likely used the released code: VideoCrafter2, 64 frames, windows of 16, stride 4, "
            "three components, stochastic DDIM (eta 1). The code takes over more components from window to window, and "
            "on the step it depends through the gate alone. Our port to transformers decomposes joint attention over "
            "frames and gates by share of the steps."
        ),
    ),
    config=FreePCA,
    generate=generate,
)
