"""The typed configuration of the benchmark: what `config/config.yaml` and the suites may say.

Everything is validated before the DAG is built. An unknown key is an error that names it and the nearest known one. The
schemas in `workflow/schemas/` are generated from these classes (`python -m miga.experiment.suite workflow/schemas`).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from eval.benchmark import BENCHMARKS, Name, Settings
from eval.parsing import Strict, known, parse

RESERVED = {
    "all", "prompts", "encode", "generate", "score", "scores", "tables", "plots", "publish", "length", "lengths",
    "fetch", "ablation", "leaderboard", "quality", "manifest", "page", "results_page", "take", "faults", "videos",
    "settled",
}  # fmt: skip

PLOTS = ("comparison", "drift", "consistency_motion", "cost_quality", "levels")  # of any methods

SEEDS = 2**63 - 1  # the largest that a table holds


class Encoder(Strict):
    """How videos are written: H.264, 8 bit, 4:2:0."""

    codec: Literal["libx264"] = "libx264"
    pix_fmt: Literal["yuv420p"] = Field("yuv420p", description="8-bit 4:2:0, which every player and scorer reads")
    crf: int = Field(10, ge=0, le=51, description="constant rate factor; 0 is lossless, 17 looks lossless at full size")
    preset: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = "medium"


class Entry(Strict):
    """One row of a table: a method with its parameters, under a name of its own."""

    method: str = Field(description="name of a registered method (`miga methods` lists them)")
    label: str | None = Field(None, description="how tables and plots call it; default: the method's own label")
    params: dict[str, Any] = Field({}, description="parameters of the method; the rest keep the original's defaults")
    bases: list[str] | None = Field(None, description="only these base models; default: all that the method runs on")


class Given(Strict):
    """One row of a table: videos that somebody else made, of a trained or a closed model, under a name of its own."""

    videos: str = Field(
        description="folder with `<prompt id>.mp4`, `<prompt>-<i>.mp4` or `<prompt id>/*.mp4`, or a CSV file with the "
        "columns file and prompt_id or prompt; relative to the repository"
    )
    label: str | None = Field(None, description="how tables and plots call it; default: its name")
    trained: bool = Field(False, description="whether its model was trained for long videos; the mark of its rows")
    licence: str | None = Field(None, description="of the videos; unknown where it is not said")
    source: str | None = Field(None, description="where they come from, such as a URL")
    differs: list[Literal["frames", "fps", "size"]] = Field(
        [], description="in what the videos may differ from those of the suite, which is an error elsewhere"
    )
    bases: list[str] | None = Field(None, description="base models beside whose rows it stands; default: all")

    @property
    def origin(self) -> str:
        """The mark of its rows."""
        return "trained" if self.trained else "external"

    def titled(self, name: str) -> str:
        """What tables call it, its mark included."""
        return f"{self.label or name} ({self.origin})"


class Ablation(Strict):
    """Entries that differ in one respect, in the order of their table."""

    of: str = Field(description="the method studied; `snakemake ablation_<of>` builds all its ablations")
    title: str
    table: Name = Field(description="tables/<table>.csv and plots/<table>.svg")
    paper: str | None = Field(
        None, description="section of the suite's file of printed numbers that stands beside ours"
    )
    rows: dict[Name, str] = Field(description="entry or variant -> what its row says about the respect studied")


class MethodFile(Strict):
    """A file of `config/methods/`, or of `<suite>.videos/`: entries that belong together and their ablations."""

    entries: dict[Name, Entry | Given] = Field(description="rows of the main tables")
    variants: dict[Name, Entry] = Field({}, description="entries that only ablations show")
    ablations: dict[Name, Ablation] = {}

    @field_validator("entries", mode="before")
    @classmethod
    def _kinds(cls, said: Any) -> Any:
        """What has videos is given, what has none is to be made."""
        if not isinstance(said, dict):
            return said
        return {
            name: parse(Given if "videos" in data else Entry, data, str(name)) if isinstance(data, dict) else data
            for name, data in said.items()
        }


class Base(Strict):
    """A base model as this suite runs it."""

    model: str = Field(description="name of a base model (`miga models` lists them)")
    params: dict[str, Any] = Field({}, description="options of the model, such as its resolution or number of levels")
    frames: int | None = Field(None, ge=1, description="video frames of each video; default: the suite's")
    without: list[str] = Field([], description="methods that this base model lacks an ability for")
    entries: list[Name] | None = Field(None, description="only these entries; default: all that it can run")
    limits: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        {}, description="benchmark -> only the first so many of its prompts, on this base model"
    )
    seconds_per_call: float | None = Field(
        None, gt=0, description="of one pass of the denoiser over a window, for `miga plan` where nothing was measured"
    )


class Lengths(Strict):
    """Peak memory and time against the length of the video, each measured in a process of its own."""

    frames: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="lengths in video frames")
    entries: list[str] | None = Field(None, description="only these entries; default: all")


class Faults(Strict):
    """Which metric of the first benchmark sees which fault, on videos of this suite that nothing is wrong with."""

    entry: Name = Field(description="the entry whose videos get faults, on its first base model")
    videos: int = Field(8, ge=2, description="so many of them")
    strength: float = Field(1.0, gt=0, le=1, description="of the faults; 1 is the worst")


class Contrast(Strict):
    """What one entry gains over another on one base model, less what it gains on a second one."""

    entries: tuple[Name, Name] = Field(description="the first minus the second")
    bases: tuple[Name, Name] = Field(description="the difference on the first minus that on the second")


class Stop(Strict):
    """Prompts are asked for in rounds over all entries, until every paired difference to the reference is settled."""

    settled: float = Field(
        gt=0,
        description="points; a difference is settled where its 95 % interval excludes zero or is narrower than this",
    )
    prompts: int = Field(8, ge=2, description="of each benchmark, in a round")
    metrics: list[str] = Field(
        ["overall"], min_length=1, description="columns of the first benchmark that are looked at"
    )


class Suite(Strict):
    """A named experiment: base models x entries x benchmarks x prompts x seeds."""

    title: str
    note: str = Field("", description="what a reader of its tables must know; printed under each of them")
    bases: dict[Name, Base]
    files: list[str] = Field(description="files of `config/methods/`, by name; their entries are the rows")
    ablations: list[str] = Field([], description="ablations that are part of `all`; the others are built on demand")
    reference: Name | None = Field(None, description="entry that the table of paired differences compares with")
    stop: Stop | None = Field(None, description="when fewer prompts than there are suffice; default: all are asked for")
    contrast: Contrast | None = Field(None, description="a table of a difference of differences")
    benchmarks: dict[Name, SerializeAsAny[Settings]] = Field(
        min_length=1,
        description="by name, each with its settings; ablations, differences and plots are about the first one",
    )
    paper: str | None = Field(
        None,
        description="file of numbers that a paper prints, by table; they stand beside ours; relative to the repository",
    )
    faults: Faults | None = Field(None, description="the matrix of faults, made again; default: do not")
    plots: list[Name] = Field(
        list(PLOTS), description="figures of the main comparison; some are about what one method tells of its run"
    )
    lengths: Lengths | None = Field(None, description="measure memory and time against length; default: do not")
    spread: float | None = Field(
        None,
        gt=0,
        description="standard deviation over prompts of a paired difference in the overall score, in points, for "
        "`miga plan --power` where nothing was measured",
    )
    seeds: list[Annotated[int, Field(ge=0, le=SEEDS)]] = Field(min_length=1)
    frames: int = Field(ge=1, description="video frames of each video")
    smaller: Name | None = Field(None, description="a smaller suite, which the first line of a run names")
    shard: int = Field(16, ge=1, description="videos that one generation job makes with one loaded model, at most")
    encoder: Encoder = Encoder()

    @field_validator("benchmarks", mode="before")
    @classmethod
    def _settings(cls, said: Any) -> Any:
        """Each benchmark's settings by its own type."""
        if not isinstance(said, dict):
            return said
        return {name: _settings_of(name, data) for name, data in said.items()}

    @model_validator(mode="after")
    def _distinct_tables(self) -> Suite:
        if twice := [table for table, count in Counter(self.tables()).items() if count > 1]:
            raise ValueError(f"benchmarks: two of them make the table {twice[0]!r}, which is one file: choose one")
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> Suite:
        if twice := sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1}):
            raise ValueError(f"seeds: {twice[0]} is there twice")
        return self

    @model_validator(mode="after")
    def _stops_by_a_reference(self) -> Suite:
        if self.stop:
            if self.reference is None:
                raise ValueError("stop: differences to what? Name the `reference`")
            name, said = next(iter(self.benchmarks.items()))
            for metric in self.stop.metrics:
                known(metric, [column.name for column in BENCHMARKS.get(name).board(said)], "metric in `stop`:")
        return self

    @property
    def noted(self) -> str:
        """What stands under each table."""
        if self.stop is None:
            return self.note
        return (
            f"{self.note} Prompts were asked for {self.stop.prompts} at a time, until each difference to "
            f"{self.reference} in {', '.join(self.stop.metrics)} had an interval that excludes zero or is narrower "
            f"than {self.stop.settled:g} points, or there were no more; intervals that are looked at so often exclude "
            "zero a little too readily."
        ).strip()

    def figures(self) -> list[str]:
        """Names of the plots but those of ablations and lengths: the suite's, and what its first benchmark adds."""
        name, said = next(iter(self.benchmarks.items()))
        return [*self.plots, *BENCHMARKS.get(name).plots(said)]

    def tables(self) -> list[str]:
        """Names of the tables, in the order of the report: those of the benchmarks, differences, costs, times."""
        own = [table for name, said in self.benchmarks.items() for table in BENCHMARKS.get(name).tables(said)]
        differences = [*["differences"] * bool(self.reference), *["contrast"] * bool(self.contrast)]
        return [*own, *differences, "cost", *["speed"] * bool(self.lengths)]


def _settings_of(name: str, said: Any) -> Any:
    benchmark = BENCHMARKS.get(name)
    return said if isinstance(said, Settings) else parse(benchmark.settings, said, f"benchmark {name!r}")


class Wandb(Strict):
    """Weights & Biases. The key comes from the environment (WANDB_API_KEY) and from nowhere else."""

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: str = "miga-bench"
    entity: str | None = None
    videos: int = Field(8, ge=0, description="sample videos in the published table")
    timeout: int = Field(120, ge=1, description="seconds after which publishing gives up; the run does not fail")


class Config(Strict):
    """`config/config.yaml`."""

    suite: str = Field(
        "auto", description="a file of config/suites, a path, or auto: paper with a CUDA GPU, else sprites"
    )
    results: str = Field("results", description="where everything goes, in a folder named as the suite")
    limit: int | None = Field(None, ge=1, description="only the first so many prompts of each set, for a quick look")
    shard: int | None = Field(
        None, ge=1, description="videos of a generation job; default: as many as `shard_hours` hold"
    )
    shard_hours: float = Field(
        2, gt=0, description="hours of a generation job by the plan, where the suite says its pace"
    )
    image: str | None = Field(
        None, description="container image that rules run in with --sdm apptainer, such as miga-bench.sif"
    )
    bootstrap: int = Field(10_000, ge=100, description="resamples of the confidence intervals")
    wandb: Wandb = Wandb()


def own_benchmarks() -> list[str]:
    """Benchmarks of this repository, which are all that its schema knows."""
    return [name for name in BENCHMARKS.names() if BENCHMARKS.module(name).split(".")[0] in ("eval", "miga")]


def schemas() -> dict[str, str]:
    """File name -> text of each generated schema."""
    models = {"config": Config, "suite": Suite, "methods": MethodFile}
    made = {name: model.model_json_schema() for name, model in models.items()}
    suite = made["suite"]
    for name in own_benchmarks():
        own = BENCHMARKS.get(name).settings.model_json_schema()
        suite["$defs"] |= own.pop("$defs", {})
        suite["properties"]["benchmarks"].setdefault("properties", {})[name] = own
    return {f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in made.items()}


if __name__ == "__main__":
    for name, text in schemas().items():
        Path(sys.argv[1], name).write_text(text, encoding="utf-8")
