"""What a suite asks for, compared with what there is, before the DAG is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.benchmark import BENCHMARKS
from eval.parsing import known, parse
from eval.report import FIGURES
from miga.engine.abilities import lacking
from miga.engine.method import METHODS
from miga.experiment import given
from miga.experiment.experiment import Experiment
from miga.experiment.given import Wanted
from miga.experiment.job import configure
from miga.experiment.suite import Base
from miga.models import registry
from miga.models.folders import spec_of


def check(experiment: Experiment) -> None:
    """`ValueError` for an unknown base model, method, parameter or metric of a suite, a method that a base model cannot
    run, or videos of others that do not compare with those of a base model, before anything runs."""
    for name, settings in experiment.suite.benchmarks.items():
        BENCHMARKS.get(name).check(settings)
    for plot in experiment.suite.plots:
        known(plot, FIGURES, "plot")
    for entry in experiment.made().values():
        configure(entry.method, entry.params)
    for name, base in experiment.suite.bases.items():
        own = Path(base.model).is_dir()
        spec = spec_of(Path(base.model)) if own else registry.get(base.model)
        if not own:
            chosen = {key: value for key, value in base.params.items() if key != "dtype"}
            parse(type(spec.options), spec.options.model_dump() | chosen, f"base model {base.model!r}")
        rows = [row for entry, row in experiment.made().items() if name in experiment.bases_of(entry)]
        for method in sorted({row.method for row in rows}):
            if missing := lacking(METHODS.get(method).card.needs, spec.abilities):
                raise ValueError(
                    f"{method} does not run on {base.model!r}: it needs {' and '.join(missing)}; write "
                    f"`without: [{method}]` at the base model {name!r} of the suite"
                )
    for entry, row in experiment.made().items():
        for benchmark in experiment.benchmarks_of(entry):
            several = next((prompt.id for prompt in experiment.prompts[benchmark] if prompt.then), None)
            if several and not METHODS.get(row.method).card.multi_prompt:
                raise ValueError(
                    f"{row.method} takes one prompt, and {several!r} of the benchmark {benchmark!r} is several: name "
                    "the entries that take several with `entries` there"
                )
    for name, found in experiment.given.items():
        for base in experiment.bases_of(name):
            given.check(name, experiment.entries[name], found, wanted(experiment, base), base)


def told(experiment: Experiment) -> Iterator[str]:
    """What is known of the entries that others made: how many videos, and what was left aside."""
    for name, found in experiment.given.items():
        yield f"{name}: {'; '.join(found.sentences())}"


def wanted(experiment: Experiment, base: str) -> Wanted:
    """What the videos of a base model in a suite are like."""
    chosen = experiment.suite.bases[base]
    spec, params = known_as(chosen)
    options = spec.options.model_copy(update=params)
    return Wanted(chosen.frames or experiment.suite.frames, options.fps, (options.width, options.height))


def known_as(base: Base) -> tuple[registry.Spec, dict]:
    """The registered model that a base is run like, and all options that are set for it."""
    from miga.models.weights import read_index

    if not Path(base.model).is_dir():
        return registry.get(base.model), base.params
    options = read_index(Path(base.model)).get("_miga", {}).get("options", {})
    return spec_of(Path(base.model)), options | base.params
