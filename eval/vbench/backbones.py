"""VBench's own networks and preprocessing, without its package and without torchvision.

Weights lie where the package looks for them (`weights.py`):

    dino_model/dino_vitbase16_pretrain.pth   DINO ViT-B/16 (Caron et al. 2021), subject consistency
    clip_model/ViT-B-32.pt                   CLIP ViT-B/32 (Radford et al. 2021), background consistency
    amt_model/amt-s.pth                      AMT-S (Li et al. 2023), motion smoothness

and, only where their dimensions are asked for,

    pyiqa_model/musiq_spaq_ckpt-358bb6af.pth MUSIQ (Ke et al. 2021), imaging quality
    clip_model/ViT-L-14.pt                   CLIP ViT-L/14, and
    aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth  a linear head on it (LAION), aesthetic quality
    raft_model/models/raft-things.pth        RAFT (Teed and Deng 2020), dynamic degree

The code of AMT is non-commercial (CC BY-NC 4.0) and is not part of this project: it is read from an installed `vbench`
wheel (`pip install --no-deps vbench==0.1.5`), which need not be importable as a whole.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from jaxtyping import Float
from torch import Tensor

from eval.parsing import device_of
from eval.vbench import STANDARD
from eval.vbench.metrics import parts_of
from eval.vbench.musiq import imaging_quality
from eval.vbench.networks import Frames, blocks, checkpoint, in_batches, norm, quick_gelu
from eval.vbench.raft import optical_flow
from eval.vbench.score import PIXELS, Backbones
from eval.vbench.vision import (
    CLIP,
    CLIP_NAMES,
    DINO_NAMES,
    IMAGENET,
    cropped,
    embedded,
    named,
    normalised,
    positions_on,
    resized,
)
from eval.vbench.weights import CLIP_L, LINEAR, MUSIQ, RAFT, digest, located
from eval.video import VideoError

BATCH = 8  # frames at once through DINO and CLIP
PAIRS = {"cuda": 4}  # pairs of frames at once through AMT; elsewhere 1: as fast on a CPU, in a third of the memory
SMALLEST = 49  # pixels of each side that AMT needs: 64 after padding, of which its pyramid leaves one


def load(
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    package: str | Path | None = None,
    metrics: Collection[str] = STANDARD,
) -> Backbones:
    """The backbones of the protocol "vbench" in float32, on CUDA where it is there; networks for these metrics only.

    weights: folder laid out as the package's cache. package: folder that holds the installed `vbench`, default this
    environment's; only motion smoothness needs it. The version names the digests of the first three files, whichever of
    them are used; the other dimensions have versions of their own. `ValueError` lists everything that is missing.
    """
    device = device_of(device)
    parts = parts_of(metrics)
    looks, versions, flow = {}, {}, None
    if "imaging" in parts:
        (path,) = located(weights, [MUSIQ])
        looks["imaging"], versions["imaging"] = imaging_quality(path, device), version(path)
    if "aesthetic" in parts:
        paths = located(weights, [CLIP_L, LINEAR])
        looks["aesthetic"], versions["aesthetic"] = aesthetic_quality(*paths, device), version(*paths)
    if "flow" in parts:
        (path,) = located(weights, [RAFT])
        flow, versions["flow"] = optical_flow(path, device), version(path)
    # what looks at pixels alone, or through those above, needs none of the first three
    if not {part for part in parts - versions.keys() - PIXELS if not callable(part)}:
        return Backbones("vbench", "-", None, None, None, device, looks, flow, versions)
    dino, clip, amt = located(weights)
    code = _package(package) if "interpolation" in parts else None
    return Backbones(
        protocol="vbench",
        version=version(dino, clip, amt),
        subject=subject_features(dino, device) if "subject" in parts else None,
        background=background_features(clip, device) if "background" in parts else None,
        interpolate=interpolator(amt, code, device) if code else None,
        device=device,
        looks=looks,
        flow=flow,
        versions=versions,
    )


def version(*paths: Path) -> str:
    """Of networks, by the files that they are read from."""
    return hashlib.sha256("".join(map(digest, paths)).encode()).hexdigest()[:12]


# --- features ---------------------------------------------------------------------------------------------------------


def subject_features(path: Path, device: torch.device) -> Callable[[Frames], Float[Tensor, "n 768"]]:
    """DINO's class token of whole frames: the short side resized to 224, no crop, the patch grid floored."""
    vit = named(checkpoint(path), DINO_NAMES, path)
    vit = {name: tensor.float().to(device) for name, tensor in vit.items()}

    @in_batches(BATCH)
    def features(frames: Frames) -> Tensor:
        images = normalised(resized(frames, "bilinear"), *IMAGENET)
        grid = [side // vit["patch.weight"].shape[-1] for side in images.shape[2:]]
        tokens = embedded(vit, images, positions_on(vit["positions"], *grid))
        token = blocks(vit, tokens, heads=12, eps=1e-6, activation=F.gelu)
        return norm(vit, "final", token, 1e-6)

    return features


def background_features(path: Path, device: torch.device) -> Callable[[Frames], Float[Tensor, "n 512"]]:
    """CLIP's image embedding of the central square, from weights rounded to half precision, computed in single.

    That is what OpenAI's package computes on a CPU; on CUDA it computes in half precision, which differs by 1e-4.
    """
    vit = named(checkpoint(path), CLIP_NAMES, path)
    vit = {name: _clip_rounded(name, tensor).to(device) for name, tensor in vit.items()}
    heads = vit["patch.weight"].shape[0] // 64

    @in_batches(BATCH)
    def features(frames: Frames) -> Tensor:
        images = normalised(cropped(resized(frames, "bicubic")), *CLIP)
        tokens = norm(vit, "first", embedded(vit, images, vit["positions"]), 1e-5)
        token = blocks(vit, tokens, heads, eps=1e-5, activation=quick_gelu)
        return norm(vit, "final", token, 1e-5) @ vit["projection"]

    return features


def aesthetic_quality(clip: Path, linear: Path, device: torch.device) -> Callable[[Frames], Float[Tensor, "n 1"]]:
    """What a linear head makes of CLIP's embeddings of unit length, about 0 .. 10."""
    embed, head = background_features(clip, device), checkpoint(linear)
    if missing := {"weight", "bias"} - head.keys():
        raise ValueError(f"{linear}: has no {', '.join(sorted(missing))}: this is not the file that VBench uses")
    weight, bias = (head[name].float().to(device) for name in ("weight", "bias"))

    def score(frames: Frames) -> Tensor:
        return F.linear(F.normalize(embed(frames), dim=-1), weight, bias)

    return score


def _clip_rounded(name: str, tensor: Tensor) -> Tensor:
    """OpenAI's loader rounds convolutions, linear layers and the projection to half precision, and nothing else."""
    halved = {"patch", "projection", "qkv", "out", "up", "down"} & set(name.split("."))
    return tensor.half().float() if halved else tensor.float()


# --- interpolation ----------------------------------------------------------------------------------------------------


def interpolator(path: Path, package: Path, device: torch.device) -> Callable[[Frames, Frames], Frames]:
    """AMT-S: the frame half-way between two frames, cut (not rounded) to whole grey levels as VBench does."""
    network = amt(package)
    network.load_state_dict(checkpoint(path))
    network = network.eval().to(device)

    @in_batches(PAIRS.get(device.type, 1))
    def interpolate(before: Frames, after: Frames) -> Frames:
        first, second = (frames.permute(0, 3, 1, 2).float() / 255 for frames in (before, after))
        height, width = first.shape[2:]
        if min(height, width) < SMALLEST:
            raise VideoError(too_small(height, width))
        tall, wide = -height % 16, -width % 16
        padding = (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)
        first, second = (F.pad(frames, padding, mode="replicate") for frames in (first, second))
        halfway = torch.full((len(first), 1, 1, 1), 0.5, device=device)
        middle = network(first, second, halfway, scale_factor=1.0, eval=True)["imgt_pred"]
        middle = middle[..., tall // 2 : tall // 2 + height, wide // 2 : wide // 2 + width]
        return (middle * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    return interpolate


def too_small(height: int, width: int) -> str:
    return f"{width}x{height} pixels: VBench's interpolator needs at least {SMALLEST} on each side"


def amt(package: Path) -> torch.nn.Module:
    """AMT-S as the wheel configures it, with random weights."""
    with _only_amt(package):
        config = yaml.safe_load((package / "third_party/amt/cfgs/AMT-S.yaml").read_text())["network"]
        module, name = config["name"].rsplit(".", 1)
        module = module if module.startswith("vbench.") else f"vbench.third_party.amt.{module}"
        return getattr(importlib.import_module(module), name)(**config["params"])


def _package(package: str | Path | None) -> Path:
    if package:
        return Path(package)
    found = importlib.util.find_spec("vbench")  # finds the package without importing it
    if not found or not found.submodule_search_locations:
        raise ValueError(
            "motion smoothness needs the code of AMT (non-commercial) from the vbench wheel: "
            "pip install --no-deps vbench==0.1.5"
        )
    return Path(next(iter(found.submodule_search_locations)))


@contextmanager
def _only_amt(package: Path) -> Iterator[None]:
    """Import modules below vbench.third_party.amt without running the package's own imports (torchvision and more)."""
    names = ("vbench", "vbench.third_party", "vbench.third_party.amt")
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(package.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
