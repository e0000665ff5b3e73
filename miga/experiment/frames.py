"""From a method and a base model to the frames of a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from miga.engine import checkpoint
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Method, MethodConfig
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from miga.experiment.spool import Spool
from miga.experiment.video import Frames


@torch.inference_mode()
def frames_of(
    model: BaseModel,
    method: Method,
    config: MethodConfig,
    texts: Sequence[Text],
    num_frames: int | None,
    seed: int,
    trace: Trace,
    spool: Spool | None = None,
) -> Iterator[Frames]:
    """Decoded frames of a video as they come, `num_frames` in all; None goes on until the generator is closed.

    With a spool that found a checkpoint, the frames behind it come first, from disk.
    """
    decoder = model.decoder()
    num_latents = None if num_frames is None else model.latent_frames(num_frames)
    generation = method.generate(model, texts, num_latents, config, KeyedNoise(seed), trace)
    if method.arrange is not None:
        clip = np.concatenate([decoder.push(latents).cpu().numpy() for latents in generation])
        yield clip[list(method.arrange(len(clip), num_frames, seed))]
        return
    rest, taken, left = generation, 0, num_frames
    if spool and spool.found:
        rest, taken = checkpoint.resume(generation, spool.found), spool.found.latents
        decoder.restore(spool.found.decoder)
        if spool.found.generation is not None:  # else the method runs, and tells its story, from the beginning
            trace.events = spool.found.trace
        left = None if left is None else left - spool.found.frames
        yield from spool.replay()
    while left is None or left > 0:
        latents = next(rest, None)
        if latents is None:
            return
        frames = decoder.push(latents).cpu().numpy()[:left]
        taken += len(latents)
        left = None if left is None else left - len(frames)
        yield frames
        if spool:
            spool.keep(frames, taken, generation, decoder, trace)
