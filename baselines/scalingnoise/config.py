"""Parameters of ScalingNoise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from baselines.scalingnoise.proposals import PROPOSALS
from miga.engine.method import MethodConfig


class ScalingNoise(MethodConfig):
    """Parameters of ScalingNoise; defaults are the original code's, quirks included."""

    candidates: int = Field(
        3, ge=1, description="noises that each beam tries for each new frame (the original's script: 5)"
    )
    beams: int = Field(2, ge=1, description="parallel queues (the original's script: 3)")
    explore: float = Field(
        0.2, ge=0, le=1, description="how often each beam keeps its own best tail instead of the best of all"
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
