"""What a suite asks for, compared with what there is, before the DAG is built."""

from __future__ import annotations

from pathlib import Path

from eval.benchmark import BENCHMARKS
from eval.parsing import parse
from miga.engine.abilities import lacking
from miga.engine.method import METHODS
from miga.experiment.experiment import Experiment
from miga.experiment.job import configure
from miga.models import registry
from miga.models.folders import spec_of


def check(experiment: Experiment) -> None:
    """`ValueError` for an unknown base model, method, parameter or metric of a suite, or a method that a base model
    cannot run, before anything runs."""
    for name, settings in experiment.suite.benchmarks.items():
        BENCHMARKS.get(name).check(settings)
    for entry in (experiment.entries | experiment.variants).values():
        configure(entry.method, entry.params)
    for name, base in experiment.suite.bases.items():
        own = Path(base.model).is_dir()
        spec = spec_of(Path(base.model)) if own else registry.get(base.model)
        if not own:
            chosen = {key: value for key, value in base.params.items() if key != "dtype"}
            parse(type(spec.options), spec.options.model_dump() | chosen, f"base model {base.model!r}")
        rows = [row for entry, row in experiment.rows().items() if name in experiment.bases_of(entry)]
        for method in sorted({row.method for row in rows}):
            if missing := lacking(METHODS.get(method).card.needs, spec.abilities):
                raise ValueError(
                    f"{method} does not run on {base.model!r}: it needs {' and '.join(missing)}; write "
                    f"`without: [{method}]` at the base model {name!r} of the suite"
                )
