"""Which weights a suite needs."""

from __future__ import annotations

from pathlib import Path

from miga.experiment.experiment import choose_suite, home, load_experiment
from miga.models import registry
from miga.models.folders import spec_of


def needed_by(suite: str) -> list[str]:
    """Names of the base models of a suite, and of the networks that its methods look through. Models in folders of
    their own need no download."""
    models = [base.model for base in load_experiment(choose_suite(suite)[0], home()).suite.bases.values()]
    specs = [spec_of(Path(model)) if Path(model).is_dir() else registry.get(model) for model in models]
    named = [model for model in models if not Path(model).is_dir()]
    return list(dict.fromkeys([*named, *(extra for spec in specs for extra in spec.extras)]))
