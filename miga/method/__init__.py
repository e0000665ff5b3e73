"""MIGA: endless video from a pretrained model, by training-inference alignment and dynamic consistency.

`video` is the algorithm. Two enhancements over FIFO-Diffusion's diagonal queue make it: TTA (training-inference
alignment), a zigzag queue and a unified last stage, `miga.method.zigzag` and `miga.method.unified`; and DCE (dynamic
consistency enhancement), guidance by earlier frames, `miga.engine.windows.guided`, and self-reflection,
`miga.method.reflection`. The constants and where they come from are in `miga.method.presets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from jaxtyping import Float
from torch import Tensor

from miga.engine.base_model import BaseModel, Text
from miga.engine.checkpoint import Stream
from miga.engine.diagonal import Diagonal
from miga.engine.method import Card, Method
from miga.engine.noise import Noise
from miga.engine.sampling import sample_clip
from miga.engine.sweep import Context
from miga.engine.trace import Trace
from miga.engine.windows import diagonal, guidance_policy
from miga.method.config import Miga, Settings
from miga.method.reflection import REFLECTED, Reflection
from miga.method.triggers import Budget, Fall
from miga.method.unified import Unified
from miga.method.zigzag import Zigzag, fill


def video(
    context: Context,
    zigzag: Zigzag,
    stages: Sequence[Unified],
    reflect: Reflection,
    chunks: int | None,
    num_latents: int | None,
) -> Iterator[Float[Tensor, "f c h w"]]:
    """MIGA: finished latents in the order of the video, `chunks` chunks of the queue or without end.

    `stages` is the unified stage and, in the released code, the same once more on its re-noised result.
    """
    if zigzag.queue is None:
        base = sample_clip(context.model, context.text, context.noise, guidance_scale=context.guidance_scale)
        for number in zigzag.warm_up(base, chunks):
            reflect(zigzag.queue, number, "warmup", zigzag.horizon)
    while zigzag.emitted != chunks:
        number = zigzag.sweep(chunks)  # stage 1: every frame one level down, guided by earlier frames
        # a young chunk is judged, and the tail redrawn where it drifts
        reflect(zigzag.queue, number, "zigzag", zigzag.horizon)
        chunk = zigzag.pop()  # the oldest chunk has reached the last levels
        zigzag.refill()  # noise enters behind
        if chunk is None:
            continue
        for stage in stages:  # stage 2: all frames of a window at one level, down to the end
            chunk = stage.push(chunk, last=zigzag.emitted == chunks)
        reflect.look_back(chunk)
        if num_latents is not None:
            chunk = chunk[: max(num_latents - (stages[-1].finished - len(chunk)), 0)]
        if len(chunk):
            yield chunk


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int | None, config: Miga, noise: Noise, trace: Trace
) -> Stream:
    """Latents of an endless video, as they are finished."""
    settings = Settings.of(config, model)
    trace.add("settings", **asdict(settings))
    context = Context(model, texts[0], noise, trace, config.batch, config.guidance_scale)
    if not config.tta:
        return without_alignment(context, settings, num_latents)
    chunks = wanted = None
    if num_latents is not None:
        chunks = -(-max(num_latents + settings.drop_last, model.window) // settings.l_zig)
        if config.drain:  # a whole window is left for the last chunk
            wanted = (chunks - 1) * settings.l_zig + model.window
    zigzag = Zigzag(context, settings, wanted)
    stages = unified_stages(context, settings)
    reflect = reflection_of(context, settings, settings.l_zig, settings.candidates, lambda: zigzag.last, num_latents)
    parts = {stage.stage: stage for stage in stages}
    return Stream(
        video(context, zigzag, stages, reflect, chunks, num_latents),
        zigzag=zigzag,
        reflection=reflect,
        trigger=reflect.trigger,
        **parts,
    )


def unified_stages(context: Context, settings: Settings) -> list[Unified]:
    """The unified stage; in released code a second one, on the re-noised result of the first."""
    common = dict(stride=settings.stride, whole=settings.whole)
    stages = [Unified(context, "unified", settings.unified_level, settings.unified_sweeps, **common)]
    if settings.renoise:
        sweeps, finished = settings.unified_levels, context.model.solver.finished
        stages.append(Unified(context, "redenoise", finished + sweeps, sweeps, renoise=True, **common))
    return stages


def reflection_of(
    context: Context,
    settings: Settings,
    chunk: int,
    kind: str,
    last: Callable[[], Tensor | None],
    shown: int | None,
) -> Reflection:
    """Self-reflection on chunks of so many frames, whose candidates start as `kind`; `last()` is the base clip's.

    Frames of the queue from the number `shown` on are not part of the video.
    """
    trigger = Fall(settings.delta) if settings.budget is None else Budget(settings.budget, context.model)
    return Reflection(
        context,
        stages=REFLECTED[settings.reflection],
        chunk=chunk,
        reference=settings.reference_chunks * settings.l_zig,
        judged_age=settings.judged_age,
        trigger=trigger,
        candidates=settings.n_samp,
        score=settings.score,
        stride=settings.stride,
        fill=lambda purpose, frames, first: fill(context, kind, last(), purpose, frames, first),
        shown=shown,
    )


def without_alignment(context: Context, settings: Settings, num_latents: int | None) -> Stream:
    """The ablation without TTA: FIFO-Diffusion's queue, with guidance and reflection where they are on."""
    levels, window = context.model.solver.num_levels, context.model.window
    policy = guidance_policy(settings.guidance, settings.l_zig, settings.near)
    drop = max(levels - window, 0)  # remakes of the first frame
    last = None if num_latents is None else drop + num_latents
    queue = Diagonal(context, True, last, diagonal(levels, window, True, settings.m_guid, policy))
    reflect = reflection_of(context, settings, 1, "noise", lambda: None, last)

    def latents() -> Iterator[Float[Tensor, "1 c h w"]]:
        for latent in queue.emissions(reflect):
            reflect.look_back(latent)
            if queue.iteration > drop:
                yield latent

    return Stream(latents(), queue=queue, reflection=reflect, trigger=reflect.trigger)


METHOD = Method(
    name="miga",
    card=Card(
        label="MIGA",
        summary="A zigzag queue and a unified last stage keep windows as in training; guidance frames and "
        "self-reflection keep the video consistent.",
        cost="Constant memory, the queue and a short buffer; a fixed number of calls for each further latent frame, "
        "more where a search redraws the tail.",
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
