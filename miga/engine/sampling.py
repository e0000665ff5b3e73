"""Ordinary sampling: a whole clip at one noise level, as the base model was trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from miga.engine.base_model import BaseModel, Text
from miga.engine.noise import Noise


def sample_clip(
    model: BaseModel,
    text: Text,
    noise: Noise,
    num_latents: int | None = None,
    start: Float[Tensor, "f c h w"] | None = None,
    guidance_scale: float | None = None,
    denoise: Callable[..., Float[Tensor, "b f c h w"]] | None = None,
) -> Float[Tensor, "f c h w"]:
    """The base model's own clip of `num_latents` frames (default: its window), from noise `start` where it is given.

    A view of the model `with_start` has its given latents at the clip's beginning: they are shown at level -1 and stay
    as they are. `ValueError` where nothing is left to make.

    `denoise` stands in for `model.denoise`, with the same arguments: a method that changes the network or its guidance.
    `FloatingPointError` where numbers break, with the level and the frame.
    """
    denoise = denoise or model.denoise
    num_latents = num_latents or model.window
    if start is None:
        start = noise.clip("start", num_latents, model.solver.num_levels, model.latent_shape)
    sample = start.to(model.device, model.dtype)
    given = 0 if model.given is None else len(model.given)
    if given >= len(sample):
        raise ValueError(f"{given} given latent frames leave nothing to make of a clip of {len(sample)}: give fewer")
    if given:
        sample = torch.cat([model.given, sample[given:]])
    history = model.solver.fresh(sample[given:])
    for level in reversed(range(model.solver.num_levels)):
        levels = torch.full((len(sample),), level, device=model.device)
        levels[:given] = -1
        output = denoise(sample[None], levels[None], text, guidance_scale)[0]
        draw = noise.clip("sample", len(sample), level, model.latent_shape) if model.solver.stochastic else None
        draw = draw if draw is None else draw[given:]
        stepped, _, history = model.solver.step(
            output[given:], sample[given:], levels[given:], history, draw, rescale=True
        )
        sample = torch.cat([sample[:given], stepped])
        frame = broken_frame(sample)
        if frame is not None:
            raise FloatingPointError(f"non-finite latents after the step at level {level} of a clip: frame {frame}")
    return sample


def broken_frame(latents: Float[Tensor, "f c h w"]) -> int | None:
    """The first frame with a latent that is not a number any more."""
    finite = latents.flatten(1).isfinite().all(dim=1)
    return None if finite.all() else int(finite.logical_not().nonzero()[0])
