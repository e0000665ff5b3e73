"""MIGA's two-stage training-inference alignment: the zigzag queue, and the unified stage that ends all frames alike.

Zigzag: frames share a noise level in chunks, so that a window spans few levels although the queue spans nearly all.
Unified: the last levels are taken at ONE level a window, as the denoiser was trained. Both stream: chunks leave the
zigzag queue while later ones do not exist yet, and the unified stage follows as a wavefront.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context, Lane, sweep
from miga.engine.windows import Span, aligned_spans, guidance_policy, guided, plain, sliding_spans
from miga.method.reflection import Reflection

if TYPE_CHECKING:
    from miga.method import Settings


class Zigzag:
    """Stage 1: a queue of chunks, `l_zig` frames per noise level; each sweep takes all of them one level down.

    The age of a frame is the number of steps that it has taken from the noisiest level. With `wanted`, no more than
    that many frames enter.
    """

    def __init__(
        self, context: Context, settings: Settings, reflection: Reflection | None, wanted: int | None = None
    ) -> None:
        self.context, self.settings, self.reflection, self.wanted = context, settings, reflection, wanted
        self.width = context.model.window - settings.m_guid
        self.policy = guidance_policy(settings.guidance, settings.l_zig, settings.near)
        self.top = context.model.solver.num_levels - 1
        self.sweeps = 0
        self.emitting = False
        self.queue: LatentQueue | None = None

    def warm_up(self, base: Float[Tensor, "f c h w"], chunks: int | None) -> None:
        """Fill the queue: noise a clip to the chunks' levels, then append chunk after chunk, a sweep in between.

        The queue is full when its head is two levels above the first one to be emitted; released code stops after as
        many sweeps as the video has `chunks`.
        """
        settings, size = self.settings, self.settings.l_zig
        used = len(base) // size
        oldest = -(-len(base) // size) if settings.warmup == "short" else used
        full = settings.emit_level + 2
        levels = [self.top - oldest + i // size for i in range(used * size)]
        self.queue = self.context.noised("warm_start", base[: used * size], 0, levels)
        self.last = base[-1:]
        for number in range(chunks) if settings.warmup == "short" else count():
            self.append(settings.fill_start)
            if self.queue.levels[0] <= full:
                break
            spans = aligned_spans(len(self.queue), self.width, settings.stride)
            self.sweep("warmup", number, spans, settings.warmup_update)
            if self.reflection:
                self.reflection(self.queue, number, "warmup")

    def next_chunk(self) -> Float[Tensor, "l c h w"]:
        """Sweep until a chunk leaves; new chunks enter behind."""
        while True:
            spans = sliding_spans(len(self.queue), self.width, self.settings.stride, self.sweeps)
            before = self.queue.levels
            self.sweep("zigzag", self.sweeps, spans, self.settings.update)
            if self.reflection and self.settings.reflection == "always":
                self.reflection(self.queue, self.sweeps, "zigzag")
            self.sweeps += 1
            self.emitting |= bool(self.queue.levels[0] <= self.settings.emit_level)
            chunk = self.queue.pop(self.settings.l_zig) if self.emitting else None
            if chunk and self.settings.relabel:
                self.queue.levels = before[: len(self.queue)].clone()
            room = (self.queue.levels[-1:] >= self.top - 1).all()  # the noisiest level is free
            if room or self.settings.refill_gaps:
                self.append(self.settings.fill)
            if chunk:
                return chunk.latents

    def sweep(self, stage: str, number: int, spans: list[Span], update: str) -> None:
        plan = guided(spans, len(self.queue), self.width, self.settings.m_guid, self.policy)
        sweep(self.context, Lane(self.queue, plan, stage, number, purpose="zigzag"), in_place=update == "in_place")

    def append(self, kind: str) -> None:
        """A chunk at the noisiest level: pure noise, or the base clip's last frame under that level's noise."""
        if self.wanted is None or self.queue.next_id < self.wanted:
            self.queue.append(fill(self.context, kind, self.last, "push", self.settings.l_zig, self.queue.next_id))

    def state(self) -> dict:
        return dict(queue=self.queue.state(), last=self.last, sweeps=self.sweeps, emitting=self.emitting)

    def restore(self, state: dict) -> None:
        device = self.context.model.device
        self.queue, self.last = LatentQueue.restore(state["queue"], device), state["last"].to(device)
        self.sweeps, self.emitting = state["sweeps"], state["emitting"]


def fill(context: Context, kind: str, last: Tensor, purpose: str, frames: int, first_id: int) -> LatentQueue:
    """New frames at the noisiest level: "noise", or the "last_frame" of the base clip with noise added."""
    if kind == "noise":
        return context.pure_noise(purpose, frames, first_id)
    return context.noised(purpose, last.expand(frames, -1, -1, -1), first_id, context.model.solver.num_levels - 1)


class Unified:
    """Stage 2: `sweeps` sweeps from one level on, over all frames of the video in windows without guidance.

    As a stream it is a wavefront. Windows have no context on their left, so the one of sweep p at [u, u + f0) needs
    only that frames u .. u + f0 - 1 have finished exactly p sweeps. `fronts[p]` counts the frames that have finished
    sweep p; a window runs as soon as it may, and only when it belongs to the grid of the whole video however long that
    will be. So the result equals that of the whole video, and the buffer stays short.

    Parameters
    ----------
    stage: name in traces, and purpose of its noise.
    level: of all frames as they arrive.
    renoise: frames arrive clean and are noised to `level` first (released code's second pass).
    whole: keep all frames until the end and sweep them in the released order.
    """

    def __init__(
        self,
        context: Context,
        stage: str,
        level: int,
        sweeps: int,
        stride: int,
        renoise: bool = False,
        whole: bool = False,
    ) -> None:
        self.context, self.stage, self.level, self.stride = context, stage, level, stride
        self.renoise, self.whole = renoise, whole
        self.fronts = [0] * sweeps
        self.received = 0
        self.buffer: LatentQueue | None = None

    def push(self, frames: Float[Tensor, "f c h w"], last: bool = False) -> Float[Tensor, "g c h w"]:
        """Take the next frames of the video, give those that are finished; all of the rest with the `last` ones."""
        self.receive(frames)
        total = self.received if last else None
        if not self.whole:
            while plan := self.ready(total):
                self.run(plan)
        elif last:
            for number in range(len(self.fronts)):
                spans = sliding_spans(total, self.context.model.window, self.stride, number)
                self.run([(number, span) for span in spans])
        finished = self.fronts[-1] if self.fronts else self.received
        return self.buffer.pop(finished - self.first).latents

    def receive(self, frames: Float[Tensor, "f c h w"]) -> None:
        if self.renoise:
            new = self.context.noised(self.stage, frames, self.received, self.level)
        else:
            new = LatentQueue.of(self.context.model.solver, frames, self.level, self.received)
        self.received += len(frames)
        if self.buffer is None:
            self.buffer = new
        else:
            self.buffer.append(new)

    @property
    def first(self) -> int:
        """Number in the video of the oldest frame in the buffer."""
        return self.received - len(self.buffer)

    def ready(self, total: int | None) -> list[tuple[int, Span]]:
        """(sweep, span) of every sweep's next window that may run now. They do not touch each other's frames."""
        found = []
        for number, front in enumerate(self.fronts):
            above = self.fronts[number - 1] if number else self.received
            span = self.next_span(number, front, total)
            end = front + self.context.model.window
            if span and (end if total is None else min(end, total)) <= above:
                found.append((number, span))
        return found

    def next_span(self, number: int, front: int, total: int | None) -> Span | None:
        """The window of a sweep that starts where the sweep stands."""
        width = self.context.model.window
        if total is not None:
            return next((span for span in sliding_spans(total, width, self.stride, number) if span[0] == front), None)
        keep = number % self.stride if front == 0 and number % self.stride else self.stride
        return (front, keep) if front + keep + width <= self.received else None

    def run(self, spans: list[tuple[int, Span]]) -> None:
        number = spans[0][0]
        plan = plain(
            [(start - self.first, keep) for _, (start, keep) in spans], len(self.buffer), self.context.model.window
        )
        sweep(self.context, Lane(self.buffer, plan, self.stage, number))
        for number, (start, keep) in spans:
            self.fronts[number] = start + keep

    def state(self) -> dict:
        buffer = None if self.buffer is None else self.buffer.state()  # an empty one is false
        return dict(buffer=buffer, fronts=self.fronts, received=self.received)

    def restore(self, state: dict) -> None:
        self.fronts, self.received = list(state["fronts"]), state["received"]
        self.buffer = state["buffer"] and LatentQueue.restore(state["buffer"], self.context.model.device)
