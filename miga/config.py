"""The typed configuration of the benchmark: what `config/config.yaml` and the suites may say.

Everything is validated before the DAG is built. An unknown key is an error that names it and the nearest known one. The
schemas in `workflow/schemas/` are generated from these classes (`python -m miga.config workflow/schemas`).
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, StringConstraints, ValidationError, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.+-]*$")]  # names become folders and targets

VBENCH_DIMENSIONS = {"subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering"}
RESERVED = {
    "all", "prompts", "encode", "generate", "score", "scores", "narrlv", "stories", "tables", "plots", "publish",
    "report", "length", "lengths", "fetch",
}  # fmt: skip


class Strict(BaseModel, extra="forbid", frozen=True):
    """An unknown key is an error."""


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
    label: str | None = None
    params: dict[str, Any] = Field({}, description="options of the model, such as its resolution or number of levels")
    frames: int | None = Field(None, ge=1, description="video frames of each video; default: the suite's")
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
        {}, description="of the judge (eval/narrlv/judges.py), such as url and model of a server"
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
    timeout: int = Field(120, ge=1, description="seconds after which publishing gives up; the run goes on")


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


class Experiment(Strict):
    """A suite with its files read: what the DAG is built from."""

    name: Name
    suite: Suite
    entries: dict[Name, Entry]
    variants: dict[Name, Entry]
    ablations: dict[Name, Ablation]
    prompts: dict[Name, list[Prompt]]

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        rows = self.entries | self.variants
        for name, entry in rows.items():
            if name in RESERVED or name.startswith("ablation_"):
                raise ValueError(f"an entry may not be called {name!r}: that is the name of a rule; choose another")
            for base in entry.bases or ():
                known(base, self.suite.bases, "base model")
        for name in self.suite.ablations:
            known(name, self.ablations, "ablation")
            for row in self.ablations[name].rows:
                known(row, rows, f"entry in the ablation {name!r}:")
        for name, chosen in self.suite.prompts.items():
            if chosen.protocol == "narrlv" and self.suite.judge is None:
                raise ValueError(f"prompts {name!r} are scored by NarrLV: say under `judge` who answers its questions")
            for entry in chosen.methods or ():
                known(entry, rows, f"entry in the prompts {name!r}:")
        for entry in (self.suite.lengths and self.suite.lengths.methods) or ():
            known(entry, self.entries, "entry in `lengths`:")
        ids = [prompt.id for prompts in self.prompts.values() for prompt in prompts]
        for id in {id for id in ids if ids.count(id) > 1}:
            raise ValueError(f"prompt id {id!r} is used twice")
        return self

    def rows(self) -> dict[str, Entry]:
        """All entries and variants that this suite can build."""
        return self.entries | self.variants

    def rows_of_all(self) -> list[str]:
        """Entries of the main tables, then those that only an ablation of this suite has."""
        extra = [row for name in self.suite.ablations for row in self.ablations[name].rows]
        return list(dict.fromkeys([*self.entries, *extra]))

    def bases_of(self, entry: str) -> list[str]:
        return self.rows()[entry].bases or list(self.suite.bases)

    def prompts_of(self, entry: str, protocol: str | None = None) -> dict[str, Prompt]:
        """Prompt id -> prompt of an entry's videos, of all protocols or of one."""
        return {p.id: p for name in self._sets(entry, protocol) for p in self.prompts[name]}

    def videos_of(self, entry: str) -> list[tuple[str, str, int]]:
        """(prompt id, prompt, seed) of every video of an entry, on each base model."""
        return [
            (prompt.id, prompt.prompt, seed)
            for name in self._sets(entry)
            for prompt in self.prompts[name]
            for seed in self.suite.seeds[: self.suite.prompts[name].seeds]
        ]

    def metrics_of(self, entry: str, protocol: str) -> dict[str, list[str]]:
        """Prompt id -> metrics of its set; a prompt that names VBench dimensions is measured on no others of them."""
        return {
            prompt.id: [metric for metric in self.suite.prompts[name].metrics if prompt.measures(metric)]
            for name in self._sets(entry, protocol)
            for prompt in self.prompts[name]
        }

    def _sets(self, entry: str, protocol: str | None = None) -> list[str]:
        return [
            name
            for name, chosen in self.suite.prompts.items()
            if protocol in (None, chosen.protocol)
            if chosen.methods is None or entry in chosen.methods
        ]

    def lengths(self) -> list[tuple[str, str, int]]:
        """(base model, entry, frames) of every measurement of memory and time against length."""
        wanted = self.suite.lengths
        return [
            (base, entry, frames)
            for entry in (wanted.methods or self.entries if wanted else ())
            for base in self.bases_of(entry)
            for frames in wanted.frames
        ]

    def ablations_of(self, method: str) -> list[str]:
        """Names of the ablations of a method whose rows all belong to this suite."""
        rows = self.rows()
        return [
            n for n, ablation in self.ablations.items() if ablation.of == method and rows.keys() >= ablation.rows.keys()
        ]


def known(name: str, names, what: str) -> None:
    """`ValueError` that names the nearest known one unless `name` is known."""
    if name not in names:
        near = difflib.get_close_matches(name, list(names), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown {what} {name!r}: {hint}known are {', '.join(sorted(names)) or 'none'}")


def parse(model: type[BaseModel], data: Any, where: str) -> Any:
    """`model` from plain data, or a `ValueError` of one sentence a problem, each naming the key and what to do."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ValueError("; ".join(f"{where}: {sentence}" for sentence in sentences(error, model))) from None


def sentences(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """A readable sentence for each problem that pydantic found."""
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            keys = keys_at(model, path[:-1])
            near = difflib.get_close_matches(path[-1], keys, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(keys)}"
            yield f"unknown key {'.'.join(path)!r}; {hint}"
        elif problem["type"] == "missing":
            yield f"the key {'.'.join(path)!r} is missing"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = "" if isinstance(problem["input"], dict | BaseModel) else f" (given: {problem['input']!r})"
            yield (f"{'.'.join(path)}: " if path else "") + message[0].lower() + message[1:] + given


def keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Known keys of the sub-model at `path`, read from the schema."""
    schema = model.model_json_schema()
    node = schema
    for part in path:
        node = resolve(node, schema)
        of_any_name = [*node.get("patternProperties", {}).values(), node.get("additionalProperties") or {}]
        node = node.get("properties", {}).get(part) or of_any_name[0]
    return list(resolve(node, schema).get("properties", {}))


def resolve(node: dict, schema: dict) -> dict:
    """Follow a schema's reference, also inside a union."""
    for option in [node, *node.get("anyOf", ()), *node.get("allOf", ())]:
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return node


def read_yaml(path: Path) -> Any:
    """Contents of a YAML or JSON file; `ValueError` that names the file where it is missing or not YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None


def cuda() -> bool:
    """Whether torch sees a CUDA GPU; does not import torch on a machine without NVIDIA devices."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return False
    import torch

    return torch.cuda.is_available()


def choose_suite(name: str) -> tuple[str, str]:
    """The suite that runs, and a line that says why."""
    if name != "auto":
        return name, f"suite: {name}"
    chosen, reason = ("paper", "a CUDA GPU is there") if cuda() else ("sprites", "no CUDA GPU")
    return (
        chosen,
        f"suite: {chosen} (auto: {reason}; set `suite` in config/config.yaml or --config suite=NAME to choose)",
    )


def load_experiment(suite: str, root: Path, limit: int | None = None) -> Experiment:
    """Read and check a suite by name (`config/suites/<name>.yaml`) or path, with all files that it names.

    Raises `ValueError` with one sentence that names the file, the key and the nearest known one.
    """
    folder = root / "config"
    path = Path(suite) if suite.endswith((".yaml", ".yml")) else folder / "suites" / f"{suite}.yaml"
    if path.parent == folder / "suites":
        known(path.stem, {file.stem for file in path.parent.glob("*.yaml")}, "suite")
    loaded = parse(Suite, read_yaml(path), str(path))
    parts: dict[str, dict] = dict(entries={}, variants={}, ablations={})
    for name in loaded.methods:
        known(name, {file.stem for file in (folder / "methods").glob("*.yaml")}, "method file")
        file = folder / "methods" / f"{name}.yaml"
        methods = parse(MethodFile, read_yaml(file), str(file))
        for part, found in parts.items():
            if twice := found.keys() & getattr(methods, part).keys():
                raise ValueError(f"{file}: {part} {', '.join(sorted(twice))}: already defined by another method file")
            found |= getattr(methods, part)
    prompts = {name: read_prompts(root, chosen, limit) for name, chosen in loaded.prompts.items()}
    return parse(Experiment, dict(name=path.stem, suite=loaded, prompts=prompts, **parts), str(path))


def read_prompts(root: Path, chosen: PromptSet, limit: int | None = None) -> list[Prompt]:
    """The prompts of a set; a limit takes the first ones and leaves their ids alone."""
    path = root / chosen.file
    rows = read_yaml(path) if path.suffix else suite_rows(path, chosen)
    if not isinstance(rows, list):
        raise ValueError(f"{path}: must be a list of {{id, prompt}}")
    limits = [n for n in (chosen.limit, limit) if n]
    rows = rows[: min(limits)] if limits else rows
    return [parse(Prompt, row, f"{path}, prompt {number}") for number, row in enumerate(rows, 1)]


def suite_rows(folder: Path, chosen: PromptSet) -> list[dict[str, str]]:
    """Prompts of NarrLV's suites; until they are fetched, the ids with a prompt that no run accepts (`to_fetch`)."""
    from eval.narrlv.suite import prompts

    return [
        {"id": id, "prompt": prompt or f"{TO_FETCH} {chosen.file}`"}
        for id, prompt in prompts(folder, chosen.atoms).items()
    ]


TO_FETCH = "the prompts are not here yet: run `miga narrlv fetch"


def schemas() -> dict[str, str]:
    """File name -> text of each generated schema."""
    models = {"config": Config, "suite": Suite, "methods": MethodFile}
    return {f"{n}.schema.json": json.dumps(m.model_json_schema(), indent=2) + "\n" for n, m in models.items()}


if __name__ == "__main__":
    for name, text in schemas().items():
        Path(sys.argv[1], name).write_text(text, encoding="utf-8")
