"""NarrLV as a benchmark of a suite: a judge answers questions about each video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from eval.benchmark import Benchmark, Need, Prompt, Settings, Shape, Sheet, Work
from eval.metric import Metric
from eval.narrlv import JUDGES
from eval.parsing import Strict, known

if TYPE_CHECKING:
    import pandas as pd

    from eval.narrlv.suite import Item
    from eval.tables import Table


class JudgeSettings(Strict):
    """Who answers the questions, and with which parameters."""

    kind: str = Field(description="a registered judge: server (OpenAI-compatible), qwen (Qwen2.5-VL, here), or others")
    params: dict[str, Any] = Field({}, description="of the judge, such as url and model of a server")

    @model_validator(mode="after")
    def _no_secrets(self) -> JudgeSettings:
        if secret := self.params.keys() & {"api_key", "key", "token", "password"}:
            raise ValueError(
                f"{', '.join(secret)}: keys come from the environment only (OPENAI_API_KEY); remove it here"
            )
        return self


class Asked(Settings):
    """By which protocol videos are asked about: part of the score's name."""

    judge: JudgeSettings
    frames: int = Field(10, ge=1, description="frames of a video that are shown, at equal distances")
    votes: int = Field(5, ge=1, description="times that each question is asked")
    seed: int = 0
    variant: Literal["released", "paper"] = Field("paper", description="the metric with or without the aesthetic score")
    aesthetics: str | None = Field(
        None, description="JSON file of aesthetic scores 1 to 5, {base/entry/prompt id/seed-n}"
    )
    parser: Literal["released", "strict"] = Field("strict", description="how votes are read: substrings or words")
    told: Literal["whole", "atoms"] = Field(
        "whole", description="a story is one prompt, or one for each atom, for entries that take several"
    )


class NarrLVSettings(Asked):
    """The benchmark's own suite files, as `miga narrlv fetch` gets them."""

    prompts: str = Field(description="folder of suite files, with prompts and questions; relative to the repository")
    atoms: list[int] | None = Field(None, description="only prompts with so many narrative atoms; default: all")


def by_atoms(prompt: Prompt, item: Item) -> Prompt:
    """The story told atom by atom, the whole of it kept beside; as it was where its atoms are not written down."""
    if len(item.atoms) < 2:
        return prompt
    return Prompt(id=prompt.id, prompt=item.atoms[0], then=item.atoms[1:], story=prompt.prompt)


class NarrLV(Benchmark):
    name = table = "narrlv"
    settings = NarrLVSettings

    def read_prompts(self, path: Path, settings: NarrLVSettings) -> list[Prompt]:
        """The suites' prompts; until they are fetched, their ids without a text."""
        from eval.narrlv.suite import load, prompts

        found = [Prompt(id=id, prompt=prompt) for id, prompt in prompts(path, settings.atoms).items()]
        if settings.told == "whole" or not path.is_dir():
            return found
        items = {item.id: item for item in load(path)}
        return [by_atoms(prompt, items[prompt.id]) for prompt in found]

    def roots(self, settings: Asked) -> list[str]:
        return ["eval.narrlv.score", JUDGES.module(settings.judge.kind)]

    def gpu(self, settings: Asked) -> bool:
        return getattr(JUDGES.get(settings.judge.kind), "gpu", False)

    def work(self, settings: Asked, prompt: Prompt, video: Shape) -> list[Work]:
        from eval.narrlv.metric import SCORES

        try:
            asked = self.items({prompt.id: prompt}, settings)[prompt.id].questions
        except ValueError:  # not fetched yet
            return []
        return [Work(settings.judge.kind, SCORES, settings.votes * sum(map(len, asked.values())), "questions")]

    def check(self, settings: Asked) -> None:
        known(settings.judge.kind, JUDGES.names(), f"judge in the benchmark {self.name!r}:")

    def needs(self, settings: NarrLVSettings, root: Path) -> Iterator[Need]:
        here = (root / settings.prompts).is_dir()
        yield Need("NarrLV's suites", here, settings.prompts if here else f"miga narrlv fetch {settings.prompts}")

    def fetch(self, settings: NarrLVSettings, root: Path, say: Callable[[str], None]) -> None:
        from eval.narrlv.suite import fetch

        say(f"{len(fetch(root / settings.prompts))} files of NarrLV are in {settings.prompts}")

    def items(self, prompts: Mapping[str, Prompt], settings: NarrLVSettings) -> dict[str, Item]:
        """The questions, by prompt id."""
        from eval.narrlv.suite import load

        return {item.id: item for item in load(settings.prompts)}

    def score(
        self, videos: Sequence[Path], prompts: Mapping[str, Prompt], settings: Asked, folder: Path, cache: Path
    ) -> pd.DataFrame:
        from eval.narrlv import answers
        from eval.narrlv.judges import build
        from eval.narrlv.score import score_videos
        from eval.narrlv.suite import read_json

        judge = build(settings.judge.kind, settings.judge.params)
        table, answered = score_videos(
            videos,
            self.items(prompts, settings),
            judge,
            answers.Cache(cache),
            answers.Settings(settings.frames, settings.votes, settings.seed),
            settings.variant,
            settings.parser,
            read_json(settings.aesthetics) if settings.aesthetics else None,
        )
        answers.write_answers(answered, folder)
        print(getattr(judge, "usage", "no server was asked"))
        return table

    def board(self, settings: Asked) -> tuple[Metric, ...]:
        from eval.narrlv.cards import MEAN3, NARRLV

        return (*NARRLV.values(), MEAN3)

    def tables(self, settings: Asked) -> dict[str, Callable[[pd.DataFrame, pd.DataFrame, Sheet], Table]]:
        """Table 2 of the paper: all three scores and their mean for each (number of atoms, factor)."""

        def made(scores: pd.DataFrame, facts: pd.DataFrame, sheet: Sheet) -> Table:
            from eval.narrlv.table import table2

            return table2(
                self.own(scores, settings), facts, sheet.entries, (sheet.printed or {}).get(self.table), self.table,
                self.title(sheet), self.notes(sheet), sheet.resamples,
            )  # fmt: skip

        return {self.table: made}

    def title(self, sheet: Sheet) -> str:
        return "NarrLV"

    def notes(self, sheet: Sheet) -> list[str]:
        return []


BENCHMARK = NarrLV()
