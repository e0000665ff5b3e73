"""FreePCA's temporal attention: windows that take over, from an attention over all frames, their temporal mean and the
principal components on which both agree."""

from __future__ import annotations

from math import log, sqrt

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, einsum

from baselines.freenoise.windows import Windows
from miga.engine.attention import Grid, Heads, attention

Clip = Float[Tensor, "b r m w c"]  # m windows of w frames; r x c are the (pixel, channel) samples of each frame
Basis = Float[Tensor, "b m w k"]


def temperature(frames: int, window: int, tokens: int = 1) -> float:
    """Factor on the logits of attention over all frames that keeps its entropy as over a window: sqrt(log_n N) for n
    tokens in a window and N in all."""
    return sqrt(log(frames * tokens) / log(window * tokens))


def centred(clip: Clip) -> Clip:
    return clip - clip.mean(3, keepdim=True)


def covariance(anchor: Clip) -> Float[Tensor, "b m w w"]:
    """How the frames of each window vary together (unscaled: only its eigenvectors matter)."""
    shared = centred(anchor)
    return einsum("b r m w c, b r m v c -> b m w v", shared, shared)


def agreement(own: Clip, shared: Clip, basis: Basis) -> Float[Tensor, "b m k"]:
    """Cosine similarity, over all samples, of two clips' projections on each component."""
    a, b = (einsum("b r m w c, b m w k -> b m k r c", x, basis).flatten(3) for x in (own, shared))
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def most_agreeing(similarity: Float[Tensor, "b m k"], number: Int[Tensor, " m"]) -> Float[Tensor, "b m k"]:
    """1 for the `number` components of each window with the largest similarity, else 0."""
    rank = similarity.argsort(-1, descending=True).argsort(-1)
    return (rank < number[:, None]).to(similarity)


def fuse(clip: Clip, anchor: Clip, basis: Basis, number: Int[Tensor, " m"]) -> Clip:
    """The clip with the anchor's temporal mean and the anchor's part in the `number` most agreeing components."""
    own, shared = centred(clip), centred(anchor)
    chosen = basis * most_agreeing(agreement(own, shared, basis), number)[:, :, None]
    swap = einsum("b m w k, b m v k -> b m w v", chosen, chosen)
    return anchor.mean(3, keepdim=True) + own + einsum("b r m v c, b m w v -> b r m w c", shared - own, swap)


def fused_attention(q: Heads, k: Heads, v: Heads, grid: Grid, *, windows: Windows, components: int) -> Heads:
    """Averaged windows, of which the j-th (j > 0) takes min(j, components) components from attention over all frames.

    All decompositions of a call are one batch. Memory is linear in frames.
    """
    frames, tokens, dim = q.shape[2:]
    if frames <= windows.size:
        return attention(q, k, v)
    tiles = windows.batches(q)
    anchor = attention(q, k, v, scale=temperature(frames, windows.size, tokens) / sqrt(dim))

    def samples(x: Float[Tensor, "n heads m w p d"]) -> Clip:
        x = rearrange(x, "(b s) heads m w p d -> b (s heads) m w (p d)", b=grid.batch)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    covariances = [covariance(samples(anchor[:, :, tile.frames])) for tile in tiles]
    bases = torch.linalg.eigh(torch.cat(covariances, 1)).eigenvectors.split([len(tile.number) for tile in tiles], 1)
    out = torch.zeros_like(q)
    for tile, basis in zip(tiles, bases, strict=True):
        clip = attention(*(x[:, :, tile.frames] for x in (q, k, v)))
        number = tile.number.clamp(max=components)
        fused = fuse(samples(clip), samples(anchor[:, :, tile.frames]), basis, number).reshape(clip.shape)
        fused = torch.where(tile.number[:, None, None, None] > 0, fused, clip)  # the first window stays as it is
        out[:, :, tile.frames] += (tile.share[..., None, None] * fused).to(q.dtype)
    return out
