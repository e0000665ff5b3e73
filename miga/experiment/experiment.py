"""A suite with its files read and checked: what the DAG is built from."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import Field, model_validator

from eval.benchmark import BENCHMARKS, Name, Prompt, Settings
from eval.parsing import Strict, known, parse, read_yaml
from miga.experiment.digest import HOME
from miga.experiment.earlier import modern
from miga.experiment.given import Found, find
from miga.experiment.suite import RESERVED, Ablation, Entry, Given, MethodFile, Suite


class Experiment(Strict):
    """A suite with its files read: what the DAG is built from."""

    name: Name
    suite: Suite
    entries: dict[Name, Entry | Given]
    variants: dict[Name, Entry]
    ablations: dict[Name, Ablation]
    prompts: dict[Name, list[Prompt]]  # by benchmark
    given: dict[Name, Found] = Field({}, exclude=True)  # the videos of entries that others made

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        rows = self.entries | self.variants
        for name, entry in rows.items():
            if name in RESERVED or name.startswith("ablation_"):
                raise ValueError(f"an entry may not be called {name!r}: that is the name of a rule; choose another")
            for base in entry.bases or ():
                known(base, self.suite.bases, "base model")
        for base, chosen in self.suite.bases.items():
            for method in chosen.without:
                known(method, {entry.method for entry in self.made().values()}, f"method that {base!r} is without:")
            for entry in chosen.entries or ():
                known(entry, rows, f"entry of the base model {base!r}:")
            for name in chosen.limits:
                known(name, self.suite.benchmarks, f"benchmark in the limits of {base!r}:")
        made = dict.fromkeys(self.suite.tables(), "the suite's own") | dict.fromkeys(
            [*self.suite.figures(), "lengths"], "its plot"
        )
        for name, ablation in self.ablations.items():
            if other := made.get(ablation.table):
                raise ValueError(f"ablation {name!r}: table {ablation.table!r} is {other}: choose another name")
            made[ablation.table] = f"that of the ablation {name!r}"
        for name in self.suite.ablations:
            known(name, self.ablations, "ablation")
            for row in self.ablations[name].rows:
                known(row, rows, f"entry in the ablation {name!r}:")
        for name, chosen in self.suite.benchmarks.items():
            for entry in chosen.entries or ():
                known(entry, rows, f"entry in the benchmark {name!r}:")
        if self.suite.reference:
            known(self.suite.reference, self.entries, "entry as `reference`:")
        if self.suite.faults:
            known(self.suite.faults.entry, self.entries, "entry in `faults`:")
        for entry in (self.suite.lengths and self.suite.lengths.entries) or ():
            known(entry, self.entries, "entry in `lengths`:")
            if entry in self.given:
                raise ValueError(f"`lengths`: nobody can measure what the videos of {entry!r} cost: remove it there")
        texts: dict[str, str | None] = {}
        for benchmark, prompts in self.prompts.items():
            ids = [prompt.id for prompt in prompts]
            for prompt in prompts:  # two benchmarks may have a prompt in common: they score the same videos
                if ids.count(prompt.id) > 1 or texts.get(prompt.id, prompt.prompt) != prompt.prompt:
                    raise ValueError(f"prompt id {prompt.id!r} is used twice (in the benchmark {benchmark!r})")
            texts |= {prompt.id: prompt.prompt for prompt in prompts}
        return self

    def rows(self) -> dict[str, Entry | Given]:
        """All entries and variants that this suite can build."""
        return self.entries | self.variants

    def made(self) -> dict[str, Entry]:
        """Those of them whose videos a method makes."""
        return {name: row for name, row in self.rows().items() if isinstance(row, Entry)}

    def has(self, entry: str, prompt: str, seed: int) -> bool:
        """Whether an entry has a video of a prompt and a seed: of given ones, perhaps not of each."""
        return entry not in self.given or (prompt, seed) in self.given[entry].files

    def rows_of_all(self) -> list[str]:
        """Entries of the main tables, then those that only an ablation of this suite has."""
        extra = [row for name in self.suite.ablations for row in self.ablations[name].rows]
        return list(dict.fromkeys([*self.entries, *extra]))

    def bases_of(self, entry: str) -> list[str]:
        """The base models of an entry's videos: those that its file names and that take it, without those that cannot
        run its method."""
        row, bases = self.rows()[entry], self.suite.bases
        if isinstance(row, Given):  # which no base model makes
            return row.bases or list(bases)
        chosen = [base for base in row.bases or bases if bases[base].entries is None or entry in bases[base].entries]
        return [base for base in chosen if row.method not in self.suite.bases[base].without]

    def prompts_of(self, entry: str, benchmark: str) -> dict[str, Prompt]:
        """Prompt id -> prompt of an entry's videos of a benchmark; none where it takes other entries only."""
        ids = {id for id, _, _ in self.videos_of(entry)}
        return {p.id: p for p in self.prompts[benchmark] if p.id in ids}

    def prompts_on(self, base: str | None, benchmark: str) -> list[Prompt]:
        """The prompts of a benchmark on a base model; of None, those of all."""
        return self.prompts[benchmark][: self.suite.bases[base].limits.get(benchmark) if base else None]

    def videos_of(self, entry: str, base: str | None = None) -> list[tuple[str, str | None, int]]:
        """(prompt id, prompt, seed) of every video of an entry on a base model, or on the one that has the most."""
        return [video for shard in self.shards_of(entry, base=base).values() for video in shard]

    def seeds_of(self, benchmark: str) -> list[int]:
        return self.suite.seeds[: self.suite.benchmarks[benchmark].seeds]

    def shards_of(
        self, entry: str, size: int | None = None, base: str | None = None, prompts: int | None = None
    ) -> dict[str, list[tuple[str, str | None, int]]]:
        """Name -> videos, as in `videos_of`, that one job makes: some prompts of one benchmark in a row, with one seed.
        Of the first so many `prompts` of each benchmark, which are whole shards where the suite has rounds of them.

        Stable: more prompts or seeds add videos at the end of the last shards, and shards, and move none to another.
        A video that several benchmarks score is made for the first of them.
        """
        size, found, made = size or self.suite.shard, {}, set()
        if self.suite.stop:
            size = math.gcd(size, self.suite.stop.prompts)
        for name in self.benchmarks_of(entry):
            chosen = self.prompts_on(base, name)[:prompts]
            for seed in self.seeds_of(name):
                for start in range(0, len(chosen), size):
                    asked = [(p.id, p.prompt, seed) for p in chosen[start : start + size]]
                    if new := [v for v in asked if v not in made and self.has(entry, v[0], v[2])]:
                        found[f"{name}-{start // size}-seed-{seed}"] = new
                        made.update(new)
        return found

    def rounds(self) -> list[int]:
        """How many prompts of each benchmark are asked for after each round; without rounds, all."""
        most = max(map(len, self.prompts.values()))
        size = self.suite.stop.prompts if self.suite.stop else most
        return [*range(size, most, size), most]

    def encoded(self) -> dict[str, list[Prompt]]:
        """Name -> prompts that one job encodes: some of one benchmark in a row, whatever the shards of videos.

        Stable: more prompts change the last of them, so that nothing else waits for them.
        """
        size = self.suite.shard
        return {
            f"{name}-{start // size}": prompts[start : start + size]
            for name, prompts in self.prompts.items()
            for start in range(0, len(prompts), size)
        }

    def benchmarks_of(self, entry: str) -> list[str]:
        """Benchmarks that an entry takes part in, and has a video for."""
        return [
            name
            for name, chosen in self.suite.benchmarks.items()
            if (chosen.entries is None or entry in chosen.entries)
            and any(self.has(entry, prompt.id, seed) for prompt in self.prompts[name] for seed in self.seeds_of(name))
        ]

    @property
    def main(self) -> str:
        """The first benchmark: ablations, differences and plots are about it."""
        return next(iter(self.suite.benchmarks))

    def lengths(self) -> list[tuple[str, str, int]]:
        """(base model, entry, frames) of every measurement of memory and time against length."""
        wanted = self.suite.lengths
        return [
            (base, entry, frames)
            for entry in (wanted.entries or (name for name in self.entries if name in self.made()) if wanted else ())
            for base in self.bases_of(entry)
            for frames in wanted.frames
        ]

    def ablations_of(self, method: str) -> list[str]:
        """Names of the ablations of a method whose rows all belong to this suite."""
        rows = self.rows()
        return [
            n for n, ablation in self.ablations.items() if ablation.of == method and rows.keys() >= ablation.rows.keys()
        ]


def cuda() -> bool:
    """Whether torch sees a CUDA GPU; does not import torch on a machine without NVIDIA devices."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return False
    import torch

    return torch.cuda.is_available()


def home() -> Path:
    """Where suites are looked for by name: this folder where it has some (a checkout, or `miga init`), else those that
    this package brings."""
    return Path.cwd() if Path("config", "suites").is_dir() else HOME


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
    folder, path = root / "config", path_of(suite, root)
    if path.parent == folder / "suites":
        known(path.stem, {file.stem for file in path.parent.glob("*.yaml")}, "suite")
    loaded = parse(Suite, modern(read_yaml(path), str(path)), str(path))
    parts: dict[str, dict] = dict(entries={}, variants={}, ablations={})
    for name in loaded.files:
        known(name, {file.stem for file in (folder / "methods").glob("*.yaml")}, "method file")
    named = [folder / "methods" / f"{name}.yaml" for name in loaded.files]
    for file in [*named, *sorted(imported_as(suite, root, "").parent.glob("*.yaml"))]:
        methods = parse(MethodFile, read_yaml(file), str(file))
        for part, found in parts.items():
            if twice := found.keys() & getattr(methods, part).keys():
                raise ValueError(f"{file}: {part} {', '.join(sorted(twice))}: already defined by another method file")
            found |= getattr(methods, part)
    prompts = {name: read_prompts(root, name, chosen) for name, chosen in loaded.benchmarks.items()}
    given = {
        name: given_videos(name, entry, root, loaded, prompts)
        for name, entry in parts["entries"].items()
        if isinstance(entry, Given)
    }
    prompts = {name: found[:limit] for name, found in prompts.items()}
    return parse(Experiment, dict(name=path.stem, suite=loaded, prompts=prompts, given=given, **parts), str(path))


def path_of(suite: str, root: Path) -> Path:
    """The file of a suite, by its name or path."""
    return Path(suite) if suite.endswith((".yaml", ".yml")) else root / "config/suites" / f"{suite}.yaml"


def imported_as(suite: str, root: Path, entry: str) -> Path:
    """Where an entry of videos that others made is written: beside the file of the suite, which stays as it is."""
    return path_of(suite, root).with_suffix(".videos") / f"{entry}.yaml"


def given_videos(name: str, entry: Given, root: Path, suite: Suite, prompts: dict[str, list[Prompt]]) -> Found:
    """The videos of an entry that others made, for the benchmarks that it takes part in."""
    chosen = {key: said for key, said in suite.benchmarks.items() if said.entries is None or name in said.entries}
    texts = {prompt.id: prompt.prompt for key in chosen for prompt in prompts[key]}
    seeds = {prompt.id: suite.seeds[: said.seeds] for key, said in chosen.items() for prompt in prompts[key]}
    return find(entry, root, texts, seeds)


def read_prompts(root: Path, benchmark: str, chosen: Settings) -> list[Prompt]:
    """The prompts of a benchmark; a limit takes the first ones and leaves their ids alone."""
    return BENCHMARKS.get(benchmark).read_prompts(root / chosen.prompts, chosen)[: chosen.limit]
