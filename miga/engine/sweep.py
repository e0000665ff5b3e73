"""Denoise the frames of queues by one level under window plans, batching windows that do not depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from miga.engine.base_model import BaseModel, Text
from miga.engine.noise import Noise
from miga.engine.queue import LatentQueue
from miga.engine.sampling import broken_frame
from miga.engine.solvers import Stepped
from miga.engine.trace import Trace
from miga.engine.windows import Window

TOKENS = 2**13  # latent positions in one call by default: a real model's window is larger than that and goes alone
MOST = 8  # windows in one call by default: with more, small ones leave the cache


@dataclass(frozen=True)
class Context:
    """What all sweeps of one video share.

    text: the prompt of every window that is not given its own.
    batch: windows in one call of the denoiser; default: as many small ones as make a call worthwhile, at most 8.
    guidance_scale: classifier-free guidance; default: the model's.
    rescale: apply the model's dynamic rescale in queue steps too (the originals do so in base sampling only).
    """

    model: BaseModel
    text: Text
    noise: Noise
    trace: Trace
    batch: int | None = None
    guidance_scale: float | None = None
    rescale: bool = False

    @property
    def windows_per_call(self) -> int:
        _, height, width = self.model.latent_shape
        return self.batch or min(max(TOKENS // (self.model.window * height * width), 1), MOST)

    @property
    def passes_per_window(self) -> int:
        """Passes of the denoiser over a window: with guidance it takes two."""
        scale = self.model.guidance_scale if self.guidance_scale is None else self.guidance_scale
        return 1 if scale == 1 else 2

    def draw(self, purpose: str, ids: Sequence[int], level: int) -> Float[Tensor, "f c h w"]:
        """Noise of some frames at one level, where the model's latents live."""
        model = self.model
        return self.noise.frames(purpose, ids, level, model.latent_shape).to(model.device, model.dtype)

    def noised(self, purpose: str, clean: Float[Tensor, "f c h w"], first_id: int, level: int) -> LatentQueue:
        """New frames for a queue: clean latents noised to a level."""
        noise = self.draw(purpose, range(first_id, first_id + len(clean)), level)
        return LatentQueue.of(self.model.solver, self.model.solver.add_noise(clean, level, noise), level, first_id)

    def held(self, lane: Lane) -> Bool[Tensor, " n"]:
        """Which frames of a lane's queue were given."""
        given = 0 if self.model.given is None or not lane.hold else len(self.model.given)
        return (lane.queue.ids >= 0) & (lane.queue.ids < given)

    def put_back(self, lane: Lane) -> None:
        """Make the held frames of a lane what was given."""
        queue, where = lane.queue, self.held(lane).nonzero().flatten()
        if len(where):
            clean = self.model.given[queue.ids[where].to(self.model.device)]
            queue.latents = queue.latents.index_copy(0, where.to(queue.latents.device), clean)

    def pure_noise(self, purpose: str, count: int, first_id: int) -> LatentQueue:
        """New frames for a queue: noise at the noisiest level."""
        level = self.model.solver.num_levels - 1
        noise = self.draw(purpose, range(first_id, first_id + count), level)
        return LatentQueue.of(self.model.solver, noise, level, first_id)


@dataclass(frozen=True)
class Lane:
    """A queue with its plan for one sweep.

    stage, number: what the sweep is part of and which one it is, for traces and errors.
    purpose: tells apart the noise of sweeps that step one frame at one level more than once; default: the stage.
    texts: a prompt per window, where they differ.
    hold: the frames that were given (`BaseModel.with_start`) are the queue's frames 0, 1, ..: windows see them clean
        at whatever level they stand, and find them so again after the sweep.
    """

    queue: LatentQueue
    plan: Sequence[Window]
    stage: str
    number: int = 0
    purpose: str | None = None
    texts: Sequence[Text] | None = None
    hold: bool = False


def sweep(context: Context, *lanes: Lane, in_place: bool = False) -> None:
    """Take the frames that each plan keeps one level down.

    Deferred, all windows read their queue as it was before the sweep; lanes and windows do not depend on each other and
    share calls of the denoiser. In place, windows run one by one and see what earlier ones have stepped.
    """
    for lane in lanes:
        context.trace.sweep(lane.stage, lane.queue, lane.plan)
        context.put_back(lane)
    if in_place:
        for lane in lanes:
            for window in lane.plan:
                advance(context, [replace(lane, plan=[window])])
    else:
        advance(context, lanes)


def advance(context: Context, lanes: Sequence[Lane]) -> list[Stepped]:
    """Run independent windows and write back the frames that they keep; returns their steps, by lane, in plan order."""
    outputs, steps = iter(predict(context, lanes)), []
    for lane in lanes:
        output = torch.cat([next(outputs)[window.kept] for window in lane.plan])
        positions, stepped = step(context, lane, output)
        lane.queue.update(positions, stepped)
        context.put_back(lane)
        check_finite(lane)
        steps.append(stepped)
    return steps


def predict(context: Context, lanes: Sequence[Lane]) -> list[Float[Tensor, "f c h w"]]:
    """The denoiser's output for all frames that each window reads, in order."""
    jobs = [
        (lane.queue, window.frames, text, context.held(lane))
        for lane in lanes
        for window, text in zip(lane.plan, lane.texts or [context.text] * len(lane.plan), strict=True)
    ]
    outputs = []
    for _, group in groupby(jobs, key=lambda job: len(job[1])):
        group = list(group)
        for i in range(0, len(group), context.windows_per_call):
            outputs += call(context, group[i : i + context.windows_per_call])
    return outputs


def call(context: Context, jobs: list[tuple[LatentQueue, tuple[int, ...], Text, Tensor]]) -> list[Tensor]:
    """One call of the denoiser for windows of equal length.

    Finished and held frames are shown at the cleanest level, and as clean where the network has learned that of any
    frame.
    """
    model = context.model
    latents = torch.stack([queue.latents[list(frames)] for queue, frames, *_ in jobs])
    levels = torch.stack([queue.levels.where(~held, -1)[list(frames)] for queue, frames, _, held in jobs])
    if model.abilities.trained != "each":
        levels = levels.clamp(min=0)
    texts = [text for _, _, text, _ in jobs]
    text = texts[0] if all(other is texts[0] for other in texts) else texts
    return list(model.denoise(latents, levels.to(model.device), text, context.guidance_scale))


def step(context: Context, lane: Lane, output: Float[Tensor, "k c h w"]) -> tuple[Int[Tensor, " k"], Stepped]:
    """The solver's step of the frames that the windows keep, each from its own level; with their queue positions."""
    queue, solver, noise = lane.queue, context.model.solver, None
    if solver.stochastic:
        noise = torch.cat([draw(context, lane, window) for window in lane.plan])
    positions = torch.tensor([position for window in lane.plan for position in window.steps], dtype=torch.long)
    where = positions.to(queue.latents.device)
    history = {name: part[where] for name, part in queue.history.items()}
    levels = queue.levels[positions].to(where.device)
    return positions, solver.step(output, queue.latents[where], levels, history, noise, rescale=context.rescale)


def draw(context: Context, lane: Lane, window: Window) -> Float[Tensor, "k c h w"]:
    """Step noise of the frames that a window keeps."""
    frames = list(window.frames)
    ids, levels = lane.queue.ids[frames].tolist(), lane.queue.levels[frames].tolist()
    return context.noise.window(lane.purpose or lane.stage, ids, levels, window.kept, context.model.latent_shape)


def check_finite(lane: Lane) -> None:
    """Stop at once where a latent is not a number any more."""
    queue, frame = lane.queue, broken_frame(lane.queue.latents)
    if frame is not None:
        raise FloatingPointError(
            f"non-finite latents after sweep {lane.number} of the {lane.stage} stage: "
            f"frame {int(queue.ids[frame])}, now at level {int(queue.levels[frame])}"
        )
