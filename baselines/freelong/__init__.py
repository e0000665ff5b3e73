"""FreeLong: global and local temporal attention, blended in the frequency domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from baselines.freelong.blend import LOCAL, Mask, Shape, blended_attention, low_pass
from baselines.freenoise import shuffled_noise
from miga.engine.attention import denoise_with
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace

PAPER = dict(active=0.5, skip_finest=False, outside="zeroed")  # where the paper differs from the released code


class FreeLong(MethodConfig):
    """Parameters of FreeLong; defaults are the released code's. Any can be set on top of either preset."""

    preset: Literal["released", "paper"] = Field(
        "released", description=f"what the original code computes, or what the paper describes: {PAPER}"
    )
    window: int | None = Field(None, ge=1, description="frames of the local attention; default: the model's own clip")
    mask: Mask = Field("strict", description="local attention at the video's ends: cut off, or filled up to the window")
    outside: Literal["masked", "zeroed"] = Field(
        "masked", description="frames outside the band: masked before the softmax, or set to zero after it"
    )
    filter: Shape = Field("gaussian", description="shape of the low pass; the original has the Gaussian only")
    d_t: float = Field(0.25, ge=0, description="temporal cut-off, as a share of the Nyquist frequency")
    d_s: float = Field(0.25, ge=0, description="spatial cut-off, likewise")
    centred: bool = Field(False, description="centre the filter on odd sizes, where the released one is off")
    active: float = Field(1.0, ge=0, le=1, description="share of the steps, noisiest first, that blend")
    skip_finest: bool = Field(True, description="UNet: local only on feature maps as large as the latents")
    noise_stride: int = Field(4, ge=1, description="frames of the initial noise that are shuffled together")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")

    @model_validator(mode="before")
    @classmethod
    def of_the_paper(cls, chosen: dict[str, Any]) -> dict[str, Any]:
        return PAPER | chosen if chosen.get("preset") == "paper" else chosen


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: FreeLong, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video from FreeNoise's noise, with blended attention in the first steps."""
    levels = model.solver.num_levels
    height, width = model.latent_shape[1:]
    unet = model.abilities.attention == "pixel"
    window = config.window or model.window
    local = partial(LOCAL[config.outside], window=window, mask=config.mask)
    gain = partial(low_pass, d_t=config.d_t, d_s=config.d_s, shape=config.filter, centred=config.centred or not unet)
    finest = height * width if unet and config.skip_finest else None
    blend = partial(blended_attention, local=local, gain=gain, finest=finest)
    blending = round(config.active * levels)
    trace.add("attention", window=window, blended_steps=blending)

    def attend_at(level):
        return blend if level >= levels - blending else lambda q, k, v, grid: local(q, k, v)

    start = shuffled_noise(model, num_latents, model.window, config.noise_stride, noise)
    yield sample_clip(model, texts[0], noise, num_latents, start, config.guidance_scale, denoise_with(model, attend_at))


METHOD = Method(
    name="freelong",
    card=Card(
        label="FreeLong",
        summary="Temporal attention over all frames for low frequencies, over neighbours for high ones.",
        cost="Memory linear in frames; time linear in the local branch, quadratic in the global one.",
        version="1",
        length="finite",
        paper="FreeLong: Training-Free Long Video Generation with SpectralBlend Temporal Attention",
        year=2024,
        url="https://arxiv.org/abs/2407.19918",
        licence="MIT at the root of its repository; Apache-2.0 for the parts derived from VideoCrafter2 and LaVie",
        needs=dict(attention=("pixel", "joint")),
        published=("videocrafter2",),
        notes=(
            "The paper blends in the first 25 of 50 steps, the code in all; the code alone stays local on the largest "
            "feature maps; the code masks before the softmax, the paper after it. The default is the code, "
            "preset=paper the paper, whose table most likely used the code's settings with LaVie and 128 frames. Our "
            "port to transformers: joint attention, a centred filter, no exception for the largest feature maps."
        ),
    ),
    config=FreeLong,
    generate=generate,
)
