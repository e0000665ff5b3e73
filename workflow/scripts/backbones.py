"""The networks that a suite's metrics look through, by name."""

import hashlib
from collections.abc import Collection

import torch

from eval.vbench.score import Backbones


def load(name: str, metrics: Collection[str]) -> Backbones:
    """The networks of a protocol, as far as these metrics look through them."""
    return {"sprites": sprites, "vbench": vbench}[name](metrics)


def sprites(metrics: Collection[str]) -> Backbones:
    """The reader's features, of the shape as subject and of the scene as background, and the sprites interpolator."""
    from miga.sprites import interpolator, reader
    from miga.sprites.metrics import looks

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sprites_reader = reader.Reader.load(device=device)
    read = sprites_reader.features
    weights = reader.WEIGHTS.read_bytes() + interpolator.WEIGHTS.read_bytes()
    return Backbones(
        protocol="sprites",
        version=hashlib.sha256(weights).hexdigest()[:12],
        subject=lambda frames: read(frames)[:, :64],
        background=lambda frames: read(frames)[:, 64:],
        interpolate=interpolator.Interpolator.load(device=device),
        device=device,
        looks=looks(sprites_reader),
    )


def vbench(metrics: Collection[str]) -> Backbones:
    """VBench's own networks, with the weights where its package keeps them."""
    from eval.vbench import backbones

    return backbones.load(metrics=metrics)
