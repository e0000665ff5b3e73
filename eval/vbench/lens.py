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

    def load(self, metrics: Collection[str]) -> Backbones:
        """The networks that these metrics look through; `ValueError` where weights are missing."""
        raise NotImplementedError

    def weights(self) -> list[Path]:
        """Files that decide what is seen, as far as they are here."""
        return []

    def needs(self) -> Iterator[Need]:
        """Files that must be here."""
        yield from ()

    def fetch(self, say: Callable[[str], None]) -> None:
        """Get what is missing; `ValueError` where it cannot be had."""


class VBenchLens(Lens):
    """VBench's own networks, with the weights where its package keeps them."""

    def load(self, metrics: Collection[str]) -> Backbones:
        from eval.vbench import backbones

        return backbones.load(metrics=metrics)

    def weights(self) -> list[Path]:
        from eval.vbench.weights import FILES, find

        return [path for path in map(find, FILES) if path]

    def needs(self) -> Iterator[Need]:
        from eval.vbench.weights import FILES, inventory

        for file, path, words in inventory():
            if file in FILES:
                yield Need(Path(file.place).name, path is not None and "NOT" not in words, words)

    def fetch(self, say: Callable[[str], None]) -> None:
        from eval.vbench import weights

        weights.fetch(weights.FILES, say=say)


LENS = VBenchLens()
