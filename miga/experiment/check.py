"""What a suite asks for, compared with what there is, before the DAG is built."""

from __future__ import annotations

from pathlib import Path

from eval.benchmark import BENCHMARKS
from eval.parsing import parse
from miga.experiment.experiment import Experiment
from miga.experiment.job import configure
from miga.models import registry


def check(experiment: Experiment) -> None:
    """`ValueError` for an unknown base model, method, parameter or metric of a suite, before anything runs."""
    for name, settings in experiment.suite.benchmarks.items():
        BENCHMARKS.get(name).check(settings)
    for entry in (experiment.entries | experiment.variants).values():
        configure(entry.method, entry.params)
    for base in experiment.suite.bases.values():
        if not Path(base.model).is_dir():
            options = registry.get(base.model).options
            chosen = {key: value for key, value in base.params.items() if key != "dtype"}
            parse(type(options), options.model_dump() | chosen, f"base model {base.model!r}")
