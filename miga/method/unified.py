"""MIGA's unified stage: the last levels are taken at ONE level per window, as the denoiser was trained.

It streams: chunks arrive while later ones do not exist yet, and the sweeps follow each other as a wavefront.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from miga.engine.checkpoint import Part
from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context, Lane, sweep
from miga.engine.windows import Span, plain, sliding_spans


class Unified(Part):
    """Stage 2: `sweeps` sweeps from one level on, over all frames of the video in windows without guidance.

    As a stream it is a wavefront. Windows have no context on their left, so the one of sweep p at [u, u + f0) needs
    only that frames u .. u + f0 - 1 have finished exactly p sweeps. `fronts[p]` counts the frames that have finished
    sweep p; a window runs as soon as it may, and only when it belongs to the grid of the whole video however long that
    will be. So the result equals that of the whole video, and the buffer stays short.

    Source: stage 2 of Figure 1b. The grid is that of funcs.py:764-794 and text2video.py:1040-1069 of the release, which
    sweeps over the whole video; that it may run as a wavefront is ours.

    stage: name in traces, and purpose of its noise.
    level: of all frames as they arrive.
    renoise: frames arrive clean and are noised to `level` first (released code's second pass).
    whole: keep all frames until the end and sweep them in the released order.
    """

    saved = ("buffer", "fronts", "received")

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
        return self.buffer.pop(self.finished - self.first).latents

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
    def finished(self) -> int:
        """How many frames of the video have made all sweeps."""
        return self.fronts[-1] if self.fronts else self.received

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
        sweep(self.context, Lane(self.buffer, plan, self.stage, number, hold=True))
        for number, (start, keep) in spans:
            self.fronts[number] = start + keep
