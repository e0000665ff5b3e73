"""The reader as a judge, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miga.sprites.story import ReaderJudge


def reader() -> ReaderJudge:
    """The judge that reads the sprites world from pixels and answers by rule."""
    from miga.sprites.story import ReaderJudge

    return ReaderJudge()
