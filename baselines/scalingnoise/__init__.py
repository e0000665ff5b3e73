"""ScalingNoise (Yang et al., arXiv 2503.16400): search for the initial noise of each new frame, at inference time.

Diagonal denoising as in FIFO-Diffusion, `miga.engine.diagonal`, in several beams: `baselines.scalingnoise.search`. The
noises that it tries are in `baselines.scalingnoise.proposals`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from baselines.scalingnoise.proposals import PROPOSALS
from baselines.scalingnoise.search import BeamSearch
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.sweep import Context


class ScalingNoise(MethodConfig):
    """Parameters of ScalingNoise; defaults are the original code's, quirks included."""

    candidates: int = Field(
        3, ge=1, description="noises that each beam tries for each new frame (the original's script: 5)"
    )
    beams: int = Field(2, ge=1, description="parallel queues (the original's script: 3)")
    explore: float = Field(
        0.2, ge=0, le=1, description="how often each beam goes on with its own best tail instead of the best of all"
    )
    proposals: tuple[str, ...] = Field(
        ("fresh", "renoise", "low_frequencies", "mixture"),
        min_length=1,
        description=f"where candidate noises come from, each equally likely: {', '.join(PROPOSALS)}",
    )
    reward: Literal["last_cos", "subject_consistency"] = Field(
        "last_cos", description="likeness of the newest frame to the anchor, or VBench's measure over the whole window"
    )
    anchor: Literal["shared_latest", "own_latest", "first"] = Field(
        "shared_latest",
        description="what candidates are compared with: the latest frame of any beam (the original), the beam's own "
        "latest frame, or the first frame of all",
    )
    explore_pairing: Literal["reference", "consistent"] = Field(
        "reference",
        description="exploring puts tails behind the frames of the best beams (the original), or each behind its own",
    )
    prestep: Literal["nocfg", "cfg", "off"] = Field(
        "nocfg", description="a first iteration without search: without guidance (the original), with it, or none"
    )
    partitions: int | None = Field(
        None, ge=1, description="n: noise levels are n windows; default: the model's own levels"
    )
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")
    latent_rescale: bool = Field(False, description="apply the model's dynamic rescale in the queue (the original: no)")
    drop_first: int | None = Field(
        None,
        ge=0,
        description="frames discarded at first; default: levels - window, the remakes of the first base frame, "
        "and the pre-step's",
    )
    batch: int | None = Field(None, ge=1, description="windows in one call of the denoiser; default: by latent size")

    @field_validator("proposals")
    @classmethod
    def known(cls, proposals: tuple[str, ...]) -> tuple[str, ...]:
        for name in proposals:
            if name not in PROPOSALS:
                raise ValueError(f"unknown proposal {name!r}: known are {', '.join(PROPOSALS)}")
        return proposals


def generate(model, texts, num_latents, config, noise, trace):
    """Latents as soon as all beams agree on them, without end where `num_latents` is None."""
    if config.partitions:
        model = model.with_levels(config.partitions * model.window)
    remakes = max(model.solver.num_levels - model.window, 0) + (config.prestep != "off")
    drop = remakes if config.drop_first is None else config.drop_first
    context = Context(model, texts[0], noise, trace, config.batch, config.guidance_scale, config.latent_rescale)
    return BeamSearch(context, config, num_latents, drop)


METHOD = Method(
    name="scalingnoise",
    card=Card(
        label="ScalingNoise",
        summary="FIFO-Diffusion in several beams; each tries several noises for a new frame, the best looking survive.",
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
