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
from miga.engine.windows import Window, aligned_spans, guidance_policy, guided, sliding_spans
from miga.method.config import Settings


class Zigzag(Part):
    """Stage 1: a queue of chunks, `l_zig` frames per noise level; each sweep takes all of them one level down.

    The age of a frame is the number of steps that it has taken from the noisiest level. With `wanted`, no more than
    that many frames enter. Of a video of known length the last sweeps leave out what it cannot feel any more, see
    `horizons`.
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
        # after a sweep: the first frame that the video does not feel; None: it feels all
        self.horizon: int | None = None
        self.coming: list[int] | None = None  # the horizons of the sweeps to come

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
            self.run("warmup", number, chunks)
            yield number

    def sweep(self, chunks: int | None = None) -> int:
        """Every frame that a video of so many chunks feels one level down; the number of the sweep."""
        self.run("zigzag", self.sweeps, chunks)
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

    def run(self, stage: str, number: int, chunks: int | None) -> None:
        settings, queue = self.settings, self.queue
        plan = self.plan(stage, number, len(queue))
        if self.coming is None:
            self.coming = [] if chunks is None else self.horizons(stage, number, chunks)
        self.horizon = self.coming.pop(0) if self.coming else None
        felt = [window for window in plan if self.horizon is None or int(queue.ids[window.steps[0]]) < self.horizon]
        update = settings.warmup_update if stage == "warmup" else settings.update
        sweep(
            self.context,
            Lane(queue, felt, stage, number, purpose="zigzag", hold=True),
            in_place=update == "in_place",
        )
        queue.levels[sum(window.keep for window in felt) :] -= 1  # the others keep their place on the ladder

    def plan(self, stage: str, number: int, n: int) -> list[Window]:
        """The windows of a sweep over a queue of so many frames."""
        width, stride = self.width, self.settings.stride
        spans = aligned_spans(n, width, stride) if stage == "warmup" else sliding_spans(n, width, stride, number)
        return guided(spans, n, width, self.settings.m_guid, self.policy)

    def horizons(self, stage: str, number: int, chunks: int) -> list[int]:
        """After each sweep from this one to the last: the first frame that the video does not feel, whatever it is.

        The sweeps are rehearsed on numbers alone, then followed backwards: a window matters when a frame that it steps
        leaves with a chunk of the video, or is read by a window that matters in the next sweep. So the video is that of
        all windows, and only what it does not feel is not computed. The released code computes it all, and so do we
        where windows follow its order.
        """
        settings, size = self.settings, self.settings.l_zig
        if settings.refill_gaps or settings.relabel or "in_place" in (settings.update, settings.warmup_update):
            return []
        first, n, level = int(self.queue.ids[0]), len(self.queue), int(self.queue.levels[0])
        emitted, plans = self.emitted, []
        while emitted < chunks:
            plans.append((first, self.plan(stage, number, n)))
            number, level = number + 1, level - 1
            if stage == "zigzag" and level <= settings.emit_level:
                first, n, level, emitted = first + size, n - size, level + 1, emitted + 1
            if self.wanted is None or first + n < self.wanted:
                n += size
            if stage == "warmup" and level <= settings.emit_level + 2:
                stage, number = "zigzag", 0
        found = [chunks * size]
        for first, plan in reversed(plans[1:]):
            read = [frame for window in plan if first + window.steps[0] < found[-1] for frame in window.frames]
            found.append(first + 1 + max(read))
        return found[::-1]

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
