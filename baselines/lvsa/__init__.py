"""LVSA: every frame attends to its neighbours, the first frame, and key frames that move on with the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from baselines.lvsa.pattern import key_frame_interval, shrunk, sparse_attention
from miga.engine.attention import attention, denoise_with
from miga.engine.base_model import BaseModel, Text
from miga.engine.frame_texts import denoise_telling, frame_texts
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace


class LVSA(MethodConfig):
    """Parameters of LVSA."""

    window: int | None = Field(
        None, ge=0, description="latent frames on either side; default: 3 where a clip has 21, else in proportion"
    )
    first: int = Field(1, ge=0, description="leading latent frames that everyone attends to")
    reference: int | None = Field(None, ge=1, description="latent frames of the model's clip; default: the model's own")
    sparsity_scale: float = Field(1.0, gt=0, description="attended frames, as a share of the reference")
    interval: int | None = Field(None, ge=1, description="latent frames between key frames; default: by the above")
    rotate: bool = Field(True, description="key frames move on by one frame per step")
    offset: Literal["released", "step"] = Field(
        "released", description="of the key frames at step i: i - 1, as the original's callback has it, or i"
    )
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")

    def shift(self, step: int, interval: int) -> int:
        """By how many frames the key frames are moved at a step (0 is the noisiest)."""
        return (max(step - (self.offset == "released"), 0) % interval) if self.rotate else 0


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: LVSA, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video with sparse attention, at every step and in every block."""
    reference = config.reference or model.window
    window = max(1, round(3 * reference / 21)) if config.window is None else config.window
    window, first = shrunk(num_latents, window, config.first, reference)
    interval = config.interval or key_frame_interval(num_latents, window, first, reference, config.sparsity_scale)
    trace.add("pattern", window=window, first=first, interval=interval)
    steps = model.solver.num_levels

    def attend_at(level):
        if interval == 1:
            return lambda q, k, v, grid: attention(q, k, v)
        offset = config.shift(steps - 1 - level, interval)
        return partial(sparse_attention, window=window, first=first, interval=interval, offset=offset)

    denoise = denoise_with(model, attend_at)
    if len(texts) > 1:
        if num_latents < len(texts):
            raise ValueError(f"lvsa: {len(texts)} prompts need as many latent frames, not {num_latents}: ask for more")
        own = [texts[frame * len(texts) // num_latents].positive for frame in range(num_latents)]
        denoise = denoise_telling(model, lambda level: frame_texts(model.denoiser, own), texts[0], denoise)
    yield sample_clip(model, texts[0], noise, num_latents, None, config.guidance_scale, denoise)


METHOD = Method(
    name="lvsa",
    card=Card(
        label="LVSA",
        summary="Frames attend to neighbours, the first frame and key frames that move on with the steps.",
        cost="Keys are gathered for each query frame: memory and time linear in frames.",
        version="1",
        length="finite",
        paper="LVSA: Training-Free Sparse Attention for Long Video Diffusion",
        year=2026,
        url="https://arxiv.org/abs/2605.31057",
        licence="Apache-2.0",
        needs=dict(attention=("pixel", "joint")),
        published=("wan2.1-1.3b",),
        notes=(
            "Made for speed as much as for quality. The original sets the key frames of a step at the end of the step "
            "before, so that steps 0 and 1 share theirs (offset=released). On a base whose clip has not 21 latent "
            "frames the window is scaled, which is our choice; our port to UNets does the same over frames alone. Of "
            "several prompts, which the original does not take, each frame reads that of its part of the video."
        ),
        multi_prompt=True,
    ),
    config=LVSA,
    generate=generate,
)
