"""What VBench's networks have in common: files of weights, batches, and pre-norm transformer blocks as functions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

Frames = UInt8[Tensor, "n height width 3"]
Weights = dict[str, Tensor]


def checkpoint(path: Path) -> Weights:
    """Tensors of a TorchScript archive (CLIP's file) or of a pickle (the others)."""
    try:
        return torch.jit.load(str(path), map_location="cpu").state_dict()
    except RuntimeError:
        pass  # no TorchScript archive
    try:
        data = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_TensorsOnly)
        data = next((data[key] for key in ("state_dict", "params") if key in data), data)
        return {name: tensor for name, tensor in data.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # torch raises errors of many kinds for files that are no checkpoints
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: not a file of weights, or a damaged one ({reason})") from None


class _TensorsOnly:
    """A pickle module for torch.load that rebuilds tensors and runs nothing else of the file.

    AMT's file also holds its training configuration, which `weights_only=True` refuses; here it becomes placeholders.
    """

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str):
            storage = module in ("torch", "torch.storage") and name.endswith("Storage")
            rebuild = module == "torch._utils" and name.startswith("_rebuild_")
            if storage or rebuild or (module, name) == ("collections", "OrderedDict"):
                return super().find_class(module, name)
            return _Placeholder

    @classmethod
    def load(cls, file, **options):
        return cls.Unpickler(file, **options).load()


class _Placeholder(dict):
    """Stands for an object of a class that is not needed; takes any arguments, state, keys and items."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __setstate__(self, state) -> None:
        pass

    def append(self, item) -> None:
        pass

    def extend(self, items) -> None:
        pass


def in_batches(size: int) -> Callable:
    """Run a function of frames on `size` of them at a time, in single precision throughout."""

    def wrap(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @torch.inference_mode()
        def batched(*frames: Frames) -> Tensor:
            with torch.backends.cudnn.flags(allow_tf32=False):
                return torch.cat([function(*part) for part in zip(*(f.split(size) for f in frames), strict=True)])

        return batched

    return wrap


def blocks(vit: Weights, tokens: Float[Tensor, "n tokens d"], heads: int, eps: float, activation: Callable) -> Tensor:
    """The class token (n, d) after pre-norm transformer blocks; the last block works for that token alone."""
    depth = sum(name.endswith(".qkv.weight") for name in vit)
    for i in range(depth):
        normed = norm(vit, f"{i}.norm1", tokens, eps)
        if i == depth - 1:
            tokens = tokens[:, :1]
        tokens = tokens + attention(vit, i, normed, tokens.shape[1], heads)
        hidden = activation(linear(vit, f"{i}.up", norm(vit, f"{i}.norm2", tokens, eps)))
        tokens = tokens + linear(vit, f"{i}.down", hidden)
    return tokens[:, 0]


def attention(vit: Weights, i: int, tokens: Float[Tensor, "n tokens d"], queries: int, heads: int) -> Tensor:
    """What the first `queries` tokens gather from all."""
    n, _, width = tokens.shape
    weight, bias = vit[f"{i}.qkv.weight"], vit[f"{i}.qkv.bias"]
    q = F.linear(tokens[:, :queries], weight[:width], bias[:width])
    k, v = F.linear(tokens, weight[width:], bias[width:]).chunk(2, -1)
    q, k, v = (x.reshape(n, -1, heads, width // heads).transpose(1, 2) for x in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, queries, width)
    return linear(vit, f"{i}.out", mixed)


def named(vit: Weights, names: dict[str, str]) -> Weights:
    """The same tensors, weight and bias of each layer under our names: ours -> theirs, without those suffixes."""
    parts = ((f"{ours}.{part}", f"{theirs}.{part}") for ours, theirs in names.items() for part in ("weight", "bias"))
    return {ours: vit[theirs] for ours, theirs in parts}


def linear(vit: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, vit[f"{name}.weight"], vit[f"{name}.bias"])


def norm(vit: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], vit[f"{name}.weight"], vit[f"{name}.bias"], eps)


def quick_gelu(x: Tensor) -> Tensor:
    """The activation of OpenAI's CLIP."""
    return x * torch.sigmoid(1.702 * x)
