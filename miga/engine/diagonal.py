"""Diagonal denoising (FIFO-Diffusion, arXiv 2405.11473): a queue with one frame per noise level, cleanest first.

Each iteration denoises every frame by one level, emits the one that is finished and appends one of pure noise. Behind
the queue's head stand the last emitted frames as context (lookahead). FIFO-Diffusion is this and nothing more; MIGA
without train-test alignment is this with its guidance and reflection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from miga.engine.base_model import Text
from miga.engine.checkpoint import Stream
from miga.engine.queue import LatentQueue
from miga.engine.sampling import sample_clip
from miga.engine.sweep import Context, Lane, sweep
from miga.engine.windows import Window, diagonal, lookahead_prefix

STAGE = "diagonal"


def warm_start(context: Context, base: Float[Tensor, "f c h w"], lookahead: bool) -> LatentQueue:
    """A queue made of one clip: its frames at the noisiest levels, copies of its first frame at all cleaner ones."""
    num_levels = context.model.solver.num_levels
    prefix = lookahead_prefix(context.model.window, lookahead)
    positions = torch.arange(-prefix, num_levels)
    levels = positions.clamp(min=0)
    clean = base[(positions - (num_levels - len(base))).clamp(min=0).to(base.device)]
    noise = context.noise.frames("warm_start", positions.tolist(), levels.tolist(), context.model.latent_shape)
    queue = LatentQueue.of(
        context.model.solver, context.model.solver.add_noise(clean, levels.to(clean.device), noise), levels, -prefix
    )
    queue.levels[:prefix] = -1  # context only
    return queue


class Diagonal(Stream):
    """Latents of a video, one a time, from a diagonal queue.

    Parameters
    ----------
    context: the model, noise and prompt.
    plan: windows of one sweep over the queue.
    num_latents: how many to yield; None: until closed.
    drop: emissions that are discarded at first (they are remakes of the warm start's first frame).
    texts_of: prompt of each window at an iteration, given the queue; default: the context's.
    """

    def __init__(
        self,
        context: Context,
        lookahead: bool = True,
        num_latents: int | None = None,
        drop: int = 0,
        plan: Sequence[Window] | None = None,
        texts_of: Callable[[LatentQueue, int, Sequence[Window]], Sequence[Text]] | None = None,
    ) -> None:
        model = context.model
        self.context, self.lookahead, self.drop, self.texts_of = context, lookahead, drop, texts_of
        self.prefix = lookahead_prefix(model.window, lookahead)
        self.plan = plan or diagonal(model.solver.num_levels, model.window, lookahead)
        self.last = None if num_latents is None else drop + num_latents
        self.iteration = 0
        self.queue: LatentQueue | None = None

    def __next__(self) -> Float[Tensor, "1 c h w"]:
        if self.queue is None:
            context = self.context
            base = sample_clip(context.model, context.text, context.noise, guidance_scale=context.guidance_scale)
            self.queue = warm_start(context, base, self.lookahead)
        while self.iteration != self.last:
            emitted = self.iterate()
            if self.iteration > self.drop:
                return emitted
        raise StopIteration

    def iterate(self) -> Float[Tensor, "1 c h w"]:
        """One sweep; the frame that it finishes leaves, a new one enters."""
        queue, texts_of = self.queue, self.texts_of
        texts = texts_of(queue, self.iteration, self.plan) if texts_of else None
        sweep(self.context, Lane(queue, self.plan, STAGE, self.iteration, texts=texts))
        self.reflect()
        emitted = queue[self.prefix : self.prefix + 1].latents
        queue.pop(1)
        queue.append(self.context.pure_noise("push", 1, queue.next_id))
        self.iteration += 1
        return emitted

    def reflect(self) -> None:
        """What a method does to the queue after a sweep."""

    def state(self):
        return dict(queue=self.queue.state(), iteration=self.iteration)

    def restore(self, state):
        self.queue = LatentQueue.restore(state["queue"], self.context.model.device)
        self.iteration = state["iteration"]
