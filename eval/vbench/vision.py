"""What vision transformers of several authors share: their tensors under common names, and frames as images."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eval.vbench.networks import Frames, Weights

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIDE = 224  # pixels of the image that they see

# The transformers have the same blocks; these are their names for the same tensors.
_BLOCK = {"norm1": "norm1", "norm2": "norm2", "qkv": "attn.qkv", "out": "attn.proj", "up": "mlp.fc1", "down": "mlp.fc2"}
DINO_NAMES = {
    "patch": "patch_embed.proj", "class": "cls_token", "positions": "pos_embed", "final": "norm", "block": "blocks.{}",
    **_BLOCK,
}  # fmt: skip
CLIP_NAMES = {
    "patch": "visual.conv1", "class": "visual.class_embedding", "positions": "visual.positional_embedding",
    "first": "visual.ln_pre", "final": "visual.ln_post", "projection": "visual.proj",
    "block": "visual.transformer.resblocks.{}", "norm1": "ln_1", "norm2": "ln_2", "qkv": "attn.in_proj_",
    "out": "attn.out_proj", "up": "mlp.c_fc", "down": "mlp.c_proj",
}  # fmt: skip


def named(checkpoint: Weights, names: dict[str, str], path: Path) -> Weights:
    """The image transformer of a checkpoint under common names: "patch.weight", "3.qkv.bias", "positions", ..."""
    whole = {ours: theirs for ours, theirs in names.items() if ours not in (*_BLOCK, "block")}
    prefix = names["block"].split("{}")[0]
    depth = len({key.removeprefix(prefix).split(".")[0] for key in checkpoint if key.startswith(prefix)})
    for i in range(depth):
        whole |= {f"{i}.{ours}": f"{names['block'].format(i)}.{names[ours]}" for ours in _BLOCK}
    found: Weights = {}
    for ours, theirs in whole.items():
        if theirs in checkpoint:
            found[ours] = checkpoint[theirs]
        for part in ("weight", "bias"):
            key = f"{theirs}{part}" if theirs.endswith("_") else f"{theirs}.{part}"
            if key in checkpoint:
                found[f"{ours}.{part}"] = checkpoint[key]
        if not any(key.startswith(ours) for key in found):
            raise ValueError(f"{path}: has no {theirs}: this is not the file that VBench uses")
    return found


def embedded(vit: Weights, images: Float[Tensor, "n 3 h w"], positions: Tensor) -> Float[Tensor, "n tokens d"]:
    patch = vit["patch.weight"].shape[-1]
    patches = F.conv2d(images, vit["patch.weight"], vit.get("patch.bias"), stride=patch).flatten(2).transpose(1, 2)
    return torch.cat([vit["class"].reshape(1, 1, -1).expand(len(images), -1, -1), patches], 1) + positions


def positions_on(positions: Float[Tensor, "1 tokens d"], rows: int, columns: int) -> Float[Tensor, "1 grid d"]:
    """DINO's positions on another grid: bicubic, by factors that are a tenth of a patch too large."""
    side = math.isqrt(positions.shape[1] - 1)
    if rows == columns == side:
        return positions
    patches = positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = ((rows + 0.1) / side, (columns + 0.1) / side)
    patches = F.interpolate(patches, scale_factor=factors, mode="bicubic")
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], 1)


# --- frames to images -------------------------------------------------------------------------------------------------


def resized(frames: Frames, mode: str, short: int = SIDE, antialias: bool = False) -> Float[Tensor, "n 3 h w"]:
    """The short side becomes `short` pixels, in grey levels 0..255; nothing is clipped, as VBench resizes."""
    images = frames.permute(0, 3, 1, 2).float()
    now = min(images.shape[2:])
    size = [short if side == now else int(short * side / now) for side in images.shape[2:]]
    if size == list(images.shape[2:]):
        return images
    return F.interpolate(images, size=size, mode=mode, align_corners=False, antialias=antialias)


def cropped(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 224 224"]:
    top, left = (round((side - SIDE) / 2) for side in images.shape[2:])
    return images[..., top : top + SIDE, left : left + SIDE]


def normalised(images: Float[Tensor, "n 3 h w"], mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    mean, std = (torch.tensor(values, device=images.device).reshape(3, 1, 1) for values in (mean, std))
    return (images / 255 - mean) / std
