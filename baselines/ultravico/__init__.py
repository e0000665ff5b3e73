"""UltraViCo: attention to frames outside the training window is damped, so that it does not disperse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from baselines.ultravico.decay import Decay, decayed_attention
from miga.engine.attention import denoise_with
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace

PRESETS: dict[str, dict[str, Any]] = dict(
    released=dict(distance="tokens", centred=True, cut=True),
    paper=dict(distance="frames", centred=False, cut=False),
)


class UltraViCo(MethodConfig):
    """Parameters of UltraViCo; what a preset does not say can be set on top of it."""

    preset: Literal["released", "paper"] | None = Field(
        None,
        description=f"what the original code computes, or what the paper describes: {PRESETS}; default: released, and "
        "paper on a UNet",
    )
    window: int | None = Field(
        None, ge=1, description="latent frames of the training window; default: the model's clip"
    )
    alpha: float = Field(0.9, gt=0, le=1, description="factor on positive logits of far pairs; 1 leaves them")
    distance: Literal["tokens", "frames"] | None = Field(None, description="how far counts; default: the preset's")
    centred: bool | None = Field(None, description="keys lose their mean over all tokens; default: the preset's")
    cut: bool | None = Field(None, description="frame 0 sees the first window only; default: the preset's")
    beta: float | None = Field(
        None, gt=0, le=1, description="factor near multiples of `period`, where content repeats (HunyuanVideo; not Wan)"
    )
    period: int | None = Field(None, ge=1, description="of repetition, in latent frames; needed with beta")
    gamma: int = Field(4, ge=0, description="frames around a multiple of the period that count as near")
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")

    @model_validator(mode="after")
    def _beta_has_a_period(self) -> UltraViCo:
        if self.beta is not None and self.period is None:
            raise ValueError("beta needs `period`, the latent frames after which content repeats")
        return self

    def decay(self, attention: str, window: int) -> Decay:
        """For a base model with such attention over time and such a clip."""
        chosen = PRESETS[self.preset or ("paper" if attention == "pixel" else "released")]
        chosen = {name: value if getattr(self, name) is None else getattr(self, name) for name, value in chosen.items()}
        return Decay(self.window or window, self.alpha, **chosen, beta=self.beta, period=self.period, gamma=self.gamma)


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: UltraViCo, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """Ordinary sampling of the whole video with damped attention to far frames, at every step and in every block."""
    decay = config.decay(model.abilities.attention, model.window)
    trace.add("decay", **vars(decay))
    denoise = denoise_with(model, lambda level: partial(decayed_attention, decay=decay))
    yield sample_clip(model, texts[0], noise, num_latents, None, config.guidance_scale, denoise)


METHOD = Method(
    name="ultravico",
    card=Card(
        label="UltraViCo",
        summary="Positive attention logits of keys outside the training window around a query are damped.",
        cost="Logits in blocks of queries: memory linear in frames, time quadratic, more than a fused attention takes.",
        version="1",
        length="finite",
        paper="UltraViCo: Breaking Extrapolation Limits in Video Diffusion Transformers",
        year=2025,
        url="https://arxiv.org/abs/2511.20123",
        licence="Apache-2.0",
        needs=dict(attention=("pixel", "joint")),
        published=("wan2.1-1.3b",),
        notes=(
            "The released kernel counts distance in tokens, centres the keys and cuts the first frame off from later "
            "ones; the paper counts frames and does neither. The kernel rounds queries and keys to 8 bits and has 1560 "
            "tokens and 21 frames as literals; here numbers are floats and sizes free. Evaluated at 2 to 4 times the "
            "trained length. Our port to UNets attends over frames pixel by pixel, by the paper's rule."
        ),
    ),
    config=UltraViCo,
    generate=generate,
)
