"""Self-reflection: judge each new chunk once while it is still noisy, and redraw the tail when it drifts.

Half of MIGA's dynamic consistency enhancement. A chunk is judged at an age of `judged_age` steps against the frames
before it, because by then its consistency already tells that of the clean frames. Where the score falls far enough
(`miga.method.triggers`), `candidates` other tails are denoised from noise and the most consistent one takes the place
of the tail.

Source: funcs.py:363-476 and text2video.py:670-814 of the release (commit b5a98a4), where it runs only while the queue
fills; the paper's runs at the tail of the queue all along.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from miga.engine.checkpoint import Part
from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context, Lane, sweep
from miga.engine.windows import Window, aligned_spans, freeze, plain
from miga.method.triggers import Budget, Fall

Fill = Callable[[str, int, int], LatentQueue]  # (purpose, how many, first id) -> new frames at the noisiest level


def frame_score(judged: Float[Tensor, "a c h w"], reference: Float[Tensor, "b c h w"]) -> float:
    """Mean cosine between the judged and the reference frames, each averaged over channels."""
    a, b = (F.normalize(frames.mean(1).flatten(1), dim=1) for frames in (judged, reference))
    return float((a @ b.T).mean())


def pooled_score(judged: Float[Tensor, "a c h w"], reference: Float[Tensor, "b c h w"]) -> float:
    """Cosine between the two sets, each averaged over frames and channels (released code on VideoCrafter2)."""
    a, b = (F.normalize(frames.mean((0, 1)).flatten(), dim=0) for frames in (judged, reference))
    return float(a @ b)


def region_score(judged: Float[Tensor, "a c h w"], reference: Float[Tensor, "b c h w"]) -> float:
    """The lowest frame score of the four quarters of a frame: a fault in one of them is not averaged away (ours)."""
    quarters = ([part for half in x.chunk(2, -1) for part in half.chunk(2, -2)] for x in (judged, reference))
    return min(frame_score(a, b) for a, b in zip(*quarters, strict=True))


def scales_score(judged: Float[Tensor, "a c h w"], reference: Float[Tensor, "b c h w"]) -> float:
    """The mean of three scales: frame by frame, the chunk as one, and its worst region (the paper's future work)."""
    return sum(score(judged, reference) for score in (frame_score, pooled_score, region_score)) / 3


SCORES = {"frames": frame_score, "pooled": pooled_score, "region": region_score, "scales": scales_score}
REFLECTED = {  # parameter `reflection` -> the stages whose sweeps are followed by a judgement
    "always": ("warmup", "zigzag", "diagonal"),
    "warmup": ("warmup", "diagonal"),
    "off": (),
}


@dataclass
class Reflection(Part):
    """Judges a queue after each of its sweeps; remembers the last score.

    stages: those in which chunks are judged; where there are none, nothing is.
    chunk: frames that are judged together (frames per noise level).
    reference: frames before them that they are compared with.
    judged_age: steps that a frame has taken when it is judged, and that candidates are denoised for.
    trigger: when a search is made, and how its candidates are thinned out.
    candidates: tails that a search draws.
    score: name in `SCORES`.
    stride: of the windows of the search.
    fill: makes frames at the noisiest level.
    shown: frames of the queue from this id on are never seen; None: all are.
    """

    saved: ClassVar = ("finished", "first")

    context: Context
    stages: tuple[str, ...]
    chunk: int
    reference: int
    judged_age: int
    trigger: Fall | Budget
    candidates: int
    score: str
    stride: int
    fill: Fill
    shown: int | None = None
    finished: Tensor | None = field(default=None, init=False)  # the last clean frames
    first: int = field(default=0, init=False)  # number of the oldest of them

    def __call__(self, queue: LatentQueue, number: int, stage: str, horizon: int | None = None) -> None:
        """Judge the chunk that has just reached the age, if one has and the queue is long enough before it.

        Frames from the number `horizon` on change nothing that is seen: they are not judged.
        """
        if stage not in self.stages:
            return
        level = self.context.model.solver.num_levels - 1 - self.judged_age
        at_age = (queue.levels == level).nonzero().flatten()
        if not len(at_age) or level - int(queue.levels[0]) <= self.reference // self.chunk:
            return
        start = int(at_age[0])
        frame = int(queue.ids[start])
        if horizon is not None and frame >= horizon:
            return
        measure = SCORES[self.score]
        reference = queue[start - self.reference : start]
        score = measure(queue.latents[start : start + self.chunk], reference.latents)
        left = None if self.shown is None else -(-(self.shown - frame) // self.chunk)
        verdict = self.trigger.ask(score, self.price(), left)
        if verdict is None:
            return
        scores, adopted = [], None
        if verdict.search:
            tails = self.search(reference, number)
            scores = [measure(tail.latents[: self.chunk], reference.latents) for tail in tails]
            best = max(range(len(scores)), key=scores.__getitem__)
            if scores[best] > score:
                adopted = best
                self.trigger.adopted(scores[best])
                queue.replace_tail(start, tails[best][: len(queue) - start])
        event = dict(stage=stage, sweep=number, frame=frame, previous=verdict.expected, score=score, **verdict.facts)
        self.context.trace.add("reflection", **event, triggered=verdict.search, candidates=scores, adopted=adopted)

    def look_back(self, frames: Float[Tensor, "f c h w"]) -> None:
        """The same score of the clean frames, as they are finished: what the early one was meant to foretell."""
        if not self.stages:
            return
        self.finished = frames if self.finished is None else torch.cat([self.finished, frames])
        while len(self.finished) >= self.reference + self.chunk:
            reference, chunk = self.finished[: self.reference + self.chunk].split([self.reference, self.chunk])
            score = SCORES[self.score](chunk, reference)
            self.context.trace.add("consistency", frame=self.first + self.reference, score=score)
            self.finished, self.first = self.finished[self.chunk :].clone(), self.first + self.chunk

    def search(self, reference: LatentQueue, number: int) -> list[LatentQueue]:
        """Candidate tails behind the reference frames: `judged_age` chunks each, grown and denoised as in the queue."""
        names = [f"reflect {reference.next_id} {c}" for c in range(self.candidates)]
        return self.grow(reference, names, number)

    def grow(self, reference: LatentQueue, names: list[str], number: int) -> list[LatentQueue]:
        """Tails side by side, those that are left; the reference frames are context that no window steps."""
        solver, frozen, measure = self.context.model.solver, len(reference), SCORES[self.score]
        queues = {
            name: LatentQueue.of(solver, reference.latents, reference.levels, int(reference.ids[0])) for name in names
        }
        for steps, count in self.trigger.rounds(len(names), self.judged_age):
            if count < len(queues):  # those that are least like the reference so far go
                so_far = {
                    name: measure(q.latents[frozen:][: self.chunk], reference.latents) for name, q in queues.items()
                }
                queues = {name: queues[name] for name in sorted(queues, key=so_far.__getitem__, reverse=True)[:count]}
            for _ in range(steps):
                for name, queue in queues.items():
                    queue.append(self.fill(name, self.chunk, queue.next_id))
                plan = self.windows(frozen, next(iter(queues.values())))
                sweep(self.context, *(Lane(queue, plan, "reflect", number, name) for name, queue in queues.items()))
        return [queue[frozen:] for queue in queues.values()]

    def windows(self, frozen: int, frames: Sized) -> list[Window]:
        """Over a candidate, behind so many reference frames."""
        n, width = len(frames), self.context.model.window
        return freeze(plain(aligned_spans(n, width, self.stride), n, width), frozen)

    def price(self) -> int:
        """Passes of one search."""
        grown = [range(self.reference + (age + 1) * self.chunk) for age in range(self.judged_age)]
        rounds = self.trigger.rounds(self.candidates, self.judged_age)
        alive = [count for steps, count in rounds for _ in range(steps)]
        windows = sum(
            count * len(self.windows(self.reference, frames)) for count, frames in zip(alive, grown, strict=True)
        )
        return windows * self.context.passes_per_window
