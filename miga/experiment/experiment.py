"""A suite with its files read and checked: what the DAG is built from."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from eval.benchmark import BENCHMARKS, Name, Prompt, Settings
from eval.parsing import Strict, known, parse, read_yaml
from miga.experiment.earlier import modern
from miga.experiment.suite import RESERVED, Ablation, Entry, MethodFile, Suite


class Experiment(Strict):
    """A suite with its files read: what the DAG is built from."""

    name: Name
    suite: Suite
    entries: dict[Name, Entry]
    variants: dict[Name, Entry]
    ablations: dict[Name, Ablation]
    prompts: dict[Name, list[Prompt]]  # by benchmark

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
                known(method, {entry.method for entry in rows.values()}, f"method that {base!r} is without:")
        for name in self.suite.ablations:
            known(name, self.ablations, "ablation")
            if self.ablations[name].table in self.suite.tables():
                raise ValueError(f"ablation {name!r}: the suite has another table {self.ablations[name].table!r}")
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
        texts: dict[str, str | None] = {}
        for benchmark, prompts in self.prompts.items():
            ids = [prompt.id for prompt in prompts]
            for prompt in prompts:  # two benchmarks may have a prompt in common: they score the same videos
                if ids.count(prompt.id) > 1 or texts.get(prompt.id, prompt.prompt) != prompt.prompt:
                    raise ValueError(f"prompt id {prompt.id!r} is used twice (in the benchmark {benchmark!r})")
            texts |= {prompt.id: prompt.prompt for prompt in prompts}
        return self

    def rows(self) -> dict[str, Entry]:
        """All entries and variants that this suite can build."""
        return self.entries | self.variants

    def rows_of_all(self) -> list[str]:
        """Entries of the main tables, then those that only an ablation of this suite has."""
        extra = [row for name in self.suite.ablations for row in self.ablations[name].rows]
        return list(dict.fromkeys([*self.entries, *extra]))

    def bases_of(self, entry: str) -> list[str]:
        """The base models of an entry's videos: those that its file names, without those that cannot run its method."""
        row = self.rows()[entry]
        chosen = row.bases or list(self.suite.bases)
        return [base for base in chosen if row.method not in self.suite.bases[base].without]

    def prompts_of(self, entry: str, benchmark: str) -> dict[str, Prompt]:
        """Prompt id -> prompt of an entry's videos of a benchmark; none where it takes other entries only."""
        return {p.id: p for p in self.prompts[benchmark] if benchmark in self.benchmarks_of(entry)}

    def videos_of(self, entry: str) -> list[tuple[str, str | None, int]]:
        """(prompt id, prompt, seed) of every video of an entry, on each base model."""
        return [video for shard in self.shards_of(entry).values() for video in shard]

    def shards_of(self, entry: str, size: int | None = None) -> dict[str, list[tuple[str, str | None, int]]]:
        """Name -> videos, as in `videos_of`, that one job makes: some prompts of one benchmark in a row, with one seed.

        Stable: more prompts or seeds add videos at the end of the last shards, and shards, and move none to another.
        A video that several benchmarks score is made for the first of them.
        """
        size, found, made = size or self.suite.shard, {}, set()
        for name in self.benchmarks_of(entry):
            for seed in self.suite.seeds[: self.suite.benchmarks[name].seeds]:
                for start in range(0, len(self.prompts[name]), size):
                    asked = [(p.id, p.prompt, seed) for p in self.prompts[name][start : start + size]]
                    if new := [video for video in asked if video not in made]:
                        found[f"{name}-{start // size}-seed-{seed}"] = new
                        made.update(new)
        return found

    def benchmarks_of(self, entry: str) -> list[str]:
        """Benchmarks that an entry takes part in."""
        said = self.suite.benchmarks.items()
        return [name for name, chosen in said if chosen.entries is None or entry in chosen.entries]

    @property
    def main(self) -> str:
        """The first benchmark: ablations, differences and plots are about it."""
        return next(iter(self.suite.benchmarks))

    def lengths(self) -> list[tuple[str, str, int]]:
        """(base model, entry, frames) of every measurement of memory and time against length."""
        wanted = self.suite.lengths
        return [
            (base, entry, frames)
            for entry in (wanted.entries or self.entries if wanted else ())
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
    loaded = parse(Suite, modern(read_yaml(path), str(path)), str(path))
    parts: dict[str, dict] = dict(entries={}, variants={}, ablations={})
    for name in loaded.files:
        known(name, {file.stem for file in (folder / "methods").glob("*.yaml")}, "method file")
        file = folder / "methods" / f"{name}.yaml"
        methods = parse(MethodFile, read_yaml(file), str(file))
        for part, found in parts.items():
            if twice := found.keys() & getattr(methods, part).keys():
                raise ValueError(f"{file}: {part} {', '.join(sorted(twice))}: already defined by another method file")
            found |= getattr(methods, part)
    prompts = {name: read_prompts(root, name, chosen, limit) for name, chosen in loaded.benchmarks.items()}
    return parse(Experiment, dict(name=path.stem, suite=loaded, prompts=prompts, **parts), str(path))


def read_prompts(root: Path, benchmark: str, chosen: Settings, limit: int | None = None) -> list[Prompt]:
    """The prompts of a benchmark; a limit takes the first ones and leaves their ids alone."""
    found = BENCHMARKS.get(benchmark).read_prompts(root / chosen.prompts, chosen)
    limits = [n for n in (chosen.limit, limit) if n]
    return found[: min(limits)] if limits else found
