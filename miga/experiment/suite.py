"""The typed configuration of the benchmark: what `config/config.yaml` and the suites may say.

Everything is validated before the DAG is built. An unknown key is an error that names it and the nearest known one. The
schemas in `workflow/schemas/` are generated from these classes (`python -m miga.experiment.suite workflow/schemas`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from eval.parsing import Strict

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.+-]*$")]  # names become folders and targets

VBENCH_DIMENSIONS = {"subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering"}
RESERVED = {
    "all", "prompts", "encode", "generate", "score", "scores", "narrlv", "stories", "tables", "plots", "publish",
    "report", "length", "lengths", "fetch",
}  # fmt: skip


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


class Ablation(Strict):
    """Entries that differ in one respect, in the order of their table."""

    of: str = Field(description="the method studied; `snakemake ablation_<of>` builds all its ablations")
    title: str
    table: Name = Field(description="tables/<table>.csv and plots/<table>.svg")
    rows: dict[Name, str] = Field(description="entry or variant -> what its row says about the respect studied")


class MethodFile(Strict):
    """A file of `config/methods/`: entries that belong together and their ablations."""

    entries: dict[Name, Entry] = Field(description="rows of the main tables")
    variants: dict[Name, Entry] = Field({}, description="entries that only ablations show")
    ablations: dict[Name, Ablation] = {}


class Base(Strict):
    """A base model as this suite runs it."""

    model: str = Field(description="name of a base model (`miga models` lists them)")
    params: dict[str, Any] = Field({}, description="options of the model, such as its resolution or number of levels")
    frames: int | None = Field(None, ge=1, description="video frames of each video; default: the suite's")
    without: list[str] = Field([], description="methods that this base model lacks an ability for")
    seconds_per_call: float | None = Field(
        None, gt=0, description="of one pass of the denoiser over a window, for `miga plan` where nothing was measured"
    )


class PromptSet(Strict):
    """Prompts that are scored by one protocol."""

    file: str = Field(
        description="list of {id, prompt} (YAML, JSON), or a folder for `miga narrlv fetch`; relative to the repository"
    )
    atoms: list[int] | None = Field(None, description="of such a folder, only prompts with so many narrative atoms")
    protocol: Literal["vbench", "narrlv"] = "vbench"
    metrics: list[str] = Field(description="metrics of the protocol; each is a column of its table")
    limit: int | None = Field(None, ge=1, description="only the first so many prompts; ids do not change")
    methods: list[str] | None = Field(None, description="only these entries; default: all")
    seeds: int | None = Field(None, ge=1, description="only the first so many seeds of the suite; default: all")


class Judge(Strict):
    """Who answers the questions of NarrLV about a video, and by which protocol: part of the score's name."""

    kind: Literal["reader", "server", "qwen"] = Field(
        description="reader: sprites stories, questions by rule; server: OpenAI-compatible; qwen: Qwen2.5-VL, here"
    )
    params: dict[str, Any] = Field(
        {}, description="of the judge (eval/narrlv/judges), such as url and model of a server"
    )
    suites: str | None = Field(None, description="folder of NarrLV's suite files, which hold the questions")
    frames: int = Field(10, ge=1, description="frames of a video that are shown, at equal distances")
    votes: int = Field(5, ge=1, description="times that each question is asked")
    seed: int = 0
    variant: Literal["released", "paper"] = Field("paper", description="the metric with or without the aesthetic score")
    aesthetics: str | None = Field(
        None, description="JSON file of aesthetic scores 1 to 5, {base/entry/prompt id/seed-n}"
    )
    parser: Literal["released", "strict"] = Field("strict", description="how votes are read: substrings or words")

    @model_validator(mode="after")
    def _no_secrets(self) -> Judge:
        if secret := self.params.keys() & {"api_key", "key", "token", "password"}:
            raise ValueError(
                f"{', '.join(secret)}: keys come from the environment only (OPENAI_API_KEY); remove it here"
            )
        return self


class Lengths(Strict):
    """Peak memory and time against the length of the video, each measured in a process of its own."""

    frames: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="lengths in video frames")
    methods: list[str] | None = Field(None, description="only these entries; default: all")


class Suite(Strict):
    """A named experiment: base models x entries x prompts x seeds x metrics."""

    title: str
    note: str = Field("", description="what a reader of its tables must know; printed under each of them")
    backbones: Literal["sprites", "vbench"] = Field(description="the networks that the metrics look through")
    bases: dict[Name, Base]
    methods: list[str] = Field(description="files of `config/methods/`, by name; their entries are the rows")
    ablations: list[str] = Field([], description="ablations that are part of `all`; the others are built on demand")
    reference: Name | None = Field(None, description="entry that the table of paired differences compares with")
    prompts: dict[Name, PromptSet]
    lengths: Lengths | None = Field(None, description="measure memory and time against length; default: do not")
    judge: Judge | None = Field(None, description="needed where prompts are scored by NarrLV")
    seeds: list[int] = Field(min_length=1)
    frames: int = Field(ge=1, description="video frames of each video")
    shard: int = Field(16, ge=1, description="videos that one generation job makes with one loaded model")
    encoder: Encoder = Encoder()


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
    shard: int | None = Field(None, ge=1, description="videos a generation job; default: the suite's")
    bootstrap: int = Field(10_000, ge=100, description="resamples of the confidence intervals")
    wandb: Wandb = Wandb()


class Prompt(BaseModel, extra="allow", frozen=True):
    """A prompt and what its protocol knows about it (extra keys)."""

    id: Name
    prompt: str = Field(min_length=1)
    dimensions: list[str] | None = Field(None, description="dimensions of VBench that it belongs to; default: all")

    def measures(self, metric: str) -> bool:
        return self.dimensions is None or metric in self.dimensions or metric not in VBENCH_DIMENSIONS


def schemas() -> dict[str, str]:
    """File name -> text of each generated schema."""
    models = {"config": Config, "suite": Suite, "methods": MethodFile}
    return {f"{n}.schema.json": json.dumps(m.model_json_schema(), indent=2) + "\n" for n, m in models.items()}


if __name__ == "__main__":
    for name, text in schemas().items():
        Path(sys.argv[1], name).write_text(text, encoding="utf-8")
