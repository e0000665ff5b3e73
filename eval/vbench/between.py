"""The networks that compare clips in VBench-Long's published commands, from their files (`weights.py`).

DINOv2 ViT-B/14 (Oquab et al. 2023) sees the subject: the short side becomes 256 pixels, then the central square of 224.
DreamSim (Fu et al. 2023) sees the background, by its ensemble: DINO ViT-B/16 and the vision transformers of OpenAI's
and of LAION's CLIP ViT-B/16, all with adapters of low rank, on whole frames squeezed to squares of 224 pixels. Both
resize bicubically with antialiasing, as torchvision does unless it is told otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from eval.vbench.backbones import BATCH, version
from eval.vbench.networks import Frames, Weights, blocks, checkpoint, in_batches, norm, quick_gelu
from eval.vbench.score import Backbones
from eval.vbench.vision import (
    CLIP,
    DINO_NAMES,
    IMAGENET,
    SIDE,
    cropped,
    embedded,
    named,
    normalised,
    positions_on,
    resized,
)
from eval.vbench.weights import DINO, DINOV2, DREAMSIM, located

SHORT = 256  # pixels of the short side before DINOv2's crop
HEAD = 64  # numbers per attention head
SCALED = {"out": "ls1", "down": "ls2"}  # last layers of DINOv2's branches, and its names for the branches' scales
CLIP_NAMES = DINO_NAMES | {"first": "pos_drop", "projection": "proj"}  # DreamSim's files have CLIP in DINO's layout


@dataclass(frozen=True)
class Fused(Backbones):
    """Backbones for VBench-Long as its published commands have it.

    between: part -> the network that compares the first frames of clips: frames -> features (n, d).
    """

    between: Mapping[str, Callable[[Frames], Float[Tensor, "n d"]]] = field(default_factory=dict)


def fused(backbones: Backbones, metrics: Collection[str], weights: str | Path | None = None) -> Fused:
    """VBench's backbones with the networks between clips, of these metrics; `ValueError` lists what is missing."""
    between, versions = {}, {}
    if "subject_consistency" in metrics:
        paths = located(weights, [DINOV2])
        between["subject"], versions["subject"] = dinov2(*paths, backbones.device), version(*paths)
    if "background_consistency" in metrics:
        paths = located(weights, [DINO, *DREAMSIM])
        between["background"], versions["background"] = dreamsim(*paths, backbones.device), version(*paths)
    both = {part: f"{backbones.version}+{found}" for part, found in versions.items()}
    fields = vars(backbones) | {"versions": {**backbones.versions, **both}}
    return Fused(**fields, between=between)


def dinov2(path: Path, device: torch.device) -> Callable[[Frames], Float[Tensor, "n 768"]]:
    """Its class token of the central square."""
    whole = checkpoint(path)
    vit = named(whole, DINO_NAMES, path)
    for name in list(vit):
        block, layer, part = (*name.split("."), "", "")[:3]
        if layer not in SCALED:
            continue
        scale = f"blocks.{block}.{SCALED[layer]}.gamma"
        if scale not in whole:
            raise ValueError(f"{path}: has no {scale}: this is not DINOv2")
        vit[name] = whole[scale][:, None] * vit[name] if part == "weight" else whole[scale] * vit[name]
    vit = _on(vit, device)

    @in_batches(BATCH)
    def features(frames: Frames) -> Tensor:
        images = normalised(cropped(resized(frames, "bicubic", SHORT, antialias=True)), *IMAGENET)
        return norm(vit, "final", _class_token(vit, images, 1e-6, F.gelu), 1e-6)

    return features


def dreamsim(
    dino: Path, clip: Path, open_clip: Path, adapters: Path, config: Path, device: torch.device
) -> Callable[[Frames], Float[Tensor, "n 1792"]]:
    """DreamSim's embedding: what its three networks see, side by side, less the mean of the numbers of a frame."""
    layouts = ((dino, DINO_NAMES), (clip, CLIP_NAMES), (open_clip, CLIP_NAMES))
    vits = [named(checkpoint(path), names, path) for path, names in layouts]
    adapt(vits, adapters, config)
    first, second, third = (_on(vit, device) for vit in vits)

    def joint(vit: Weights, images: Tensor, activation: Callable) -> Tensor:
        return norm(vit, "final", _class_token(vit, images, 1e-5, activation), 1e-5) @ vit["projection"]

    @in_batches(BATCH)
    def features(frames: Frames) -> Tensor:
        images = frames.permute(0, 3, 1, 2).float()
        images = F.interpolate(images, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
        plain, like_clip = normalised(images, *IMAGENET), normalised(images, *CLIP)
        seen = [
            _class_token(first, plain, 1e-6, F.gelu),
            joint(second, like_clip, quick_gelu),
            joint(third, like_clip, F.gelu),
        ]
        joined = torch.cat(seen, -1)
        return joined - joined.mean(-1, keepdim=True)

    return features


def adapt(vits: list[Weights], adapters: Path, config: Path) -> None:
    """Add the adapters of low rank to the layers that they adapt: those of queries, keys and values."""
    try:
        alpha = float(json.loads(config.read_text())["lora_alpha"])
    except (ValueError, TypeError, LookupError):
        raise ValueError(f"{config}: says no lora_alpha: this is not DreamSim's ensemble") from None
    try:
        found = load_file(adapters)
    except SafetensorError as error:
        raise ValueError(f"{adapters}: not a file of weights, or a damaged one ({error})") from None
    for number, vit in enumerate(vits):
        for name in [name for name in vit if name.endswith(".qkv.weight")]:
            theirs = f"base_model.model.extractor_list.{number}.model.blocks.{name.split('.')[0]}.attn.qkv.lora_"
            if missing := {f"{theirs}{part}.weight" for part in "AB"} - found.keys():
                raise ValueError(f"{adapters}: has no {min(missing)}: this is not DreamSim's ensemble")
            down, up = (found[f"{theirs}{part}.weight"].float() for part in "AB")
            vit[name] = vit[name].float() + alpha / len(down) * up @ down


def _class_token(vit: Weights, images: Float[Tensor, "n 3 224 224"], eps: float, activation: Callable) -> Tensor:
    grid = SIDE // vit["patch.weight"].shape[-1]
    tokens = embedded(vit, images, positions_on(vit["positions"], grid, grid))
    if "first.weight" in vit:
        tokens = norm(vit, "first", tokens, eps)
    return blocks(vit, tokens, vit["patch.weight"].shape[0] // HEAD, eps, activation)


def _on(vit: Weights, device: torch.device) -> Weights:
    return {name: tensor.float().to(device) for name, tensor in vit.items()}
