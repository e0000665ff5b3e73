"""Layers on a CPU: what they compute, to the same numbers but for rounding, by kernels that are fast there."""

from __future__ import annotations

import ctypes
import sys
from types import MethodType

import torch
from diffusers.models.activations import GEGLU, GELU
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanRMS_norm
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, scaled_dot_product_attention

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
PICTURES = 16  # with fewer and one thread, PyTorch does not call the fast kernels for a 1x1 convolution
SHORT, NARROW = 32, 16  # keys, and channels of a head; beyond either, PyTorch's attention is the faster one
SCORES = 2**17  # of attention, computed at once: they stay in the cache


def on_a_cpu(network: nn.Module) -> None:
    """Let slow layers of a network compute by kernels that are fast on a CPU."""
    keep_freed_memory()
    for module in network.modules():
        if type(module) in KERNELS:
            module.forward = MethodType(KERNELS[type(module)], module)


def keep_freed_memory() -> None:
    """Let this process use the memory of freed tensors again, up to 32 MB each, instead of giving it back.

    The system clears every page that it gives anew, which takes longer than what many layers compute in it.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def project(layer: nn.Linear, x: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows d"]:
    """A linear layer as a convolution of pictures whose pixels are the rows.

    In float32 PyTorch multiplies matrices by MKL, which does not use all that some processors can; its convolutions do.
    """
    rows = x.numel() // layer.in_features
    if x.dtype != torch.float32 or rows % PICTURES:
        return nn.Linear.forward(layer, x)
    pictures = x.reshape(PICTURES, rows // PICTURES, 1, -1).permute(0, 3, 1, 2)
    out = conv2d(pictures, layer.weight[:, :, None, None], layer.bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def gelu(layer: GELU, x: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows d"]:
    """The approximation by a hyperbolic tangent, which is a sigmoid of twice its argument and faster as such."""
    x = layer.proj(x)
    if layer.approximate != "tanh":
        return nn.functional.gelu(x)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    twice = 2 * (2 / torch.pi) ** 0.5
    gate = torch.addcmul(wide.new_tensor(twice), wide, wide, value=0.044715 * twice).mul_(wide).sigmoid_()
    return gate.mul_(wide).type_as(x)


def gated(layer: GEGLU, x: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows d"]:
    """With one tensor less: the product takes the place of the gate."""
    hidden, gate = layer.proj(x).chunk(2, dim=-1)
    return nn.functional.gelu(gate).mul_(hidden)


def attend(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads m d"], v: Float[Tensor, "b heads m d"]
) -> Float[Tensor, "b n c"]:
    """Attention in at least float32, of which less is slower here; heads are side by side again.

    PyTorch's own is slow for many short sequences of few channels.
    """
    dtype = q.dtype
    q, k, v = (x.to(torch.promote_types(dtype, torch.float32)) for x in (q, k, v))
    if k.shape[2] > SHORT or q.shape[3] > NARROW:
        return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).to(dtype)
    out = q.new_empty(q.shape[0], q.shape[1], q.shape[3], q.shape[2])
    rows = max(SCORES // (q.shape[2] * k.shape[2]), 1)
    for queries, keys, values, part in zip(*(x.flatten(0, 1).split(rows) for x in (q, k, v, out)), strict=True):
        scores = torch.baddbmm(q.new_empty(()), keys, queries.mT, beta=0, alpha=q.shape[3] ** -0.5)
        torch.bmm(values.mT, scores.softmax(1), out=part)
    return out.flatten(1, 2).mT.contiguous().to(dtype)


def convolve_in_time(conv: nn.Conv3d, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b d g h w"]:
    """A convolution over frames as one over pictures of one column per pixel: for small batches PyTorch has no fast
    kernel of the former."""
    if conv.kernel_size[1:] != (1, 1) or conv.stride[1:] != (1, 1):
        return nn.Conv3d.forward(conv, x)
    out = conv2d(x.flatten(3), conv.weight[..., 0], conv.bias, (conv.stride[0], 1), (conv.padding[0], 0))
    return out.unflatten(3, x.shape[3:])


def convolve(
    conv: WanCausalConv3d, x: Float[Tensor, "b c f h w"], cache_x: Float[Tensor, "b c g h w"] | None = None
) -> Float[Tensor, "b d n p q"]:
    """A causal convolution as one over pictures, whose channels are those of all frames that the kernel covers.

    The volumes of a streamed decoder are small, and PyTorch convolves such on one thread without its fast kernels.
    Channels come last in memory, which suits few of them.
    """
    width, _, height, _, before, _ = conv._padding
    x = x.permute(0, 2, 3, 4, 1)
    if before and cache_x is not None:
        x = torch.cat([cache_x.permute(0, 2, 3, 4, 1), x], dim=1)
        before -= cache_x.shape[2]
    if before:
        x = pad(x, (0, 0, 0, 0, 0, 0, before, 0))
    taps, step = conv.kernel_size[0], conv.stride[0]
    frames = (x.shape[1] - taps) // step + 1
    seen = torch.cat([x[:, tap : tap + step * (frames - 1) + 1 : step] for tap in range(taps)], dim=-1)
    kernel = conv.weight.transpose(1, 2).flatten(1, 2)
    out = conv2d(seen.flatten(0, 1).permute(0, 3, 1, 2), kernel, conv.bias, conv.stride[1:], (height, width))
    return out.unflatten(0, (-1, frames)).transpose(1, 2)


def normalize(norm: WanRMS_norm, x: Tensor) -> Tensor:
    """What `torch.nn.functional.normalize` computes, which is slow over channels that are not the last dimension."""
    length = torch.linalg.vector_norm(x, dim=1 if norm.channel_first else -1, keepdim=True).clamp_min_(1e-12)
    return (x / length).mul_(norm.scale * norm.gamma).add_(norm.bias)


KERNELS = {
    nn.Linear: project,
    GELU: gelu,
    GEGLU: gated,
    nn.Conv3d: convolve_in_time,
    WanCausalConv3d: convolve,
    WanRMS_norm: normalize,
}
