"""MIGA: endless video from a pretrained model, by training-inference alignment and dynamic consistency.

Two enhancements over FIFO-Diffusion's diagonal queue. TTA (training-inference alignment): a zigzag queue and a unified
last stage, `miga.method.alignment`. DCE (dynamic consistency enhancement): guidance by earlier frames,
`miga.engine.windows.guided`, and self-reflection, `miga.method.reflection`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from miga.engine.base_model import BaseModel
from miga.engine.checkpoint import Stream
from miga.engine.diagonal import Diagonal
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.sampling import sample_clip
from miga.engine.sweep import Context
from miga.engine.windows import diagonal, guidance_policy
from miga.method.alignment import Unified, Zigzag, fill
from miga.method.reflection import Reflection


class Miga(MethodConfig):
    """Parameters of MIGA. What is None follows from the preset and the base model, see `Settings.of`.

    `paper` is what the paper describes, `released` what the official code computes on VideoCrafter2 (with UNet-like
    models) and Wan2.1 (with flow-matching ones), quirks included. Any parameter can be set on top of either.
    """

    preset: Literal["paper", "released"] = "paper"
    tta: bool = Field(True, description="training-inference alignment; off: FIFO-Diffusion's diagonal queue")
    dce: bool = Field(True, description="dynamic consistency enhancement; off: neither guidance nor reflection")
    guidance: Literal["prefix_uniform", "comb", "head", "none"] | None = Field(
        None,
        description="which earlier frames guide a window: spread over all before it, one per level, the oldest, none",
    )
    reflection: Literal["always", "warmup", "off"] | None = Field(None, description="when new chunks are judged")
    l_zig: int | None = Field(None, ge=1, description="L_zig: frames per noise level in the zigzag queue")
    m_guid: int | None = Field(None, ge=0, description="m_guid: guidance frames of a window")
    stride: int | None = Field(None, ge=1, description="frames that a window steps")
    unified_levels: int | None = Field(
        None, ge=0, description="e: levels that the unified stage takes; 0: no such stage"
    )
    delta: float | None = Field(None, description="delta_adju: fall of the score that triggers a search")
    n_samp: int | None = Field(None, ge=1, description="n_samp: candidates of a search")
    judged_age: int | None = Field(None, ge=1, description="steps that a chunk has taken when it is judged")
    reference_chunks: int | None = Field(
        None, ge=1, description="chunks that it is compared with, and that candidates see"
    )
    score: Literal["frames", "pooled"] | None = Field(None, description="consistency score, see miga.method.reflection")
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
        if not self.tta and self.preset == "released":
            raise ValueError("tta=False is an ablation of preset 'paper'; the released code has no such mode")
        return self


@dataclass(frozen=True)
class Settings:
    """All constants of one run. The first block is `Miga`'s, the second what only the presets choose.

    Attributes
    ----------
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
    n_samp: int
    judged_age: int
    reference_chunks: int
    score: str
    update: str

    emit_level: int
    near: int
    unified_level: int
    unified_sweeps: int
    warmup_update: str = "deferred"
    warmup: str = "full"
    fill_start: str = "last_frame"
    fill: str = "noise"
    candidates: str = "last_frame"
    refill_gaps: bool = False
    relabel: bool = False
    renoise: bool = False
    whole: bool = False
    drop_last: int = 0

    @classmethod
    def of(cls, config: Miga, model: BaseModel) -> Settings:
        """The preset's constants for this base model, under what the config sets.

        They scale with the window f0 and the number of levels T such that VideoCrafter2 (16, 64) and Wan2.1 (21, 54)
        get the published values.
        """
        window, levels = model.window, model.solver.num_levels
        flow, released = model.abilities.prediction == "flow", config.preset == "released"
        chosen: dict[str, Any] = dict(
            guidance="comb" if released else "prefix_uniform",
            reflection="warmup" if released else "always",
            l_zig=(chunk := max(window // (3 if flow else 4), 1)),
            m_guid=min(window // 4, 4),
            stride=max(window // 2, 1),
            unified_levels=max(min(levels // 5, 10), 1),
            delta=0.01 if flow or not released else 0.001,
            n_samp=3 if flow else 5,
            judged_age=max(levels * 13 // 64, 1),
            reference_chunks=max(window // chunk - 1, 1),
            score="pooled" if released and not flow else "frames",
            update="in_place" if released and not flow else "deferred",
        )
        if not config.dce:
            chosen |= dict(guidance="none", reflection="off")
        chosen |= {name: value for name in cls.__annotations__ if (value := getattr(config, name, None)) is not None}
        if chosen["guidance"] == "none":
            chosen["m_guid"] = 0
        finished, chunk = model.solver.finished, chosen["l_zig"]
        emit = max(chosen["unified_levels"] - 1, finished)
        derived = dict(emit_level=emit, near=max(chunk // 2, 1), unified_level=emit, unified_sweeps=emit - finished)
        derived |= dict(warmup_update=chosen["update"])
        if released:
            derived |= dict(warmup="short", warmup_update="in_place", renoise=True, whole=True)
            if flow:
                derived |= dict(near=3, fill="last_frame", relabel=True, drop_last=window, unified_level=emit + 1)
            else:
                derived |= dict(near=chunk // 2, refill_gaps=True)
        settings = cls(**chosen, **derived)
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


def generate(model, texts, num_latents, config, noise, trace):
    """Latents of an endless video, as they are finished."""
    settings = Settings.of(config, model)
    trace.add("settings", **asdict(settings))
    context = Context(model, texts[0], noise, trace, config.batch, config.guidance_scale)
    if not config.tta:
        return DiagonalMiga(context, settings, num_latents)
    return MigaStream(context, settings, num_latents, config.drain)


def reflection_of(context: Context, settings: Settings, chunk: int, last: Any) -> Reflection | None:
    """Self-reflection for chunks of so many frames; `last()` is the base clip's last frame."""
    if settings.reflection == "off":
        return None
    return Reflection(
        context,
        chunk=chunk,
        reference=settings.reference_chunks * settings.l_zig,
        judged_age=settings.judged_age,
        delta=settings.delta,
        candidates=settings.n_samp,
        score=settings.score,
        stride=settings.stride,
        fill=lambda purpose, frames, first: fill(context, settings.candidates, last(), purpose, frames, first),
    )


class MigaStream(Stream):
    """Zigzag stage, then unified stage (then, in released code, the latter once more on its re-noised result)."""

    def __init__(self, context: Context, settings: Settings, num_latents: int | None, drain: bool) -> None:
        self.context, self.limit, self.chunks, wanted = context, num_latents, None, None
        if num_latents is not None:
            self.chunks = -(-max(num_latents + settings.drop_last, context.model.window) // settings.l_zig)
            if drain:  # a whole window is left for the last chunk
                wanted = (self.chunks - 1) * settings.l_zig + context.model.window
        self.reflection = reflection_of(context, settings, settings.l_zig, lambda: self.zigzag.last)
        self.zigzag = Zigzag(context, settings, self.reflection, wanted)
        common = dict(stride=settings.stride, whole=settings.whole)
        self.stages = [Unified(context, "unified", settings.unified_level, settings.unified_sweeps, **common)]
        if settings.renoise:
            sweeps, finished = settings.unified_levels, context.model.solver.finished
            self.stages.append(Unified(context, "redenoise", finished + sweeps, sweeps, renoise=True, **common))
        self.emitted = self.shown = 0

    def __next__(self):
        if self.zigzag.queue is None:
            context = self.context
            base = sample_clip(context.model, context.text, context.noise, guidance_scale=context.guidance_scale)
            self.zigzag.warm_up(base, self.chunks)
        while self.emitted != self.chunks:
            frames = self.finish(self.zigzag.next_chunk())
            if len(frames):
                return frames
        raise StopIteration

    def finish(self, frames: torch.Tensor) -> torch.Tensor:
        """Push a chunk through the later stages; what comes out is finished."""
        self.emitted += 1
        for stage in self.stages:
            frames = stage.push(frames, last=self.emitted == self.chunks)
        if self.reflection:
            self.reflection.look_back(frames)
        if self.limit is not None:
            frames = frames[: self.limit - self.shown]
        self.shown += len(frames)
        return frames

    def state(self):
        return dict(
            zigzag=self.zigzag.state(),
            stages=[stage.state() for stage in self.stages],
            reflection=self.reflection and self.reflection.state(),
            emitted=self.emitted,
            shown=self.shown,
        )

    def restore(self, state):
        self.zigzag.restore(state["zigzag"])
        for stage, saved in zip(self.stages, state["stages"], strict=True):
            stage.restore(saved)
        if self.reflection:
            self.reflection.restore(state["reflection"])
        self.emitted, self.shown = state["emitted"], state["shown"]


class DiagonalMiga(Diagonal):
    """The ablation without TTA: FIFO-Diffusion's queue, with guidance and reflection where they are on."""

    def __init__(self, context: Context, settings: Settings, num_latents: int | None) -> None:
        model = context.model
        policy = guidance_policy(settings.guidance, settings.l_zig, settings.near)
        plan = diagonal(model.solver.num_levels, model.window, True, settings.m_guid, policy)
        super().__init__(context, True, num_latents, max(model.solver.num_levels - model.window, 0), plan)
        settings = replace(settings, candidates="noise")  # what enters a diagonal queue
        self.reflection = reflection_of(context, settings, 1, lambda: None)

    def iterate(self):
        emitted = super().iterate()
        if self.reflection:
            self.reflection.look_back(emitted)
        return emitted

    def reflect(self):
        if self.reflection:
            self.reflection(self.queue, self.iteration, "diagonal")

    def state(self):
        return super().state() | dict(reflection=self.reflection and self.reflection.state())

    def restore(self, state):
        super().restore(state)
        if self.reflection:
            self.reflection.restore(state["reflection"])


METHOD = Method(
    name="miga",
    card=Card(
        label="MIGA",
        summary="A zigzag queue and a unified last stage keep windows as in training; guidance frames and "
        "self-reflection keep the video consistent.",
        version="1",
        length="infinite",
        paper="Enhancing Train-Free Infinite-Frame Generation for Consistent Long Videos (ICML 2026, arXiv 2605.18233)",
        year=2026,
        url="https://arxiv.org/abs/2605.18233",
        licence="none given (all rights reserved)",
        needs=dict(levels=("frame",)),
        published=("videocrafter2", "wan2.1-1.3b"),
    ),
    config=Miga,
    generate=generate,
)
