"""Through which networks the sprites benchmark sees frames: the reader's features and the sprites interpolator."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from eval.source import tree
from eval.vbench.lens import Lens, Network
from miga.sprites import READING

if TYPE_CHECKING:
    from eval.vbench.score import Backbones

READER = Path(__file__).parent / "weights" / "reader.safetensors"


_READER = Network("the sprites reader", lambda *_: 0.0586)  # on frames of 64x64 pixels, whatever they were


class SpritesLens(Lens):
    """The reader's features, of the shape as subject and of the scene as background."""

    protocol = "sprites"
    networks = {"subject": _READER, "background": _READER, READING: _READER}

    def load(self, metrics: Collection[str]) -> Backbones:
        import torch

        from eval.vbench.metrics import parts_of
        from eval.vbench.score import Backbones
        from miga.sprites import interpolator, reader
        from miga.sprites.metrics import SUBJECTS, count, read

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        parts = parts_of(metrics)
        network = reader.Once.load(device=device) if parts & self.networks.keys() else None
        program = tree(Path(interpolator.__file__), shown=False)  # all that decides it, as it has no weights
        return Backbones(
            protocol=self.protocol,
            version=hashlib.sha256(READER.read_bytes() + program.encode()).hexdigest()[:12],
            subject=(lambda frames: network.features(frames)[:, :64]) if "subject" in parts else None,
            background=(lambda frames: network.features(frames)[:, 64:]) if "background" in parts else None,
            interpolate=interpolator.Interpolator.load(device=device),
            device=device,
            looks={SUBJECTS: count} | ({READING: read(network)} if READING in parts else {}),
        )

    def weights(self, metrics: Collection[str]) -> list[Path]:
        return [READER]


LENS = SpritesLens()
