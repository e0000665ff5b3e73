"""FreeNoise: noise that repeats in shuffled order, temporal attention in overlapping windows, motion injection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from baselines.freenoise.prompts import injected
from baselines.freenoise.windows import Windows, window_attention
from miga.engine.attention import denoise_with
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace


class FreeNoise(MethodConfig):
    """Parameters of FreeNoise."""

    window: int | None = Field(None, ge=1, description="frames of a window; default: the model's own clip")
    stride: int = Field(4, ge=1, description="frames between windows, and frames shuffled together")
    weights: Literal["pyramid", "flat"] = Field("pyramid", description="weight of a frame by its place in a window")
    tail: Literal["extra", "drop"] = Field(
        "extra", description="frames after the last whole window: one more window, or no attention output as released"
    )
    noise: Literal["shuffled", "independent"] = Field("shuffled", description="initial noise of frames beyond a window")
    hold: float = Field(0.375, ge=0, le=0.5, description="two prompts: share of the video that each has alone")
    inject: tuple[int, int] = Field((5, 15), description="two prompts: inject before and after these steps")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def frame_order(frames: int, window: int, stride: int, noise: Noise) -> list[int]:
    """Which frame of the drawn noise each frame starts from: after the first window, each group of `stride` frames
    repeats, shuffled, the group one window earlier (local noise shuffling)."""
    if not 0 < stride <= window:
        raise ValueError(f"groups of {stride} frames must hold between 1 and the {window} frames of a window")
    order = list(range(frames))
    for start in range(window, frames, stride):
        group = slice(start, min(start + stride, frames))
        order[group] = noise.shuffled("shuffle", order[start - window : group.stop - window], start)
    return order


def shuffled_noise(model: BaseModel, frames: int, window: int, stride: int, noise: Noise) -> Float[Tensor, "f c h w"]:
    """Initial noise in which only `window` frames are drawn and later ones repeat them."""
    drawn = noise.clip("start", frames, model.solver.num_levels, model.latent_shape)
    return drawn[frame_order(frames, window, stride, noise)]


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: FreeNoise, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video from shuffled noise, frames attending inside windows."""
    windows = Windows(config.window or model.window, config.stride, config.weights, config.tail)
    trace.add("windows", size=windows.size, stride=windows.stride, count=len(windows.starts(num_latents)))
    shuffled = config.noise == "shuffled"
    start = shuffled_noise(model, num_latents, windows.size, windows.stride, noise) if shuffled else None
    denoise = denoise_with(model, lambda level: partial(window_attention, windows=windows))
    if len(texts) > 1:
        denoise = injected(model, texts, num_latents, config, denoise)
    yield sample_clip(model, texts[0], noise, num_latents, start, config.guidance_scale, denoise)


METHOD = Method(
    name="freenoise",
    card=Card(
        label="FreeNoise",
        summary="Shuffled initial noise and temporal attention in overlapping windows.",
        cost="Memory and time linear in frames.",
        version="1",
        length="finite",
        paper="FreeNoise: Tuning-Free Longer Video Diffusion via Noise Rescheduling",
        year=2024,
        url="https://arxiv.org/abs/2310.15169",
        licence="Apache-2.0, but its README restricts it to research and non-commercial use",
        needs=dict(attention=("pixel", "joint")),
        published=("videocrafter2",),
        notes=(
            "Paper and code agree; the released runs have 64 frames, windows of 16, stride 4, DDIM with eta 0, "
            "which the paper's table most likely used too. In the port to transformers all tokens of a window's frames "
            "attend to each other; the paper gives none."
        ),
        multi_prompt=True,
    ),
    config=FreeNoise,
    generate=generate,
)
