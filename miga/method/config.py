"""MIGA's parameters, and all the constants of a run that follow from them and the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from miga.engine.base_model import BaseModel
from miga.engine.method import MethodConfig
from miga.method.presets import FOLLOWING, PRESETS


class Miga(MethodConfig):
    """Parameters of MIGA. What is None follows from the preset and the base model, see `miga.method.presets`.

    `paper` is what the paper describes, `released` what the official code computes, quirks included: on models that
    predict epsilon what it does on VideoCrafter2, on those that predict the flow what on Wan2.1. `adaptive` is ours:
    `paper` with searches under a `budget`. Any parameter can be set on top of each.
    """

    preset: Literal["paper", "released", "adaptive"] = "paper"
    tta: bool = Field(True, description="training-inference alignment; off: FIFO-Diffusion's diagonal queue")
    dce: bool = Field(True, description="dynamic consistency enhancement; off: neither guidance nor reflection")
    guidance: Literal["prefix_uniform", "comb", "head", "adjacent", "none"] | None = Field(
        None,
        description="which earlier frames guide a window: spread over all before it, one per level, the oldest, those "
        "right before it (ours), none",
    )
    reflection: Literal["always", "warmup", "off"] | None = Field(None, description="when new chunks are judged")
    l_zig: int | None = Field(None, ge=1, description="L_zig: frames per noise level in the zigzag queue")
    m_guid: int | None = Field(None, ge=0, description="m_guid: guidance frames of a window")
    stride: int | None = Field(None, ge=1, description="frames that a window steps")
    unified_levels: int | None = Field(
        None, ge=0, description="e: levels that the unified stage takes; 0: no such stage"
    )
    delta: float | None = Field(None, description="delta_adju: fall of the score that triggers a search")
    budget: float | None = Field(
        None,
        gt=0,
        description="extra passes that searches may take as a share of all others, instead of delta; see "
        "miga.method.triggers",
    )
    n_samp: int | None = Field(None, ge=1, description="n_samp: candidates of a search")
    judged_age: int | None = Field(None, ge=1, description="steps that a chunk has taken when it is judged")
    reference_chunks: int | None = Field(
        None, ge=1, description="chunks that it is compared with, and that candidates see"
    )
    score: Literal["frames", "pooled", "region", "scales"] | None = Field(
        None,
        description="consistency score: frame by frame, of the chunk as one, of its worst quarter (ours), all three "
        "(ours); see miga.method.reflection",
    )
    update: Literal["deferred", "in_place"] | None = Field(
        None, description="whether windows see what their sweep has stepped"
    )
    drain: bool = Field(
        False,
        description="stop admitting frames once the video has enough under way: cheaper; the last ones see less ahead, "
        "and the video is no longer the beginning of a longer one",
    )
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")
    batch: int | None = Field(None, ge=1, description="windows in one call of the denoiser; default: by latent size")

    @model_validator(mode="after")
    def consistent(self) -> Miga:
        if not self.dce and (self.guidance not in (None, "none") or self.reflection not in (None, "off")):
            raise ValueError("dce=False turns guidance and reflection off; leave both unset")
        if self.delta is not None and (self.budget is not None or self.preset == "adaptive"):
            raise ValueError(
                "delta and budget are two rules for when to search: set one (preset 'adaptive' has a budget)"
            )
        if not self.tta and self.preset == "released":
            raise ValueError("tta=False is an ablation of preset 'paper'; the released code has no such mode")
        return self


@dataclass(frozen=True)
class Settings:
    """All constants of one run. The first block is `Miga`'s, the second what only the presets choose.

    emit_level: level at which chunks leave the zigzag queue.
    near: with guidance "comb", how far before a window its nearest guide stands.
    warmup_update: `update` while the queue fills.
    warmup: "full", or "short": no more sweeps than the video has chunks.
    fill_start, fill, candidates: what new frames are made of while the queue fills, later, and in a search.
    refill_gaps: let new chunks in even where that leaves a level without frames.
    relabel: chunks take the level of the place in the queue that they move to.
    unified_level, unified_sweeps: where the unified stage starts, and its sweeps.
    renoise: run the unified stage's sweeps once more on its re-noised result.
    whole: both of that on the whole video at once.
    drop_last: latents that are generated last and never shown.
    """

    guidance: str
    reflection: str
    l_zig: int
    m_guid: int
    stride: int
    unified_levels: int
    delta: float
    budget: float | None
    n_samp: int
    judged_age: int
    reference_chunks: int
    score: str
    update: str

    emit_level: int
    near: int
    unified_level: int
    unified_sweeps: int
    warmup_update: str
    warmup: str
    fill_start: str
    fill: str
    candidates: str
    refill_gaps: bool
    relabel: bool
    renoise: bool
    whole: bool
    drop_last: int

    @classmethod
    def of(cls, config: Miga, model: BaseModel) -> Settings:
        """The preset's constants for this base model, under what the config sets; `ValueError` where they clash."""
        f0, levels, finished = model.window, model.solver.num_levels, model.solver.finished
        preset = (config.preset, model.abilities.prediction)
        chosen: dict[str, Any] = {
            name: value(f0, levels) if callable(value) else value for name, value in PRESETS[preset].items()
        }
        if not config.dce:
            chosen |= dict(guidance="none", reflection="off")
        chosen |= {name: value for name in cls.__annotations__ if (value := getattr(config, name, None)) is not None}
        if chosen["guidance"] == "none":
            chosen["m_guid"] = 0
        chosen["emit_level"] = max(chosen["unified_levels"] - 1, finished)
        chosen["unified_sweeps"] = chosen["emit_level"] - finished
        settings = cls(**chosen, **{name: value(chosen) for name, value in FOLLOWING[preset].items()})
        settings.check(model)
        return settings

    def check(self, model: BaseModel) -> None:
        """`ValueError` for constants that no window plan can serve."""
        window, levels = model.window, model.solver.num_levels
        if self.stride + self.m_guid > window:
            raise ValueError(
                f"stride={self.stride} and m_guid={self.m_guid} do not fit in the model's window: "
                f"their sum may be at most {window}"
            )
        if not 1 <= window // self.l_zig <= levels - 3 - self.emit_level:
            raise ValueError(
                f"l_zig={self.l_zig} does not work with a window of {window} frames, {levels} noise levels and "
                f"unified_levels={self.unified_levels}: it spreads the first clip over {window // self.l_zig} levels, "
                f"and there is room for 1 to {levels - 3 - self.emit_level}"
            )
        if self.guidance == "comb" and self.near > self.l_zig:
            raise ValueError(f"guidance 'comb' needs l_zig of at least {self.near} on this model, not {self.l_zig}")
