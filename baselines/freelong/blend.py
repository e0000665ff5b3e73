"""SpectralBlend temporal attention (FreeLong): low frequencies of global attention, high ones of a local one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from miga.engine.attention import Grid, Heads, attention

Mask = Literal["strict", "adjusted"]
Shape = Literal["gaussian", "butterworth", "ideal"]
BLOCK = 32  # query frames of a masked block: the local attention reads BLOCK + window frames for each


@cache
def band(frames: int, window: int, mask: Mask) -> tuple[tuple[int, int], ...]:
    """Frames [first, end) that each frame attends to: window // 2 on either side, cut at the video's ends ("strict"),
    or there filled up to `window` frames ("adjusted")."""
    half = window // 2
    spans = [(max(0, i - half), min(frames, i + half + 1)) for i in range(frames)]
    if mask == "strict":
        return tuple(spans)
    head, tail = (0, min(window, frames)), (max(0, frames - window), frames)
    return tuple(span if span[1] - span[0] >= window else tail if span[0] else head for span in spans)


@cache
@torch.inference_mode(False)
def band_mask(frames: int, window: int, mask: Mask, device: torch.device | str = "cpu") -> Bool[Tensor, "queries keys"]:
    """The band as a matrix, true where a query frame reads a key frame."""
    first, end = torch.tensor(band(frames, window, mask)).split(1, 1)
    key = torch.arange(frames)
    return ((first <= key) & (key < end)).to(device)


def local_attention(q: Heads, k: Heads, v: Heads, *, window: int, mask: Mask) -> Heads:
    """Attention inside the band; cost and memory are linear in frames. Joint tokens need no mask a frame at a time."""
    frames, tokens = q.shape[2:4]
    spans, allowed = band(frames, window, mask), band_mask(frames, window, mask, q.device)
    out, block = torch.empty_like(q), BLOCK if tokens == 1 else 1
    for queries in (slice(i, min(i + block, frames)) for i in range(0, frames, block)):
        keys = slice(spans[queries.start][0], spans[queries.stop - 1][1])
        visible = allowed[queries, keys] if tokens == 1 else None
        out[:, :, queries] = attention(q[:, :, queries], k[:, :, keys], v[:, :, keys], visible)
    return out


def cut_attention(q: Heads, k: Heads, v: Heads, *, window: int, mask: Mask) -> Heads:
    """As the paper writes it: a softmax over all frames whose entries outside the band are then zero, so that weights
    no longer sum to one. Memory is linear in frames, cost quadratic."""
    frames, tokens, dim = q.shape[2:]
    keys, values = (x.flatten(2, 3) for x in (k, v))
    allowed = band_mask(frames, window, mask, q.device).repeat_interleave(tokens, 1)
    out, block = torch.empty_like(q), BLOCK if tokens == 1 else 1
    for queries in (slice(i, min(i + block, frames)) for i in range(0, frames, block)):
        weights = (q[:, :, queries].flatten(2, 3) @ keys.mT / sqrt(dim)).softmax(-1)
        inside = weights * allowed[queries].repeat_interleave(tokens, 0)
        out[:, :, queries] = (inside @ values).unflatten(2, (-1, tokens))
    return out


LOCAL: dict[str, Callable[..., Heads]] = {"masked": local_attention, "zeroed": cut_attention}


@cache
@torch.inference_mode(False)
def low_pass(
    size: tuple[int, int, int],
    d_t: float = 0.25,
    d_s: float = 0.25,
    shape: Shape = "gaussian",
    centred: bool = False,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "f h w"]:
    """Gain of the global branch, in the FFT's order of frequencies. `d_t`, `d_s`: cut-offs as a share of Nyquist.

    The released filter takes 2 i / N - 1 for the frequency of bin i of the shifted spectrum. For an odd N that is off
    by 1 / N, so that zero frequency does not pass in full; `centred` corrects it.
    """
    if not (d_t and d_s):
        return torch.zeros(size, device=device)
    axes = []
    for n, cut in zip(size, (d_t, d_s, d_s), strict=True):
        frequency = 2 * torch.fft.fftfreq(n, dtype=torch.float64)
        axes.append((frequency if centred or n % 2 == 0 else frequency - 1 / n) / cut)
    t, y, x = axes
    squared = t[:, None, None] ** 2 + y[:, None] ** 2 + x**2
    match shape:
        case "gaussian":
            gain = torch.exp(-squared / 2)
        case "butterworth":
            gain = 1 / (1 + squared**4)
        case "ideal":
            gain = squared <= 1
    return gain.float().to(device)


def mix(
    everywhere: Float[Tensor, "*b f h w"], local: Float[Tensor, "*b f h w"], gain: Float[Tensor, "f h w"]
) -> Float[Tensor, "*b f h w"]:
    """Low frequencies of one volume, the rest of the other: local + lowpass(everywhere - local), at least in float32.

    Real volumes keep only the even part of a gain, so half a spectrum is enough.
    """
    size = gain.shape
    even = (gain + gain.flip(0, 1, 2).roll((1, 1, 1), (0, 1, 2))) / 2
    wide = torch.promote_types(local.dtype, torch.float32)
    spectrum = torch.fft.rfftn(everywhere.to(wide) - local.to(wide), dim=(-3, -2, -1))
    return local + torch.fft.irfftn(even[..., : size[2] // 2 + 1] * spectrum, s=size, dim=(-3, -2, -1)).to(local)


def blended_attention(
    q: Heads, k: Heads, v: Heads, grid: Grid, *, local: Callable[..., Heads], gain, finest: int | None
) -> Heads:
    """Local attention with the low frequencies of the global one; local alone on feature maps of `finest` pixels.

    `local(q, k, v)` attends inside the band, `gain(size, device)` is the filter. The transform runs a head at a time:
    its memory does not grow with width.
    """
    out = local(q, k, v)
    if grid.height * grid.width == finest:
        return out
    everywhere = attention(q, k, v)
    passed = gain(grid.size, device=q.device)
    for head in range(q.shape[1]):
        volumes = (
            rearrange(x[:, head], "(b s) f p d -> b d f (s p)", b=grid.batch).unflatten(-1, grid.size[1:])
            for x in (everywhere, out)
        )
        mixed = mix(*volumes, passed).flatten(-2)
        out[:, head] = rearrange(mixed, "b d f (s p) -> (b s) f p d", p=q.shape[3])
    return out
