"""RAFT, the network of VBench's dynamic degree: how far each pixel moves from one frame to the next.

Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020; the large network as its authors
trained it ("things"), from their own file of weights. Features of both frames at an eighth of the size are compared all
with all; a recurrent unit looks the comparison up around where each pixel is thought to have gone and corrects that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eval.vbench.networks import Frames, Weights, checkpoint, in_batches
from eval.video import VideoError

ITERATIONS = 20
LEVELS, RADIUS = 4, 4  # of the comparison: sizes of the second frame, places looked up on each side of a guess
STRIDE = 8  # pixels of a feature
HIDDEN = 128
SMALLEST = STRIDE * 2**LEVELS  # pixels of a side, padded
PREFIX = "module."  # of every name in the file: its authors saved the network wrapped for several GPUs

Flow = Float[Tensor, "n 2 height width"]  # x and y in pixels
Images = Float[Tensor, "n c h w"]


def optical_flow(path: Path, device: torch.device) -> Callable[[Frames, Frames], Flow]:
    """(before, after) -> the flow between them; both are padded to multiples of 8 by their border, and so is the flow.

    `VideoError` for frames that are too small: its comparison is halved until two places are left.
    """
    raft = {name.removeprefix(PREFIX): tensor.float().to(device) for name, tensor in checkpoint(path).items()}
    if "update_block.gru.convz1.weight" not in raft:
        raise ValueError(f"{path}: has no update_block.gru.convz1: this is not the file that VBench uses")

    @in_batches(1)
    def between(before: Frames, after: Frames) -> Flow:
        first, second = (padded(frames.permute(0, 3, 1, 2).float()) for frames in (before, after))
        if min(first.shape[2:]) < SMALLEST:
            raise VideoError(f"{before.shape[2]}x{before.shape[1]} pixels: RAFT needs at least {SMALLEST} on each side")
        return flow(raft, 2 * first / 255 - 1, 2 * second / 255 - 1)

    return between


def padded(images: Images) -> Images:
    """Both sides multiples of 8: the border repeated on each side, left and top the smaller half."""
    tall, wide = (-side % STRIDE for side in images.shape[2:])
    return F.pad(images, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2), mode="replicate")


def flow(raft: Weights, first: Images, second: Images, iterations: int = ITERATIONS) -> Flow:
    """The flow from the first images to the second, RGB in -1..1, sides multiples of 8 of at least 128 pixels."""
    here, there = (_encoder(raft, "fnet", images, F.instance_norm) for images in (first, second))
    compared = _compared(here, there)
    hidden, context = _encoder(raft, "cnet", first, None).split(HIDDEN, 1)
    hidden, context = hidden.tanh(), context.relu()
    start = _grid(here)
    places = start
    for _ in range(iterations):
        moved = places - start
        seen = _motion(raft, _looked_up(compared, places), moved)
        hidden = _recurrent(raft, hidden, torch.cat([context, seen], 1))
        places = places + _two(raft, "update_block.flow_head.conv1", "update_block.flow_head.conv2", hidden)
    weights = 0.25 * _two(raft, "update_block.mask.0", "update_block.mask.2", hidden)
    return _enlarged(places - start, weights)


def _conv(raft: Weights, name: str, x: Images, stride: int = 1) -> Images:
    """A convolution that keeps the size, or halves it with a stride of 2."""
    weight = raft[f"{name}.weight"]
    return F.conv2d(x, weight, raft[f"{name}.bias"], stride, tuple(side // 2 for side in weight.shape[2:]))


def _two(raft: Weights, first: str, second: str, x: Images) -> Images:
    return _conv(raft, second, F.relu(_conv(raft, first, x)))


def _encoder(raft: Weights, net: str, images: Images, instance: Callable | None) -> Images:
    """256 features at an eighth of the size: three pairs of residual blocks, normalised per image or as trained."""

    def normed(x: Images, name: str) -> Images:
        if instance:
            return instance(x)
        mean, var, weight, bias = (raft[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias)

    def block(x: Images, name: str, stride: int) -> Images:
        inner = F.relu(normed(_conv(raft, f"{name}.conv1", x, stride), f"{name}.norm1"))
        inner = F.relu(normed(_conv(raft, f"{name}.conv2", inner), f"{name}.norm2"))
        if stride > 1:
            x = normed(_conv(raft, f"{name}.downsample.0", x, stride), f"{name}.downsample.1")
        return F.relu(x + inner)

    x = F.relu(normed(_conv(raft, f"{net}.conv1", images, 2), f"{net}.norm1"))
    for layer, stride in ((1, 1), (2, 2), (3, 2)):
        x = block(x, f"{net}.layer{layer}.0", stride)
        x = block(x, f"{net}.layer{layer}.1", 1)
    return _conv(raft, f"{net}.conv2", x)


def _compared(here: Images, there: Images) -> list[Images]:
    """Every feature of the first image with all of the second, (n h w, 1, h, w), at full size and halved thrice."""
    n, channels, height, width = here.shape
    product = here.flatten(2).transpose(1, 2) @ there.flatten(2) / channels**0.5
    levels = [product.reshape(n * height * width, 1, height, width)]
    for _ in range(LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1], 2, 2))
    return levels


def _grid(images: Images) -> Flow:
    """The place (x, y) of every feature."""
    height, width = images.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).to(images)[None].expand(len(images), -1, -1, -1)


def _looked_up(compared: list[Images], places: Flow) -> Images:
    """The comparison in a square of 9x9 around each place, at all levels; its first index goes along x."""
    n, _, height, width = places.shape
    around = torch.arange(-RADIUS, RADIUS + 1, device=places.device, dtype=places.dtype)
    square = torch.stack(torch.meshgrid(around, around, indexing="ij"), -1)
    centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = []
    for level, product in enumerate(compared):
        size = torch.tensor(product.shape[:1:-1], device=places.device)  # width, height
        where = 2 * (centres / 2**level + square) / (size - 1) - 1
        found.append(F.grid_sample(product, where, align_corners=True).reshape(n, height, width, -1))
    return torch.cat(found, -1).permute(0, 3, 1, 2)


def _motion(raft: Weights, looked_up: Images, moved: Flow) -> Images:
    part = "update_block.encoder"
    seen = F.relu(_two(raft, f"{part}.convc1", f"{part}.convc2", looked_up))
    flow = F.relu(_two(raft, f"{part}.convf1", f"{part}.convf2", moved))
    return torch.cat([F.relu(_conv(raft, f"{part}.conv", torch.cat([seen, flow], 1))), moved], 1)


def _recurrent(raft: Weights, hidden: Images, x: Images) -> Images:
    """A gated recurrent unit along the rows, then one along the columns."""
    for axis in (1, 2):
        both = torch.cat([hidden, x], 1)
        update, reset = (_conv(raft, f"update_block.gru.conv{gate}{axis}", both).sigmoid() for gate in "zr")
        proposed = _conv(raft, f"update_block.gru.convq{axis}", torch.cat([reset * hidden, x], 1)).tanh()
        hidden = (1 - update) * hidden + update * proposed
    return hidden


def _enlarged(moved: Flow, weights: Images) -> Flow:
    """Eight times the size: every pixel takes a weighted mean of the 3x3 coarse vectors around it."""
    n, _, height, width = moved.shape
    weights = weights.reshape(n, 1, 9, STRIDE, STRIDE, height, width).softmax(2)
    around = F.unfold(STRIDE * moved, 3, padding=1).reshape(n, 2, 9, 1, 1, height, width)
    return (weights * around).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(n, 2, STRIDE * height, STRIDE * width)
