"""The base model asked for the whole video at once: what every training-free method starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace


class Direct(MethodConfig):
    """Parameters of direct sampling."""

    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: Direct, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """All latents of the video as one clip, however far that is beyond what the model was trained on."""
    yield sample_clip(model, texts[0], noise, num_latents, guidance_scale=config.guidance_scale)


METHOD = Method(
    name="direct",
    card=Card(
        label="Direct",
        summary="Ordinary sampling of all frames at once, beyond the length that the model was trained on.",
        cost="Attention over all frames at once: memory linear in frames, time quadratic.",
        version="1",
        length="finite",
    ),
    config=Direct,
    generate=generate,
)
