"""Through which networks the sprites benchmark sees frames: the reader's features and the sprites interpolator."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from eval.source import tree
from eval.vbench.lens import Lens

if TYPE_CHECKING:
    from eval.vbench.score import Backbones

READER = Path(__file__).parent / "weights" / "reader.safetensors"


class SpritesLens(Lens):
    """The reader's features, of the shape as subject and of the scene as background."""

    protocol = "sprites"

    def load(self, metrics: Collection[str]) -> Backbones:
        import torch

        from eval.vbench.score import Backbones
        from miga.sprites import interpolator, reader
        from miga.sprites.metrics import looks

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sprites_reader = reader.Reader.load(device=device)
        read = sprites_reader.features
        program = tree(Path(interpolator.__file__), shown=False)  # all that decides it, as it has no weights
        return Backbones(
            protocol=self.protocol,
            version=hashlib.sha256(READER.read_bytes() + program.encode()).hexdigest()[:12],
            subject=lambda frames: read(frames)[:, :64],
            background=lambda frames: read(frames)[:, 64:],
            interpolate=interpolator.Interpolator.load(device=device),
            device=device,
            looks=looks(sprites_reader),
        )

    def weights(self, metrics: Collection[str]) -> list[Path]:
        return [READER]


LENS = SpritesLens()
