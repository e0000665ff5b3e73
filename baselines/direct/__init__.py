"""The base model asked for the whole video at once: what every training-free method starts from."""

from __future__ import annotations

from pydantic import Field

from miga.engine.method import Card, Method, MethodConfig
from miga.engine.sampling import sample_clip


class Direct(MethodConfig):
    """Parameters of direct sampling."""

    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def generate(model, texts, num_latents, config, noise, trace):
    """All latents of the video as one clip, however far that is beyond what the model was trained on."""
    yield sample_clip(model, texts[0], noise, num_latents, guidance_scale=config.guidance_scale)


METHOD = Method(
    name="direct",
    card=Card(
        label="Direct",
        summary="Ordinary sampling of all frames at once, beyond the length that the model was trained on.",
        version="1",
        length="finite",
    ),
    config=Direct,
    generate=generate,
)
