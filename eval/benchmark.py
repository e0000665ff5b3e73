"""The contract of a benchmark: prompts, settings, scoring, tables and what it needs, in one package behind one object.

A benchmark registers itself under its name, this project's no otherwise than those of other packages:

    [project.entry-points."miga.benchmarks"]
    my_benchmark = "my_package:BENCHMARK"

A suite then says `benchmarks: {my_benchmark: {...}}`, with the keys of its `settings`. The workflow builds its DAG from
these objects in every job, so their modules import what is heavy (torch, pandas) inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from eval.metric import Metric
from eval.parsing import Strict, parse, read_yaml
from eval.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from eval.tables import Table

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.+-]*$")]  # names become folders and targets

Words = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]

BENCHMARKS = Registry("miga.benchmarks", "benchmark")


class Prompt(BaseModel, extra="allow", frozen=True):
    """A prompt and what its benchmark knows about it (extra keys). Without a text, one that is still to be fetched.

    then: what the video shows next, for methods that take several prompts.
    """

    id: Name
    prompt: Words | None
    then: tuple[Words, ...] = ()


class Settings(Strict):
    """What a suite may say about any benchmark. A benchmark of its own keys derives from this."""

    prompts: str = Field(description="list of {id, prompt} (YAML or JSON), relative to the repository")
    limit: int | None = Field(None, ge=1, description="only the first so many prompts; ids do not change")
    entries: list[str] | None = Field(None, description="only these entries; default: all")
    seeds: int | None = Field(None, ge=1, description="only the first so many seeds of the suite; default: all")

    def of_scores(self) -> dict[str, Any]:
        """What decides scores, as plain data: which videos there are is none of it."""
        return self.model_copy(update=dict(limit=None, entries=None, seeds=None)).model_dump(mode="json")


@dataclass(frozen=True)
class Sheet:
    """What a suite says about its tables. `printed`: (base, entry) -> metric -> percent, by the name of a table;
    `sources`: who printed that, and in which setting."""

    title: str = ""
    note: str = ""
    entries: Sequence[str] | None = None
    resamples: int = 10_000
    printed: Mapping[str, Mapping[tuple[str, str], Mapping[str, float]]] | None = None
    sources: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Need:
    """Something that a benchmark needs from elsewhere: weights, questions. `words`: what it is, or how to get it."""

    name: str
    present: bool
    words: str


@dataclass(frozen=True)
class Work:
    """What scoring a video costs in one place. by: the network or judge. amount: per video, in `unit`."""

    by: str
    metrics: tuple[str, ...]
    amount: float
    unit: str = "TFLOP"


@dataclass(frozen=True)
class Shape:
    """What a video costs depends on; sizes in pixels."""

    frames: int
    height: int
    width: int
    fps: float


class Benchmark:
    """A benchmark; what differs from these defaults is overridden.

    name: as it is registered. table: its file among tables and leaderboards, tables/<table>.csv and
    leaderboard/<table>.csv, which no two benchmarks of a suite share. settings: what a suite may say about it.
    by_video: whether rows of a video follow from it, its prompt, the settings, code and weights alone, and `score`
    leaves nothing in its `folder`: then rows are kept as soon as they are there, and a suite that grows scores its new
    videos only.
    """

    name: str
    table: str
    settings: type[Settings] = Settings
    by_video: bool = False

    # --- before the DAG is built: light ---

    def read_prompts(self, path: Path, settings: Settings) -> list[Prompt]:
        """All prompts at `path`, the settings' `prompts` below the repository; `ValueError` names what is wrong."""
        rows = read_yaml(path)
        if not isinstance(rows, list):
            raise ValueError(f"{path}: must be a list of {{id, prompt}}")
        found = [parse(Prompt, row, f"{path}, prompt {number}") for number, row in enumerate(rows, 1)]
        if empty := [prompt.id for prompt in found if prompt.prompt is None]:
            raise ValueError(f"{path}: prompt {empty[0]!r} has no text")
        return found

    def roots(self, settings: Settings) -> list[str]:
        """Dotted modules that decide scores, with all that they import: an edit there scores again."""
        return [type(self).__module__]

    def formulas(self, settings: Settings) -> dict[str, Any]:
        """Of each metric, as plain data, what its card says that decides scores: an edit there scores again."""
        return {}

    def weights(self, settings: Settings) -> list[Path]:
        """Files besides code that decide scores, as far as they are here."""
        return []

    def gpu(self, settings: Settings) -> bool:
        """Whether scoring takes a GPU where there is one."""
        return False

    def work(self, settings: Settings, prompt: Prompt, video: Shape) -> list[Work]:
        """What scoring one video of a prompt costs, for `miga plan`; empty: next to nothing, or nobody knows."""
        return []

    # --- before anything runs ---

    def check(self, settings: Settings) -> None:
        """`ValueError` for what the settings' types cannot see, such as a metric that nobody has registered."""

    def needs(self, settings: Settings, root: Path) -> Iterator[Need]:
        """What must be here, for `miga doctor`. root: what the settings' paths are relative to."""
        yield from ()

    def fetch(self, settings: Settings, root: Path, say: Callable[[str], None]) -> None:
        """Get what is missing of it. `ValueError` where it cannot be had."""

    # --- results ---

    def score(
        self, videos: Sequence[Path], prompts: Mapping[str, Prompt], settings: Settings, folder: Path, cache: Path
    ) -> pd.DataFrame:
        """Rows of the long table (`eval.scores.COLUMNS`) for the videos of one entry, a sidecar beside each.

        What cannot be computed is a row with a reason, never a missing one.
        prompts: by id. folder: for what a reader may want to see besides. cache: of all entries, kept between runs.
        """
        raise NotImplementedError

    def score_each(
        self, videos: Sequence[Path], prompts: Mapping[str, Prompt], settings: Settings, folder: Path, cache: Path
    ) -> Iterator[pd.DataFrame]:
        """`score` of each video in turn, where scores are `by_video`; a benchmark that loads networks overrides it."""
        for video in videos:
            yield self.score([video], prompts, settings, folder, cache)

    def board(self, settings: Settings) -> tuple[Metric, ...]:
        """All its metrics: rows of its leaderboard, columns of the table of paired differences."""
        raise NotImplementedError

    def columns(self, settings: Settings) -> tuple[Metric, ...]:
        """Those of its board that its main table, its ablations and the plots of it show."""
        return self.board(settings)

    def plots(self, settings: Settings) -> list[str]:
        """Figures of `eval.plots` beside those of every suite, where it is the suite's first benchmark."""
        return []

    def faults(self, videos: Sequence[Path], settings: Settings, strength: float) -> pd.DataFrame:
        """Scores of videos, a sidecar beside each, and of their faulty copies, as `sensitivity.matrix` reads them; for
        suites that have `faults` and this benchmark as their first one."""
        raise ValueError(f"the benchmark {self.name!r} tries no faults: remove `faults` from the suite")

    def own(self, scores: pd.DataFrame, settings: Settings) -> pd.DataFrame:
        """Its rows of a suite's long table."""
        return scores[scores["metric"].isin({part for column in self.board(settings) for part in column.parts})]

    def tables(self, settings: Settings) -> dict[str, Callable[[pd.DataFrame, pd.DataFrame, Sheet], Table]]:
        """File name -> the table from the suite's long table and the facts of its videos; `self.table` among them."""

        def made(scores: pd.DataFrame, facts: pd.DataFrame, sheet: Sheet) -> Table:
            from eval.tables import comparison, with_paper

            found = comparison(
                self.table, self.title(sheet), self.own(scores, settings), facts, self.columns(settings), sheet.entries,
                notes=[sheet.note], resamples=sheet.resamples,
            )  # fmt: skip
            printed = (sheet.printed or {}).get(self.table)
            return found if printed is None else with_paper(found, printed, (sheet.sources or {}).get(self.table, ""))

        return {self.table: made}

    def title(self, sheet: Sheet) -> str:
        """Of its table."""
        return f"{sheet.title}: {self.name}"
