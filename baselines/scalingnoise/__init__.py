"""ScalingNoise (Yang et al., arXiv 2503.16400): search for the initial noise of each new frame, at inference time.

Diagonal denoising as in FIFO-Diffusion, `miga.engine.diagonal`, in several beams: `baselines.scalingnoise.search`. The
noises that it tries are in `baselines.scalingnoise.proposals`.
"""

from __future__ import annotations

from collections.abc import Sequence

from baselines.scalingnoise.config import ScalingNoise
from baselines.scalingnoise.search import BeamSearch
from miga.engine.base_model import BaseModel, Text
from miga.engine.checkpoint import Stream
from miga.engine.method import Card, Method
from miga.engine.noise import Noise
from miga.engine.sweep import Context
from miga.engine.trace import Trace


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int | None, config: ScalingNoise, noise: Noise, trace: Trace
) -> Stream:
    """Latents as soon as all beams agree on them, without end where `num_latents` is None."""
    if config.partitions:
        model = model.with_levels(config.partitions * model.window)
    remakes = max(model.solver.num_levels - model.window, 0) + (config.prestep != "off")
    drop = remakes if config.drop_first is None else config.drop_first
    context = Context(model, texts[0], noise, trace, config.batch, config.guidance_scale, config.latent_rescale)
    search = BeamSearch(context, config, num_latents, drop)
    return Stream(search.latents(), search=search)


METHOD = Method(
    name="scalingnoise",
    card=Card(
        label="ScalingNoise",
        summary="FIFO-Diffusion in several beams; each tries several noises for a new frame, the best looking survive.",
        cost="Constant memory, a queue for each beam; calls for each further latent frame, by beams and candidates.",
        version="1",
        length="infinite",
        paper="ScalingNoise: Scaling Inference-Time Search for Generating Infinite Videos (2025)",
        year=2025,
        url="https://arxiv.org/abs/2503.16400",
        licence="none given (all rights reserved)",
        needs=dict(levels=("frame",)),
        published=("videocrafter2",),
        notes="Defaults are the released code's; its script, and so probably the paper's table, has 5 candidates and "
        "3 beams. A frame leaves once all beams share it, a few iterations after it is finished. With a temporal "
        "autoencoder candidates are judged by their last latent decoded on its own.",
    ),
    config=ScalingNoise,
    generate=generate,
)
