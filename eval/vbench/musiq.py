"""MUSIQ, the network of VBench's imaging quality: how good a picture looks at three scales at once.

Ke et al., MUSIQ: Multi-scale Image Quality Transformer, ICCV 2021. Written from a description of its behaviour in the
port that VBench runs; the file of weights is that port's (trained on SPAQ). A picture is cut into patches of 32 pixels
at two reduced sizes and at its own; each patch becomes a token, and a transformer reads the quality off them all.
Reduced sizes are padded with masked patches there; they change no score, so here they are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from eval.vbench.networks import Frames, Weights, blocks, checkpoint, in_batches, linear, named, norm

LARGEST = 512  # pixels of the longer side; larger frames are reduced first
LONGER = (224, 384)  # pixels of the longer side at the two other scales, up or down
PATCH = 32  # pixels
GRID = 10  # positions per side, whatever the size
HEADS = 6

_ENCODER = "transformer_encoder"
_BLOCK = f"{_ENCODER}.transformer.encoderblock_"
_LAYERS = {"norm1": "norm1", "out": "attention.out", "norm2": "norm2", "up": "mlp.fc1", "down": "mlp.fc2"}


class Tokens(NamedTuple):
    """The patches of one picture: their pixels in -1..1, their place in the grid (0..99) and their scale (0, 1, 2)."""

    patches: Float[Tensor, "n 3 32 32"]
    position: Int[Tensor, " n"]
    scale: Int[Tensor, " n"]


def imaging_quality(path: Path, device: torch.device) -> Callable[[Frames], Float[Tensor, "n 1"]]:
    """MUSIQ's score of each frame, about 0 .. 100, from the file of weights in VBench's cache."""
    return scorer(checkpoint(path), device)


def scorer(weights: Weights, device: torch.device) -> Callable[[Frames], Float[Tensor, "n 1"]]:
    try:
        musiq = {name: tensor.float().to(device) for name, tensor in _arranged(weights).items()}
    except KeyError as error:
        raise ValueError(f"the weights of imaging quality have no {error.args[0]}: not the file VBench uses") from None

    @in_batches(1)
    def score(frames: Frames) -> Tensor:
        patches, position, scale = tokens(frames)
        seen = linear(musiq, "embedding", _stem(musiq, patches))
        seen = seen + musiq["positions"][position] + musiq["scales"][scale]
        seen = torch.cat([musiq["class"], seen])[None]
        token = blocks(musiq, seen, HEADS, eps=1e-6, activation=F.gelu)
        return linear(musiq, "head", norm(musiq, "final", token, 1e-6))

    return score


def _arranged(weights: Weights) -> Weights:
    """The tensors under the names that our transformer blocks use; convolutions standardised, once and for all."""
    depth = sum(name.startswith(_BLOCK) and name.endswith("norm1.weight") for name in weights)
    found = {name: _standardised(tensor) if tensor.ndim == 4 else tensor for name, tensor in weights.items()}
    found |= {
        "class": weights[f"{_ENCODER}.cls"][0],
        "positions": weights[f"{_ENCODER}.posembed_input.position_emb"][0],
        "scales": weights[f"{_ENCODER}.scaleembed_input.scale_emb"].reshape(len(LONGER) + 1, -1),
        **named(weights, {"final": f"{_ENCODER}.encoder_norm"}),
    }
    for i in range(depth):
        found |= named(weights, {f"{i}.{ours}": f"{_BLOCK}{i}.{theirs}" for ours, theirs in _LAYERS.items()})
        for part in ("weight", "bias"):
            own = (weights[f"{_BLOCK}{i}.attention.{name}.{part}"] for name in ("query", "key", "value"))
            found[f"{i}.qkv.{part}"] = torch.cat(tuple(own))
    return found


def _standardised(weight: Float[Tensor, "out in h w"]) -> Float[Tensor, "out in h w"]:
    """Each output channel with mean 0 and deviation 1."""
    flat = weight.float().flatten(1)
    return ((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + 1e-5)).reshape(weight.shape)


def _stem(musiq: Weights, patches: Float[Tensor, "n 3 32 32"]) -> Float[Tensor, "n 16384"]:
    """A small residual network on each patch alone: 8x8 places of 256 values, flattened with the values innermost."""

    def conv(x: Tensor, name: str, **options) -> Tensor:
        return F.conv2d(x, musiq[f"{name}.weight"], **options)

    def group(x: Tensor, name: str, eps: float = 1e-4) -> Tensor:
        return F.group_norm(x, 32, musiq[f"{name}.weight"], musiq[f"{name}.bias"], eps)

    x = conv(F.pad(patches, (2, 3, 2, 3)), "conv_root", stride=2)
    x = F.max_pool2d(F.pad(F.relu(group(x, "gn_root", 1e-6)), (0, 1, 0, 1)), 3, 2)
    inner = F.relu(group(conv(x, "block1.conv1"), "block1.gn1"))
    inner = F.relu(group(conv(inner, "block1.conv2", padding=1), "block1.gn2"))
    inner = group(conv(inner, "block1.conv3"), "block1.gn3")
    x = F.relu(inner + group(conv(x, "block1.conv_proj"), "block1.gn_proj"))
    return x.permute(0, 2, 3, 1).flatten(1)


def tokens(frame: Frames) -> Tokens:
    """The patches of one frame (1, height, width, 3): the two reduced or enlarged scales, then its own."""
    image = limited(frame.permute(0, 3, 1, 2).float()) / 255 * 2 - 1
    height, width = image.shape[2:]
    scales = []
    for longer in LONGER:
        ratio = longer / max(height, width)
        size = (round(height * ratio), round(width * ratio))
        scales.append(F.interpolate(image, size=size, mode="bicubic", align_corners=False))
    cut = [_patches(picture) for picture in (*scales, image)]
    return Tokens(
        torch.cat([patches for patches, _ in cut]),
        torch.cat([position for _, position in cut]),
        torch.cat([torch.full_like(position, i) for i, (_, position) in enumerate(cut)]),
    )


def limited(image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
    """The picture reduced, without antialiasing, to LARGEST pixels on its longer side, if it is larger."""
    height, width = image.shape[2:]
    if max(height, width) <= LARGEST:
        return image
    scale = LARGEST / max(height, width)
    return F.interpolate(image, size=(int(scale * height), int(scale * width)), mode="bilinear", align_corners=False)


def _patches(image: Float[Tensor, "1 3 h w"]) -> tuple[Float[Tensor, "n 3 32 32"], Int[Tensor, " n"]]:
    """Patches row by row, the picture centred in zeros (left and top get the smaller half), and where they lie."""
    tall, wide = (-side % PATCH for side in image.shape[2:])
    image = F.pad(image, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
    rows, columns = (side // PATCH for side in image.shape[2:])
    patches = image[0].unflatten(2, (columns, PATCH)).unflatten(1, (rows, PATCH)).permute(1, 3, 0, 2, 4).flatten(0, 1)
    row, column = (torch.arange(n, device=image.device) * GRID // n for n in (rows, columns))
    return patches, (row[:, None] * GRID + column).flatten()
