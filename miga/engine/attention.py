"""Temporal self-attention of a base model, replaced while a `with` block runs.

A method that changes how frames attend to each other writes one function

    attend(q, k, v, grid) -> out

on tensors `(n, heads, f, p, d)`: f frames, p tokens of each frame that attend jointly, n independent rows. A UNet
attends over time pixel by pixel (p = 1, n = batch * height * width, row (b * height + y) * width + x); a Wan
transformer attends over all tokens of a video (n = batch, p = height * width, row-major). `out` has the shape of `q`
and is what enters the output projection. The same function therefore serves both families.

Where positions are rotary, q and k arrive rotated to their own frames: `grid.rotary` turns them further, and
`time_frequency` changes how fast one component of them turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformer3DModel
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from miga.engine.base_model import BaseModel

Heads = Float[Tensor, "n heads f p d"]
BATCH = 2**25  # numbers that one step of a loop may hold: more costs memory and gains nothing on a GPU


@dataclass(frozen=True, eq=False)
class Rotary:
    """Rotary positions in time: cosine and sine of every position's angles, each angle twice."""

    cos: Float[Tensor, "positions t"]
    sin: Float[Tensor, "positions t"]

    def turn(self, x: Heads, by: Int[Tensor, " f"]) -> Heads:
        """q or k, rotated to its own frames, moved on by so many frames each (negative: back)."""
        t = self.cos.shape[-1]
        by = by.to(self.cos.device)
        cos, sin = self.cos[by.abs()], self.sin[by.abs()] * by.sign()[:, None]
        return torch.cat((rotate(x[..., :t], cos[:, None], sin[:, None]), x[..., t:]), -1)


class Grid(NamedTuple):
    """What one temporal attention sees: `batch` videos of `frames` feature maps of height x width.

    block: which transformer block of the network it belongs to, from 0 in the order of the network's modules.
    rotary: how q and k are turned further in time; None where the network has no rotary positions over time.
    """

    batch: int
    frames: int
    height: int
    width: int
    block: int = 0
    rotary: Rotary | None = None

    @property
    def size(self) -> tuple[int, int, int]:
        return self.frames, self.height, self.width


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


Piece = tuple[slice, Float[Tensor, "n heads queries keys"]]


def attention_of(logits: Callable[[slice], list[Piece]], v: Heads) -> Heads:
    """Softmax attention whose logits a function computes, in blocks of queries: memory is linear in frames.

    `logits(queries)` is asked for a slice of the query tokens (frame f, token n of it: row f p + n) and answers in
    pieces, (slice of the key tokens, their logits), -inf for pairs that do not see each other. Each query has one
    softmax over all pieces; a key may come in several.
    """
    values = v.flatten(2, 3)
    out, tokens = torch.empty_like(values), values.shape[2]
    step = max(1, BATCH // (values.shape[0] * values.shape[1] * tokens))
    for queries in (slice(i, min(i + step, tokens)) for i in range(0, tokens, step)):
        keys, parts = zip(*logits(queries), strict=True)
        weights = torch.cat(parts, -1).softmax(-1).to(v.dtype).split([part.shape[-1] for part in parts], -1)
        out[:, :, queries] = sum(share @ values[:, :, one] for share, one in zip(weights, keys, strict=True))
    return out.view_as(v)


def scores(
    q: Float[Tensor, "n heads queries d"], k: Float[Tensor, "n heads keys d"]
) -> Float[Tensor, "n heads queries keys"]:
    """Scaled products of queries and keys, summed and kept at least in float32, as fused attention has them."""
    if q.is_cuda and q.dtype.itemsize == 2:
        products = torch.bmm(q.flatten(0, 1), k.flatten(0, 1).mT, out_dtype=torch.float32).unflatten(0, q.shape[:2])
    else:
        wide = torch.promote_types(q.dtype, torch.float32)
        products = q.to(wide) @ k.to(wide).mT
    return products * q.shape[-1] ** -0.5


@contextmanager
def temporal_attention(denoiser: nn.Module | None, attend: Attend) -> Iterator[None]:
    """Every temporal self-attention of `denoiser` computes `attend` inside the block, and its own attention after it.

    Knows diffusers' `TransformerTemporalModel` (both attentions of each block) and `WanTransformer3DModel` (`attn1`);
    `ValueError` for a network with neither.
    """
    hosts = [] if denoiser is None else [m for m in denoiser.modules() if type(m) in PROCESSORS]
    if not hosts:
        kinds = " or ".join(kind.__name__ for kind in PROCESSORS)
        raise ValueError(f"{type(denoiser).__name__} has no temporal attention to replace: it holds no {kinds}")
    numbers = count()
    with ExitStack() as undo:
        for host in hosts:
            processor = PROCESSORS[type(host)](attend)
            undo.callback(host.register_forward_pre_hook(processor.observe, with_kwargs=True).remove)
            for sites in processor.blocks(host):
                number = next(numbers)
                for site in sites:
                    processor.numbers[site] = number
                    undo.callback(site.set_processor, site.processor)
                    site.set_processor(processor)
        yield


def denoise_with(model: BaseModel, attend_at: Callable[[int], Attend]) -> Callable[..., Float[Tensor, "b f c h w"]]:
    """`model.denoise` under the temporal attention `attend_at(level)`, for clips whose frames share a level."""

    def denoise(latents, levels, text, guidance_scale=None):
        with temporal_attention(model.denoiser, attend_at(int(levels.max()))):
            return model.denoise(latents, levels, text, guidance_scale)

    return denoise


def time_tables(denoiser: nn.Module) -> tuple[Float[Tensor, "positions t"], Float[Tensor, "positions t"]]:
    """Views of the network's rotary tables in time, cosine and sine; `ValueError` for a network that has none."""
    for module in denoiser.modules():
        if type(module) is WanRotaryPosEmbed:
            return module.freqs_cos[:, : module.t_dim], module.freqs_sin[:, : module.t_dim]
    raise ValueError(f"{type(denoiser).__name__} has no rotary positions over time")


def time_frequencies(denoiser: nn.Module) -> Float[Tensor, " components"]:
    """Radians per latent frame by which each rotary component turns in time, fastest first."""
    cos, sin = (table[1, ::2].double().cpu() for table in time_tables(denoiser))
    return torch.atan2(sin, cos)


@contextmanager
def time_frequency(denoiser: nn.Module, component: int, frequency: float) -> Iterator[None]:
    """One rotary component (from 0) turns by `frequency` radians per latent frame inside the block."""
    tables = [table[:, 2 * component : 2 * component + 2] for table in time_tables(denoiser)]
    kept = [table.clone() for table in tables]
    angles = torch.arange(len(tables[0]), dtype=torch.float64)[:, None] * frequency
    try:
        for table, values in zip(tables, (angles.cos(), angles.sin()), strict=True):
            table.copy_(values.expand(-1, 2))
        yield
    finally:
        for table, values in zip(tables, kept, strict=True):
            table.copy_(values)


@dataclass
class UNetProcessor:
    """Attention processor for the temporal transformers of a UNet: `(b h w, f, c)`, one row per pixel."""

    attend: Attend
    grid: Grid | None = None
    numbers: dict[nn.Module, int] = field(default_factory=dict)  # of the block that each attention belongs to

    @staticmethod
    def blocks(host: TransformerTemporalModel) -> list[tuple[nn.Module, ...]]:
        return [(block.attn1, block.attn2) for block in host.transformer_blocks]

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
        out = self.attend(q, k, v, self.grid._replace(block=self.numbers.get(attn, 0)))
        return attn.to_out[0](rearrange(out, "n heads f 1 d -> n f (heads d)"))


@dataclass
class WanProcessor:
    """Attention processor for the self-attention of a Wan transformer: `(b, f h w, c)`, frames first."""

    attend: Attend
    grid: Grid | None = None
    numbers: dict[nn.Module, int] = field(default_factory=dict)

    @staticmethod
    def blocks(host: WanTransformer3DModel) -> list[tuple[nn.Module, ...]]:
        return [(block.attn1,) for block in host.blocks]

    def observe(self, host, args, kwargs) -> None:
        latents = args[0] if args else kwargs["hidden_states"]
        size = (n // patch for n, patch in zip(latents.shape[-3:], host.config.patch_size, strict=True))
        self.grid = Grid(len(latents), *size, rotary=Rotary(*time_tables(host)))

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):
        q, k, v = (project(hidden_states) for project in (attn.to_q, attn.to_k, attn.to_v))
        q, k, v = (x.unflatten(-1, (attn.heads, -1)) for x in (attn.norm_q(q), attn.norm_k(k), v))
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        q, k, v = (rearrange(x, "n (f p) heads d -> n heads f p d", f=self.grid.frames) for x in (q, k, v))
        out = self.attend(q, k, v, self.grid._replace(batch=len(q), block=self.numbers.get(attn, 0)))
        return attn.to_out[0](rearrange(out, "n heads f p d -> n (f p) (heads d)"))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of adjacent channel pairs, from tables that hold each angle twice.

    One product of complex numbers; compilers fuse real ones only.
    """
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    if torch.compiler.is_compiling():
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).type_as(x)
    pairs = x.to(torch.promote_types(x.dtype, cos.dtype)).unflatten(-1, (-1, 2))
    return torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin)).flatten(-2).type_as(x)


PROCESSORS = {TransformerTemporalModel: UNetProcessor, WanTransformer3DModel: WanProcessor}
