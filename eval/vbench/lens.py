"""The contract of backbones: through which networks the metrics of one pass see frames, and what those need.

[project.entry-points."miga.backbones"]
mine = "my_package:LENS"
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from eval.benchmark import Need
from eval.registry import Registry

if TYPE_CHECKING:
    from eval.vbench.score import Backbones

LENSES = Registry("miga.backbones", "backbones")


class Lens:
    """Backbones before they are loaded; what differs from these defaults is overridden."""

    gpu = True  # where there is one
    protocol: str  # of the scores that are seen through them

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


class VBenchLens(Lens):
    """VBench's own networks, with the weights where its package keeps them."""

    protocol = "vbench"

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
