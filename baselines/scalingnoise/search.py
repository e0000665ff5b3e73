"""Beam search over the noise of new frames, on top of diagonal denoising.

Each beam is a diagonal queue. At every iteration each beam tries several noises for its newest frame: the tail window,
which has to be denoised anyway, is denoised once for each. The picture of that frame, predicted clean in this first
step, is compared with the last finished one, and the best (beam, candidate) pairs are the beams of the next iteration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from baselines.scalingnoise.config import ScalingNoise
from baselines.scalingnoise.proposals import PROPOSALS, Source
from miga.engine.checkpoint import Part
from miga.engine.diagonal import STAGE, warm_start
from miga.engine.queue import LatentQueue
from miga.engine.sampling import sample_clip
from miga.engine.sweep import Context, Lane, advance, sweep
from miga.engine.windows import Window, diagonal, lookahead_prefix


@dataclass
class Beam:
    """One of the parallel histories of the video.

    queue: its frames in flight.
    anchor: (d,) features of the picture that its candidates are compared with.
    pending: finished frames that the beams do not all share yet, each with the number of the beam that finished it.
    """

    queue: LatentQueue
    anchor: Float[Tensor, " d"]
    pending: list[tuple[int, Float[Tensor, "c h w"]]]


torch.serialization.add_safe_globals([Beam])  # checkpoints hold beams


@dataclass(frozen=True)
class Candidate:
    """A tail window after its step, with the clean frames predicted on the way."""

    tail: LatentQueue
    clean: Float[Tensor, "f c h w"]


class BeamSearch(Part):
    """The beams of a video; a frame leaves when it is part of all beams, and with the last one all of the best beam's.

    How long a frame waits for that is up to the search: a few iterations, as all beams soon descend from one of them.
    """

    saved = ("iteration", "finished", "settled", "beams")

    def __init__(self, context: Context, config: ScalingNoise, num_latents: int | None, drop: int) -> None:
        model = context.model
        self.context, self.config, self.drop = context, config, drop
        self.prefix = lookahead_prefix(model.window, lookahead=True)
        self.plan = diagonal(model.solver.num_levels, model.window, lookahead=True)
        self.tail, *self.body = self.plan
        if not self.body:
            raise ValueError(
                f"ScalingNoise needs a queue longer than one window: {model.solver.num_levels} noise levels are too "
                f"few for a window of {model.window} frames; set partitions"
            )
        if model.features is None:  # before work is spent
            raise ValueError(f"base model {model.name!r} has no image features, by which ScalingNoise judges frames")
        self.last = None if num_latents is None else drop + num_latents
        self.iteration = self.finished = self.settled = 0
        self.beams: list[Beam] | None = None

    def latents(self) -> Iterator[Float[Tensor, "f c h w"]]:
        """Iteration after iteration; frames leave as soon as no later choice can change them."""
        if self.beams is None:
            context = self.context
            self.start(sample_clip(context.model, context.text, context.noise, guidance_scale=context.guidance_scale))
        while self.settled != self.last:
            frames = self.settle()
            if len(frames):
                yield frames
            elif self.finished != self.last:
                self.iterate()

    def start(self, base: Float[Tensor, "f c h w"]) -> None:
        """Equal beams from the base model's own clip. In the original they first make one step together, unguided."""
        context, prestep = self.context, self.config.prestep
        queue, shown, pending = warm_start(context, base, lookahead=True), base[:1], []
        if prestep != "off":
            together = replace(context, guidance_scale=1.0) if prestep == "nocfg" else context
            sweep(together, Lane(queue, self.plan, STAGE))
            shown = queue.latents[self.prefix : self.prefix + 1]
            pending, self.finished = [(0, shown[0])], 1
        anchor = context.model.latent_features(shown)[0]
        self.beams = [Beam(queue[:], anchor, list(pending)) for _ in range(self.config.beams)]
        if prestep != "off":
            self.shift()

    def shift(self) -> None:
        """The oldest frame leaves each queue, one of pure noise enters (which no candidate keeps)."""
        for number, beam in enumerate(self.beams):
            beam.queue.pop(1)
            beam.queue.append(self.context.pure_noise(purpose("push", number), 1, beam.queue.next_id))

    def iterate(self) -> None:
        """Denoise all beams by one level, with several candidates for each tail; keep the best ones."""
        candidates = self.sweep()
        finished = torch.cat([beam.queue.latents[self.prefix : self.prefix + 1] for beam in self.beams])
        rewards, pictures = self.judge(candidates, finished)
        parents, tails, explored = self.select(rewards)
        keep, previous = self.tail.keep, self.beams
        self.beams = []
        for parent, (beam, candidate) in zip(parents, tails, strict=True):
            queue = previous[parent].queue[:-keep]
            queue.append(candidates[beam][candidate].tail[-keep:])
            anchor = {"shared_latest": pictures[-1], "own_latest": pictures[parent], "first": previous[0].anchor}
            pending = [*previous[parent].pending, (parent, finished[parent])]
            self.beams.append(Beam(queue, anchor[self.config.anchor], pending))
        self.context.trace.add(
            "search", iteration=self.iteration, rewards=rewards, explored=explored, parents=parents, tails=tails
        )
        self.shift()
        self.iteration += 1
        self.finished += 1

    def sweep(self) -> list[list[Candidate]]:
        """Step all frames of all beams; the candidates of each beam."""
        return self.step(range(len(self.beams)))

    def step(self, numbers: Iterable[int]) -> list[list[Candidate]]:
        """Step all frames of some beams, which share calls of the denoiser; the candidates of each."""
        rows = [self.lanes(number) for number in numbers]
        flat = [lane for row in rows for lane in row]
        for lane in flat:
            self.context.trace.sweep(lane.stage, lane.queue, lane.plan)
        steps = iter(advance(self.context, flat))
        stepped = [[Candidate(lane.queue, next(steps).clean) for lane in row] for row in rows]
        return [tails for *tails, _ in stepped]

    def lanes(self, number: int) -> list[Lane]:
        """The tail window of a beam with each candidate noise for its newest frame, then its other windows."""
        queue, config = self.beams[number].queue, self.config
        names = self.context.noise.choices(f"proposals {number}", config.proposals, config.candidates, self.iteration)
        previous, newest = queue.latents[-2:-1], int(queue.ids[-1])
        noises = [
            PROPOSALS[name](previous, Source(self.context, purpose("push", number, i), newest))
            for i, name in enumerate(names)
        ]
        self.context.trace.add("proposals", iteration=self.iteration, beam=number, names=names)
        start, width = self.tail.frames[0], len(self.tail.frames)
        idle = max(self.prefix - start, 0)  # finished frames, which have no clean prediction
        whole = Window(tuple(range(width)), idle, width - idle)
        lanes = []
        for i, noise in enumerate(noises):
            tail = queue[start:]
            tail.latents[-1:] = noise
            lanes.append(Lane(tail, [whole], "search", self.iteration, purpose(STAGE, number, i)))
        return [*lanes, Lane(queue, self.body, STAGE, self.iteration, purpose(STAGE, number))]

    def judge(
        self, candidates: list[list[Candidate]], finished: Float[Tensor, "m c h w"]
    ) -> tuple[list[list[float]], Float[Tensor, "m d"]]:
        """The reward of each candidate of each beam, and the features of the frames that the beams just finished."""
        shown, reward = REWARDS[self.config.reward]
        clean = [candidate.clean[shown] for row in candidates for candidate in row]
        features = self.context.model.latent_features(torch.cat([finished, *clean]))
        pictures, rest = features[: len(finished)], features[len(finished) :]
        anchors = [beam.anchor for beam in self.beams]
        if self.config.anchor == "shared_latest":  # the latest frame of any beam, in the order of the beams
            anchors = [anchors[0], *pictures[:-1]]
        seen = rest.unflatten(0, (len(candidates), len(candidates[0]), -1))
        return [[reward(anchor, frames) for frames in row] for anchor, row in zip(anchors, seen, strict=True)], pictures

    def select(self, rewards: list[list[float]]) -> tuple[list[int], list[tuple[int, int]], bool]:
        """For each beam of the next iteration: whose frames it continues, and whose tail (beam, candidate) it gets."""
        config, numbers = self.config, range(len(rewards))
        ranked = sorted(((reward, j, i) for j in numbers for i, reward in enumerate(rewards[j])), reverse=True)
        tails = [(j, i) for _, j, i in ranked[: len(rewards)]]
        parents = [j for j, _ in tails]
        explored = self.context.noise.uniform("explore", self.iteration) >= 1 - config.explore
        if explored:  # each beam keeps its own best tail; in the original, behind the winners' frames
            tails = [(j, max(range(len(rewards[j])), key=rewards[j].__getitem__)) for j in numbers]
            if config.explore_pairing == "consistent":
                parents = list(numbers)
        return parents, tails, explored

    def settle(self) -> Float[Tensor, "f c h w"]:
        """Take out the finished frames that no later choice can change."""
        first, *others = (beam.pending for beam in self.beams)
        count = len(first)
        if self.finished != self.last:
            shared = (all(other[i][0] == origin for other in others) for i, (origin, _) in enumerate(first))
            count = next((i for i, same in enumerate(shared) if not same), count)
        frames = [latent for _, latent in first[max(self.drop - self.settled, 0) : count]]
        for beam in self.beams:
            del beam.pending[:count]
        self.settled += count
        return torch.stack(frames) if frames else torch.empty(0)


def purpose(kind: str, beam: int, candidate: int = 0) -> str:
    """What noise is for. The first candidate of the first beam draws FIFO-Diffusion's; with no others it is that."""
    return kind if beam == candidate == 0 else f"{kind} {beam} {candidate}"


def last_cosine(anchor: Float[Tensor, " d"], frames: Float[Tensor, "1 d"]) -> float:
    """How much the newest frame looks like the anchor, c = max(0, cosine).

    The original embeds 17 pictures, but uses only these two: its score is (9 c + 8) / 16.
    """
    return max(0.0, float(F.cosine_similarity(anchor, frames[-1], dim=0)))


def subject_consistency(anchor: Float[Tensor, " d"], frames: Float[Tensor, "f d"]) -> float:
    """VBench's measure of the anchor followed by the window's frames: mean cosine to the previous and the first one."""
    video = F.normalize(torch.cat([anchor[None], frames]), dim=1)
    previous, first = (video[:-1] * video[1:]).sum(1), video[1:] @ video[0]
    return float((previous.clamp(min=0) + first.clamp(min=0)).mean() / 2)


REWARDS = {  # name -> (which predicted frames it looks at, function of the anchor's features and theirs)
    "last_cos": (slice(-1, None), last_cosine),
    "subject_consistency": (slice(None), subject_consistency),
}
