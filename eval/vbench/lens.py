"""The contract of backbones: through which networks the metrics of one pass see frames, and what those need.

[project.entry-points."miga.backbones"]
mine = "my_package:LENS"
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eval.benchmark import Need
from eval.registry import Registry

if TYPE_CHECKING:
    from eval.vbench.score import Backbones

LENSES = Registry("miga.backbones", "backbones")


@dataclass(frozen=True)
class Network:
    """What a part of the pass looks through, and what that costs.

    gflop: (height, width in pixels, frames per second) -> billions of operations per frame of the video.
    """

    name: str
    gflop: Callable[[int, int, float], float]


NONE = Network("no network", lambda *_: 0.0)


class Lens:
    """Backbones before they are loaded; what differs from these defaults is overridden.

    networks: part of the pass -> the network behind it, the same object where several share one. What is not there
    needs none.
    """

    gpu = True  # where there is one
    protocol: str  # of the scores that are seen through them
    networks: Mapping[str, Network] = {}

    def network(self, part: str | Callable | None) -> Network | None:
        """What a metric that reads this part looks through; None: through nothing."""
        return self.networks.get(part) if isinstance(part, str) else None

    def load(self, metrics: Collection[str]) -> Backbones:
        """The networks that these metrics look through; `ValueError` where weights are missing."""
        raise NotImplementedError

    def weights(self, metrics: Collection[str]) -> list[Path]:
        """Files that decide what these metrics see, as far as they are here."""
        return []

    def needs(self, metrics: Collection[str]) -> Iterator[Need]:
        """Files that must be here for these metrics."""
        yield from ()

    def fetch(self, metrics: Collection[str], say: Callable[[str], None]) -> None:
        """Get what is missing of them; `ValueError` where it cannot be had."""


def transformer(tokens: int, width: int = 768, depth: int = 12) -> float:
    """GFLOP of a vision transformer: its layers' products, and those of attention."""
    return (24 * tokens * width**2 + 4 * tokens**2 * width) * depth / 1e9


def _dino(height: int, width: int, fps: float) -> float:
    short = min(height, width)
    return transformer(1 + (224 * height // short // 16) * (224 * width // short // 16))


def _musiq(height: int, width: int, fps: float) -> float:
    return 0.076 * (49 + 144 + -(-height // 32) * -(-width // 32))  # patches, as measured


def _amt(height: int, width: int, fps: float) -> float:
    return 2.25e-4 * height * width / 2  # of a pair of frames, as measured; a pair for every second frame


def _raft(height: int, width: int, fps: float) -> float:
    from eval.vbench.dynamics import step

    return 2.4e-3 * height * width / step(fps)  # of a pair of sampled frames, as measured


class VBenchLens(Lens):
    """VBench's own networks, with the weights where its package keeps them."""

    protocol = "vbench"
    networks = {
        "subject": Network("DINO ViT-B/16", _dino),
        "background": Network("CLIP ViT-B/32", lambda *_: transformer(50)),
        "interpolation": Network("AMT-S", _amt),
        "imaging": Network("MUSIQ", _musiq),
        "aesthetic": Network("CLIP ViT-L/14", lambda *_: transformer(257, 1024, 24)),
        "flow": Network("RAFT", _raft),
    }

    def load(self, metrics: Collection[str]) -> Backbones:
        from eval.vbench import backbones

        return backbones.load(metrics=metrics)

    def weights(self, metrics: Collection[str]) -> list[Path]:
        from eval.vbench.weights import find, of_metrics

        return [path for path in map(find, of_metrics(metrics)) if path]

    def needs(self, metrics: Collection[str]) -> Iterator[Need]:
        from eval.vbench.weights import needs, of_metrics

        return needs(of_metrics(metrics))

    def fetch(self, metrics: Collection[str], say: Callable[[str], None]) -> None:
        from eval.vbench import weights

        weights.fetch(weights.of_metrics(metrics), say=say)


LENS = VBenchLens()
