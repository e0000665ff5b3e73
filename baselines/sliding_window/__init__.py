"""Sliding windows (MultiDiffusion over time): at every step the network runs on overlapping windows of its own length,
and its predictions are averaged where they overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from baselines.freenoise import shuffled_noise
from baselines.sliding_window.windows import Schedule, Weights, Window, average, batches, windows
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace


class SlidingWindow(MethodConfig):
    """Parameters of sliding windows; defaults are ComfyUI's node for Wan with a static schedule."""

    window: int | None = Field(None, ge=2, description="latent frames of a window; default: the model's own clip")
    overlap: int | None = Field(
        None,
        ge=0,
        description="latent frames that neighbours share; default: 8 where a clip has 21, else in proportion",
    )
    schedule: Schedule = Field("static", description="the same windows at every step, moving ones, or without overlap")
    stride: int = Field(1, ge=1, description="uniform: windows with 1, 2, 4, ... between frames, so many powers of 2")
    weights: Weights = Field("pyramid", description="weight of a frame by its place in a window")
    anchor: Literal["none", "previous"] = Field(
        "none", description="show each later window the frame before it, whose prediction is dropped"
    )
    freenoise: bool = Field(False, description="shuffled initial noise as FreeNoise has it (on in the original nodes)")
    batch: int = Field(1, ge=1, description="windows per call of the network: memory, not results")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def own_texts(found: Sequence[Window], texts: Sequence[Text], frames: int) -> list[Text]:
    """The prompt of each window: the one whose part of the video (parts are equal) holds the window's centre."""
    return [texts[window[len(window) // 2] * len(texts) // frames] for window in found]


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: SlidingWindow, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video, which the network never sees as a whole."""
    length = config.window or model.window
    overlap = round(length * 8 / 21) if config.overlap is None else config.overlap
    if not overlap < length:
        raise ValueError(f"sliding_window: overlap {overlap} must be less than the window of {length} latent frames")
    steps = model.solver.num_levels
    plans = [windows(config.schedule, num_latents, length, overlap, step, config.stride) for step in range(steps)]
    if any(len({*window} & {*range(num_latents)}) < len(window) for found in plans for window in found):
        raise ValueError(
            f"sliding_window: stride {config.stride} has no room in a video of {num_latents} latent frames: lower it "
            "or shorten the window"
        )
    heard = {id(text) for found in plans for text in own_texts(found, texts, num_latents)}
    if dropped := [text.prompt for text in texts if id(text) not in heard]:
        raise ValueError(
            f"sliding_window: no window of {num_latents} latent frames has its centre in the part of the prompt "
            f"{dropped[0]!r}: ask for more frames, fewer prompts, or more overlap"
        )
    trace.add("windows", length=length, overlap=overlap, count=len(plans[0]), schedule=config.schedule)

    def denoise(latents, levels, _, guidance_scale=None):
        found = plans[steps - 1 - int(levels.max())]  # given frames are at level -1
        spoken = own_texts(found, texts, num_latents)
        seen = [[window[0] - 1, *window] if config.anchor == "previous" and window[0] else window for window in found]
        predictions = [None] * len(found)
        for numbers in batches(seen, config.batch):
            frames = torch.tensor([seen[number] for number in numbers], device=latents.device)
            output = model.denoise(latents[0][frames], levels[0][frames], [spoken[n] for n in numbers], guidance_scale)
            for number, prediction in zip(numbers, output, strict=True):
                predictions[number] = prediction[-len(found[number]) :]
        return average(predictions, found, num_latents, config.weights, overlap)[None]

    start = shuffled_noise(model, num_latents, length, length - overlap, noise) if config.freenoise else None
    yield sample_clip(model, texts[0], noise, num_latents, start, config.guidance_scale, denoise)


METHOD = Method(
    name="sliding_window",
    card=Card(
        label="Sliding window",
        summary="Overlapping windows of the model's own length at every step, their predictions averaged.",
        cost="Memory of one window; calls grow with the windows, 3, 5 and 6 of Wan at 41, 61 and 81 latent frames.",
        version="1",
        length="finite",
        paper="MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation (over time, as ComfyUI's context "
        "windows do it)",
        year=2023,
        url="https://arxiv.org/abs/2302.08113",
        licence="GPL-3.0 (ComfyUI)",
        notes=(
            "No paper describes what users run; the definition is ComfyUI's, with its freenoise option off and its "
            "static schedule. Every window starts at position 0. FreeLOC's row of this name has neither code nor "
            "settings."
        ),
        published=("wan2.1-1.3b",),
        multi_prompt=True,
    ),
    config=SlidingWindow,
    generate=generate,
)
