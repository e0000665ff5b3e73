"""MIGA's zigzag queue: frames share a noise level in chunks, so that a window spans few levels.

Source: stage 1 of Figure 1b; schedules and quirks of the release (commit b5a98a4) in funcs.py:228-296 and :603-745 for
VideoCrafter2, text2video.py:524-593 and :847-1017 for Wan2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from jaxtyping import Float
from torch import Tensor

from miga.engine.checkpoint import Part
from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context, Lane, sweep
from miga.engine.windows import Span, aligned_spans, guidance_policy, guided, sliding_spans
from miga.method.config import Settings


class Zigzag(Part):
    """Stage 1: a queue of chunks, `l_zig` frames per noise level; each sweep takes all of them one level down.

    The age of a frame is the number of steps that it has taken from the noisiest level. With `wanted`, no more than
    that many frames enter.
    """

    saved = ("queue", "last", "sweeps", "emitted", "emitting")

    def __init__(self, context: Context, settings: Settings, wanted: int | None = None) -> None:
        self.context, self.settings, self.wanted = context, settings, wanted
        self.width = context.model.window - settings.m_guid
        self.policy = guidance_policy(settings.guidance, settings.l_zig, settings.near)
        self.top = context.model.solver.num_levels - 1
        self.sweeps = self.emitted = 0
        self.emitting = False
        self.queue: LatentQueue | None = None
        self.last: Float[Tensor, "1 c h w"] | None = None  # the base clip's last frame

    def warm_up(self, base: Float[Tensor, "f c h w"], chunks: int | None) -> Iterator[int]:
        """Fill the queue: noise a clip to the chunks' levels, then append chunk after chunk, a sweep in between.

        Yields the number of each sweep after it. The queue is full when its head is two levels above the first one to
        be emitted; released code stops after as many sweeps as the video has `chunks`.
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
            self.run("warmup", number, spans, settings.warmup_update)
            yield number

    def sweep(self) -> int:
        """Every frame one level down; the number of the sweep."""
        spans = sliding_spans(len(self.queue), self.width, self.settings.stride, self.sweeps)
        self.run("zigzag", self.sweeps, spans, self.settings.update)
        self.sweeps += 1
        return self.sweeps - 1

    def pop(self) -> Float[Tensor, "l c h w"] | None:
        """The oldest chunk leaves after a sweep; None until the first one has come down to the level for that."""
        self.emitting |= bool(self.queue.levels[0] <= self.settings.emit_level)
        if not self.emitting:
            return None
        before = self.queue.levels + 1  # the sweep
        chunk = self.queue.pop(self.settings.l_zig)
        if self.settings.relabel:
            self.queue.levels = before[: len(self.queue)]
        self.emitted += 1
        return chunk.latents

    def refill(self) -> None:
        """A new chunk enters where the noisiest level is free."""
        free = (self.queue.levels[-1:] >= self.top - 1).all()
        if free or self.settings.refill_gaps:
            self.append(self.settings.fill)

    def run(self, stage: str, number: int, spans: list[Span], update: str) -> None:
        plan = guided(spans, len(self.queue), self.width, self.settings.m_guid, self.policy)
        sweep(
            self.context,
            Lane(self.queue, plan, stage, number, purpose="zigzag", hold=True),
            in_place=update == "in_place",
        )

    def append(self, kind: str) -> None:
        """A chunk at the noisiest level: pure noise, or the base clip's last frame under that level's noise."""
        entered = self.emitted * self.settings.l_zig + len(self.queue)
        if self.wanted is None or entered < self.wanted:
            self.queue.append(fill(self.context, kind, self.last, "push", self.settings.l_zig, entered))


def fill(context: Context, kind: str, last: Tensor | None, purpose: str, frames: int, first_id: int) -> LatentQueue:
    """New frames at the noisiest level: "noise", or the "last_frame" of the base clip with noise added."""
    if kind == "noise":
        return context.pure_noise(purpose, frames, first_id)
    return context.noised(purpose, last.expand(frames, -1, -1, -1), first_id, context.model.solver.num_levels - 1)
