"""Diffusion forcing as SkyReels-V2 samples (arXiv 2504.13074): a level per frame, the clean past beside the noise.

The way to long video of models that were trained with a level per frame. When each frame steps is in
`schedule`; here is one clip by such a schedule, and the chain of clips that each begin with the end of the one before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from baselines.diffusion_forcing.schedule import Turn, check, turns
from miga.engine.attention import Attend, attention, temporal_attention
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Card, Method, MethodConfig
from miga.engine.noise import Noise
from miga.engine.solvers import History
from miga.engine.trace import Trace

PREFIX = 5 / 25  # share of a window that is the end of the one before: 17 video frames of 97


class DiffusionForcing(MethodConfig):
    """Parameters of SkyReels-V2's sampling; defaults are those of its command line."""

    lag: int = Field(0, ge=0, description="ar_step: steps that a block is behind the one before; 0: all together")
    block: int = Field(1, ge=1, description="causal_block_size: latent frames that step together")
    causal: bool = Field(False, description="causal_attention: a block does not see later ones")
    overlap: int | None = Field(
        None,
        ge=0,
        description="latent frames that a window takes from the end of the one before; default: a fifth of the window. "
        "0: one schedule over the whole video, for which the lag must be large enough",
    )
    prefix_noise: int = Field(20, ge=0, le=999, description="addnoise_condition: of 1000, how noisy these are shown")
    released: bool = Field(
        False, description="with the first corrector of the release, which starts from a wrong sample"
    )
    guidance_scale: float | None = Field(None, description="classifier-free guidance; default: the model's")


def generate(
    model: BaseModel, texts: Sequence[Text], num_latents: int, config: DiffusionForcing, noise: Noise, trace: Trace
) -> Iterator[Float[Tensor, "f c h w"]]:
    """The video window by window; with a lag and without overlap, as one queue."""
    window, block, given = model.window, config.block, model.given
    asked = -(-max(num_latents, 1 if given is None else len(given) + 1) // block) * block
    overlap = max(round(PREFIX * window), block) if config.overlap is None else config.overlap
    if config.overlap == 0 or asked <= window:
        yield forced(model, texts[0], config, noise, 0, asked, given)
        return
    if overlap >= window:
        raise ValueError(f"overlap={overlap} leaves nothing new in a window of {window} latent frames: choose less")
    check(window, model.solver.num_levels, window, config.lag, block, overlap)
    clip = forced(model, texts[0], config, noise, 0, window, given)
    yield clip
    decoder, done, tail = model.decoder(), window, model.video_frames(overlap)
    images = decoder.decode(clip)[-tail:]
    while done < asked:
        # as pixels and back: the first latent of a clip holds one frame, those inside hold several
        prefix = model.encode_frames(to_pixels(images))
        clip = forced(model, texts[0], config, noise, done, window, prefix, config.prefix_noise)[overlap:]
        yield clip
        images, done = torch.cat([images, decoder.decode(clip)])[-tail:], done + len(clip)


def to_pixels(images: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n height width 3"]:
    """Images in -1..1 as pixels in 0..255, not rounded."""
    return (images.clamp(-1, 1).movedim(1, -1) + 1) * 127.5


def forced(
    model: BaseModel,
    text: Text,
    config: DiffusionForcing,
    noise: Noise,
    first_id: int,
    frames: int,
    prefix: Float[Tensor, "p c h w"] | None = None,
    prefix_noise: int = 0,
) -> Float[Tensor, "f c h w"]:
    """A clip of so many frames by `turns`; it begins with the prefix, shown as noisy as said and never stepped."""
    solver, ready = model.solver, 0 if prefix is None else len(prefix)
    ids = range(first_id - ready, first_id - ready + frames) if first_id else range(frames)
    start = noise.frames("start", ids, solver.num_levels, model.latent_shape)
    sample = start.to(model.device, model.dtype, copy=True)
    shown, share = model, prefix_noise / 1000
    if ready:
        sample[:ready] = prefix
    if prefix_noise:
        shown = copy.copy(model)
        shown.abilities = replace(model.abilities, clean_timestep=prefix_noise)
    history = solver.fresh(sample)
    for number, turn in enumerate(turns(frames, solver.num_levels, model.window, config.lag, config.block, ready)):
        seen = sample.clone()
        if share:
            fresh = noise.frames("prefix", ids[:ready], number, model.latent_shape).to(sample)
            seen[:ready] = (1 - share) * sample[:ready] + share * fresh
        part = slice(turn.start, turn.end)
        levels = levels_of(turn, solver.num_levels).to(model.device)
        with temporal_attention(model.denoiser, causal(config.block)) if config.causal else nullcontext():
            output = shown.denoise(seen[None, part], levels[None, part], text, config.guidance_scale)[0]
        steps = turn.steps[part].to(model.device)
        where = (turn.start + steps.nonzero()[:, 0]).to(model.device)
        draw = noise.frames("step", [ids[i] for i in where], number, model.latent_shape) if solver.stochastic else None
        mine = {name: value[where] for name, value in history.items()}
        stepped = solver.step(output[steps], sample[where], levels[where], mine, draw, rescale=True)
        sample[where] = stepped.sample
        remember(history, where, stepped.sample, stepped.history, config.released)
    return sample


def levels_of(turn: Turn, num_levels: int) -> Tensor:
    """The noise level of each frame: of one that has not started the noisiest, of a finished one -1."""
    return (num_levels - turn.state).clamp(max=num_levels - 1)


def remember(history: History, where: Tensor, sample: Tensor, stepped: History, released: bool) -> None:
    """Write back what the solver remembers of frames that took a step.

    As released, what it keeps as the sample before a frame's first step is a view that the loop overwrites with the
    sample after it.
    """
    if released and "last" in stepped:
        first = (stepped["steps"] == 1).reshape(-1, 1, 1, 1)
        stepped = stepped | dict(last=torch.where(first, sample, stepped["last"]))
    for name, value in stepped.items():
        history[name][where] = value


def causal(block: int) -> Attend:
    """Attention in which frames see their own block and those before it."""

    def attend(q, k, v, grid):
        return attention(q, k, v, mask_of(q.shape[-3], q.shape[-2], block).to(q.device))

    return attend


def mask_of(frames: int, tokens: int, block: int) -> Bool[Tensor, "fp fp"]:
    blocks = (torch.arange(frames) // block).repeat_interleave(tokens)
    return blocks[:, None] >= blocks[None]


METHOD = Method(
    name="diffusion_forcing",
    card=Card(
        label="Diffusion forcing",
        summary="Windows that begin with the end of the one before, sampled with a noise level per frame.",
        cost="Memory of one window; calls linear in frames.",
        version="1",
        length="finite",
        paper="SkyReels-V2: Infinite-length Film Generative Model",
        year=2025,
        url="https://arxiv.org/abs/2504.13074",
        licence="Skywork Community License",
        needs=dict(levels=("frame",)),
        published=("skyreels-v2-df-1.3b",),
        notes="Windows are decoded in one go where the release decodes each alone. It was made for models trained with "
        "a level per frame; on others it is untrained.",
    ),
    config=DiffusionForcing,
    generate=generate,
)
