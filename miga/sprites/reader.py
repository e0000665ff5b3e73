"""The reader: a small network that reads the state of the sprites world back from pixels.

It measures whether a generated clip shows what its caption says, and its features stand in for the large image
networks of VBench in the sprites suite. It is trained on rendered frames with the damage that generation and video
coding do (blur, noise, coarse chroma, VAE round trips), so that it reads generated frames as well as rendered ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from miga.sprites import world

WEIGHTS = Path(__file__).parent / "weights" / "reader.safetensors"
HEADS = {
    "shape": world.SHAPES,
    "colour": tuple(world.COLOURS),
    "background": tuple(world.BACKGROUNDS),
    "pattern": world.PATTERNS,
}
STILL = 5.0  # pixels: a shape that stays within this distance over a clip stands still


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class ReaderNetwork(nn.Module):
    """Frames (N, 3, 64, 64) in -1..1 -> features (N, 128), logits of each head, and the position (N, 2) in pixels.

    One attention map over a 16x16 grid finds the shape; what is pooled under it tells shape and colour, the mean over
    the frame tells background and pattern.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _block(3, 24, stride=2),
            _block(24, 48, stride=2),
            _block(48, width),
            _block(width, width, dilation=2),
            _block(width, width),
        )
        self.attention = nn.Conv2d(width, 1, 1)
        self.subject = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.scene = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(2 * width, len(values)) for name, values in HEADS.items()})
        self.offset = nn.Linear(width, 2)
        centres = (torch.arange(16) + 0.5) * 4
        grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
        self.register_buffer("grid", grid.reshape(256, 2), persistent=False)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        maps = self.trunk(frames)
        weights = self.attention(maps).flatten(1).softmax(dim=1)
        under = torch.einsum("np,ncp->nc", weights, maps.flatten(2))
        features = torch.cat([self.subject(under), self.scene(maps.mean(dim=(2, 3)))], dim=1)
        position = weights @ self.grid + self.offset(under)
        return features, {name: head(features) for name, head in self.heads.items()}, position


@dataclass(frozen=True)
class Reading:
    """What N frames show: indices into the names of `HEADS`, positions in pixels of a 64x64 frame, confidence 0..1."""

    shape: np.ndarray
    colour: np.ndarray
    background: np.ndarray
    pattern: np.ndarray
    x: np.ndarray
    y: np.ndarray
    confidence: np.ndarray  # probability of the least certain of shape, colour and background

    def names(self, head: str) -> list[str]:
        """The values of one head ("shape", "colour", "background", "pattern") in words, frame by frame."""
        return [HEADS[head][i] for i in getattr(self, head)]


class Reader:
    """The trained network on uint8 frames (N, height, width, 3); frames of another size are resized to 64x64."""

    def __init__(self, network: ReaderNetwork, device: str | torch.device = "cpu", batch: int = 256) -> None:
        self.network = network.eval().to(device)
        self.device, self.batch = torch.device(device), batch

    @classmethod
    def load(cls, path: Path = WEIGHTS, device: str | torch.device = "cpu") -> Reader:
        network = ReaderNetwork()
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()}, strict=False)
        return cls(network, device)

    @torch.no_grad()
    def _run(self, frames: torch.Tensor | np.ndarray) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        frames = torch.as_tensor(frames)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
            raise ValueError(f"expected uint8 frames (N, height, width, 3), got {frames.dtype} {tuple(frames.shape)}")
        parts = [self.network(self._prepare(part)) for part in frames.split(self.batch)]
        features, logits, places = zip(*parts, strict=True)
        joined = {name: torch.cat([part[name] for part in logits]).cpu() for name in HEADS}
        return torch.cat(features).cpu(), joined, torch.cat(places).cpu()

    def _prepare(self, frames: torch.Tensor) -> torch.Tensor:
        images = frames.to(self.device).movedim(-1, 1).float() / 127.5 - 1
        if images.shape[-2:] != (world.SIZE, world.SIZE):
            images = F.interpolate(images, (world.SIZE, world.SIZE), mode="bilinear", antialias=True)
        return images

    def features(self, frames: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Penultimate features (N, 128), float32, non-negative: the first 64 of the shape, the others of the scene."""
        return self._run(frames)[0]

    def read(self, frames: torch.Tensor | np.ndarray) -> Reading:
        """The state of each frame."""
        _, logits, places = self._run(frames)
        chances = {name: value.softmax(dim=1).max(dim=1) for name, value in logits.items()}
        sure = torch.stack([chances[name].values for name in ("shape", "colour", "background")]).amin(dim=0)
        indices = {name: chances[name].indices.numpy() for name in HEADS}
        return Reading(**indices, x=places[:, 0].numpy(), y=places[:, 1].numpy(), confidence=sure.numpy())


class Once(Reader):
    """Reads frames once, however many ask for them in a row: one pass over a video has several looks at a chunk."""

    _last: tuple = (None, None)

    def _run(self, frames: torch.Tensor | np.ndarray) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        if self._last[0] is not frames:
            self._last = frames, super()._run(frames)
        return self._last[1]


def subject_features(device: torch.device):
    """Image features by which methods judge frames: the reader's of the shape, (n, height, width, 3) -> (n, 64)."""
    read = Reader.load(device=device).features
    return lambda frames: read(frames)[:, :64]


@lru_cache(maxsize=1)
def shipped_reader() -> Reader:
    """The reader with the weights of this repository, loaded once."""
    return Reader.load()


def motion_of(x: np.ndarray, y: np.ndarray) -> str:
    """Name the motion of one clip from its positions (T,): one of `world.MOTIONS`.

    Still: both ranges are small. Bouncing: it moves along both axes. Otherwise the direction from the first position
    to the farthest one, so a reflection at the border near the end of the clip does not change the answer.
    """
    # a median over three frames drops single misread frames
    x, y = (np.median(np.stack([np.r_[v[:1], v[:-1]], v, np.r_[v[1:], v[-1:]]]), axis=0) for v in (x, y))
    range_x, range_y = np.ptp(x), np.ptp(y)
    if max(range_x, range_y) < STILL:
        return "still"
    if min(range_x, range_y) > 0.4 * max(range_x, range_y):
        return "bouncing"
    along, names = (x, ("left", "right")) if range_x > range_y else (y, ("up", "down"))
    farthest = along[np.abs(along - along[0]).argmax()] - along[0]
    return names[int(farthest > 0)]


def damage(frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Spoil frames (N, 3, 64, 64) in -1..1 the way that generation and video coding do; every frame differently."""
    count = len(frames)

    def amount(limit: float) -> torch.Tensor:
        """Strength of one kind of damage: none for half of the frames, up to `limit` for the others."""
        draw = torch.rand(count, 1, 1, 1, generator=generator) * 2 - 1
        return draw.clamp(min=0).to(frames) * limit

    soft = F.avg_pool2d(F.pad(frames, (1, 1, 1, 1), mode="replicate"), 3, 1)
    frames = torch.lerp(frames, soft, amount(1.0))
    coarse = F.interpolate(F.avg_pool2d(frames, 2), scale_factor=2)
    grey, coarse_grey = frames.mean(dim=1, keepdim=True), coarse.mean(dim=1, keepdim=True)
    frames = torch.lerp(frames, grey + coarse - coarse_grey, amount(1.0))  # colour at half resolution
    blocks = F.interpolate(F.avg_pool2d(frames, 4), scale_factor=4)
    frames = torch.lerp(frames, blocks, amount(0.4))
    frames = frames + torch.randn(frames.shape, generator=generator).to(frames) * amount(0.12)
    shift = torch.randn(count, 3, 1, 1, generator=generator).to(frames) * amount(0.08)
    return (frames + shift).clamp(-1, 1)
