"""Temporal self-attention of a base model, replaced while a `with` block runs.

A method that changes how frames attend to each other writes one function

    attend(q, k, v, grid) -> out

on tensors `(n, heads, f, p, d)`: f frames, p tokens of each frame that attend jointly, n independent rows. A UNet
attends over time pixel by pixel (p = 1, n = batch * height * width, row (b * height + y) * width + x); a Wan
transformer attends over all tokens of a video (n = batch, p = height * width, row-major). `out` has the shape of `q`
and is what enters the output projection. The same function therefore serves both families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from miga.engine.base_model import BaseModel

Heads = Float[Tensor, "n heads f p d"]


class Grid(NamedTuple):
    """What one temporal attention sees: `batch` videos of `frames` feature maps of height x width."""

    batch: int
    frames: int
    height: int
    width: int


Attend = Callable[[Heads, Heads, Heads, Grid], Heads]


def attention(
    q: Float[Tensor, "n *heads f p d"],
    k: Float[Tensor, "n *heads g p d"],
    v: Float[Tensor, "n *heads g p d"],
    mask: Bool[Tensor, "fp gp"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "n *heads f p d"]:
    """Softmax attention over frames and tokens jointly; everything between n and f is as independent as heads are."""
    flat = (x.flatten(1, -4).flatten(-3, -2) for x in (q, k, v))
    return scaled_dot_product_attention(*flat, attn_mask=mask, scale=scale).reshape(q.shape)


@contextmanager
def temporal_attention(denoiser: nn.Module | None, attend: Attend) -> Iterator[None]:
    """Every temporal self-attention of `denoiser` computes `attend` inside the block, and its own self again after it.

    Knows diffusers' `TransformerTemporalModel` (both attentions of each block) and `WanTransformer3DModel` (`attn1`);
    `ValueError` for a network with neither.
    """
    hosts = [] if denoiser is None else [m for m in denoiser.modules() if type(m) in PROCESSORS]
    if not hosts:
        kinds = " or ".join(kind.__name__ for kind in PROCESSORS)
        raise ValueError(f"{type(denoiser).__name__} has no temporal attention to replace: it holds no {kinds}")
    with ExitStack() as undo:
        for host in hosts:
            processor = PROCESSORS[type(host)](attend)
            undo.callback(host.register_forward_pre_hook(processor.observe, with_kwargs=True).remove)
            for site in processor.sites(host):
                undo.callback(site.set_processor, site.processor)
                site.set_processor(processor)
        yield


def denoise_with(model: BaseModel, attend_at: Callable[[int], Attend]) -> Callable[..., Float[Tensor, "b f c h w"]]:
    """`model.denoise` under the temporal attention `attend_at(level)`, for clips whose frames share one level."""

    def denoise(latents, levels, text, guidance_scale=None):
        with temporal_attention(model.denoiser, attend_at(int(levels[0, 0]))):
            return model.denoise(latents, levels, text, guidance_scale)

    return denoise


@dataclass
class UNetProcessor:
    """Attention processor for the temporal transformers of a UNet: `(b h w, f, c)`, one row per pixel."""

    attend: Attend
    grid: Grid | None = None

    @staticmethod
    def sites(host: TransformerTemporalModel) -> list[nn.Module]:
        return [site for block in host.transformer_blocks for site in (block.attn1, block.attn2)]

    def observe(self, host, args, kwargs) -> None:
        """Note the grid before the pixels become rows: the processor itself is not told."""
        features = args[0] if args else kwargs["hidden_states"]
        frames = kwargs["num_frames"]
        self.grid = Grid(len(features) // frames, frames, *features.shape[-2:])

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        q, k, v = (
            rearrange(project(hidden_states), "n f (heads d) -> n heads f 1 d", heads=attn.heads)
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        out = self.attend(q, k, v, self.grid)
        return attn.to_out[0](rearrange(out, "n heads f 1 d -> n f (heads d)"))


@dataclass
class WanProcessor:
    """Attention processor for the self-attention of a Wan transformer: `(b, f h w, c)`, frames first."""

    attend: Attend
    grid: Grid | None = None

    @staticmethod
    def sites(host: WanTransformer3DModel) -> list[nn.Module]:
        return [block.attn1 for block in host.blocks]

    def observe(self, host, args, kwargs) -> None:
        latents = args[0] if args else kwargs["hidden_states"]
        size = (n // patch for n, patch in zip(latents.shape[-3:], host.config.patch_size, strict=True))
        self.grid = Grid(len(latents), *size)

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        q, k, v = (project(hidden_states) for project in (attn.to_q, attn.to_k, attn.to_v))
        q, k, v = (x.unflatten(-1, (attn.heads, -1)) for x in (attn.norm_q(q), attn.norm_k(k), v))
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        q, k, v = (rearrange(x, "n (f p) heads d -> n heads f p d", f=self.grid.frames) for x in (q, k, v))
        out = self.attend(q, k, v, self.grid)
        return attn.to_out[0](rearrange(out, "n heads f p d -> n (f p) (heads d)"))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of adjacent channel pairs, from tables that hold each angle twice."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).type_as(x)


PROCESSORS = {TransformerTemporalModel: UNetProcessor, WanTransformer3DModel: WanProcessor}
