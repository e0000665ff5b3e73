"""The networks that a suite's metrics look through, by name."""

import hashlib

import torch

from eval.vbench.score import Backbones


def load(name: str) -> Backbones:
    return {"sprites": sprites, "vbench": vbench}[name]()


def sprites() -> Backbones:
    """The reader's features, of the shape as subject and of the scene as background, and the sprites interpolator."""
    from miga.sprites import interpolator, reader

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    read = reader.Reader.load(device=device).features
    weights = reader.WEIGHTS.read_bytes() + interpolator.WEIGHTS.read_bytes()
    return Backbones(
        protocol="sprites",
        version=hashlib.sha256(weights).hexdigest()[:12],
        subject=lambda frames: read(frames)[:, :64],
        background=lambda frames: read(frames)[:, 64:],
        interpolate=interpolator.Interpolator.load(device=device),
        device=device,
    )


def vbench() -> Backbones:
    """VBench's own networks, with the weights where its package keeps them."""
    from eval.vbench import backbones

    return backbones.load()
