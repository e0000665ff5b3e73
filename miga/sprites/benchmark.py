"""The benchmarks of the drawn world: VBench's metrics through the sprites networks, and NarrLV's scores of its stories.

Their questions are made by rule and answered by the reader. The scores are neither VBench's nor NarrLV's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from eval.benchmark import Benchmark, Prompt, Sheet
from eval.narrlv.benchmark import Asked, JudgeSettings, NarrLV, by_atoms
from eval.vbench.benchmark import VBench, VBenchSettings
from miga.sprites.lens import READER

if TYPE_CHECKING:
    from eval.narrlv.suite import Item
    from eval.vbench.faults import Clip


class SpritesSettings(VBenchSettings):
    """As VBench's, through the networks of the sprites world."""

    backbones: str = Field("sprites", description="networks that the metrics look through (`miga.backbones`)")


class Sprites(VBench):
    name = "sprites"
    settings = SpritesSettings
    beside = ("repetition", "motion", "prompt_fidelity")
    curves = VBench.curves | {"survival": "identity"}

    def faulty(self, videos: Sequence[Path], strength: float) -> Iterator[Clip]:
        """And scenes that are drawn anew, for the faults that only the world itself can make."""
        from eval.records import read_beside
        from miga.sprites.faults import drawn

        said = [read_beside(path) for path in videos]
        yield from super().faulty(videos, strength)
        yield from drawn([one.prompt for one in said], min(one.frames for one in said), strength)


class StorySettings(Asked):
    """As NarrLV's, on captions of the sprites world, answered by the reader."""

    judge: JudgeSettings = JudgeSettings(kind="reader")


class SpritesNarrLV(NarrLV):
    name = "sprites-narrlv"
    settings = StorySettings

    def read_prompts(self, path: Path, settings: StorySettings) -> list[Prompt]:
        found = Benchmark.read_prompts(self, path, settings)
        if settings.told == "whole":
            return found
        items = self.items({prompt.id: prompt for prompt in found}, settings)
        return [by_atoms(prompt, items[prompt.id]) for prompt in found]

    def roots(self, settings: StorySettings) -> list[str]:
        return [*super().roots(settings), "miga.sprites.story"]

    def weights(self, settings: StorySettings) -> list[Path]:
        return [READER]

    needs, fetch = Benchmark.needs, Benchmark.fetch

    def items(self, prompts: Mapping[str, Prompt], settings: StorySettings) -> dict[str, Item]:
        from miga.sprites import story

        return {id: story.item(getattr(prompt, "story", prompt.prompt)) for id, prompt in prompts.items()}

    def title(self, sheet: Sheet) -> str:
        return f"{sheet.title}-NarrLV"

    def notes(self, sheet: Sheet) -> list[str]:
        return [sheet.note]


SPRITES = Sprites()
SPRITES_NARRLV = SpritesNarrLV()
