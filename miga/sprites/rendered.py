"""The control `rendered`: what the world itself draws for the prompt, the ceiling of every score of a base model.

The drawn frames go through the base model's own autoencoder, which its videos cannot get round either.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from miga.engine.method import Card, Method, MethodConfig
from miga.sprites import world


class Rendered(MethodConfig):
    """It has no parameters."""


def generate(model, texts, num_latents, config, noise, trace):
    """The prompt's scene, drawn and encoded; start, speed and the times of events depend on the seed alone."""
    scene = world.parse(texts[0].prompt)
    seed = int(noise.uniform("scene", 0) * 2**32)
    frames = world.render([scene], model.video_frames(num_latents), seed).frames[0]
    height, width = (model.options[side] for side in ("height", "width"))
    if (height, width) != (world.SIZE, world.SIZE):
        resized = F.interpolate(frames.movedim(-1, 1).float(), (height, width), mode="area")
        frames = resized.round().to(torch.uint8).movedim(1, -1)
    yield model.encode_frames(frames)


METHOD = Method(
    name="rendered",
    card=Card(
        label="Rendered",
        summary="What the sprites world itself draws for the prompt, through the model's autoencoder: the ceiling.",
        version="1",
        length="finite",
        control=True,
        sound=True,
    ),
    config=Rendered,
    generate=generate,
)
