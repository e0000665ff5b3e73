"""Diagonal denoising (FIFO-Diffusion, arXiv 2405.11473): a queue with one frame per noise level, cleanest first.

Each iteration denoises every frame by one level, emits the one that is finished and appends one of pure noise. Behind
the queue's head stand the last emitted frames as context (lookahead). FIFO-Diffusion is this and nothing more; MIGA
without training-inference alignment is this with its guidance and reflection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from miga.engine.base_model import Text
from miga.engine.checkpoint import Part
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


class Diagonal(Part):
    """A diagonal queue from its warm start on.

    context: the model, noise and prompt.
    lookahead: keep finished frames before the queue, as context of the cleanest window.
    last: how many frames to emit; None: until closed.
    plan: windows of one sweep over the queue; default: FIFO-Diffusion's.
    texts_of: prompt of each window at an iteration, given the queue; default: the context's.
    """

    saved = ("queue", "iteration")

    def __init__(
        self,
        context: Context,
        lookahead: bool = True,
        last: int | None = None,
        plan: Sequence[Window] | None = None,
        texts_of: Callable[[LatentQueue, int, Sequence[Window]], Sequence[Text]] | None = None,
    ) -> None:
        model = context.model
        self.context, self.lookahead, self.last, self.texts_of = context, lookahead, last, texts_of
        self.prefix = lookahead_prefix(model.window, lookahead)
        self.plan = plan or diagonal(model.solver.num_levels, model.window, lookahead)
        self.iteration = 0
        self.queue: LatentQueue | None = None

    def emissions(
        self, reflect: Callable[[LatentQueue, int, str], None] | None = None
    ) -> Iterator[Float[Tensor, "1 c h w"]]:
        """One sweep after another; the frame that it finishes leaves, one of pure noise enters.

        `reflect(queue, iteration, stage)` may change the queue after each sweep.
        """
        context = self.context
        if self.queue is None:
            base = sample_clip(context.model, context.text, context.noise, guidance_scale=context.guidance_scale)
            self.queue = warm_start(context, base, self.lookahead)
        queue = self.queue
        while self.iteration != self.last:
            texts = self.texts_of(queue, self.iteration, self.plan) if self.texts_of else None
            sweep(context, Lane(queue, self.plan, STAGE, self.iteration, texts=texts))
            if reflect:
                reflect(queue, self.iteration, STAGE)
            emitted = queue[self.prefix : self.prefix + 1].latents
            queue.pop(1)
            queue.append(context.pure_noise("push", 1, queue.next_id))
            self.iteration += 1
            yield emitted
