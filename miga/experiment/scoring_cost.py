"""What scoring the videos of a suite costs before it starts: each network, and the metrics that look through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eval.benchmark import BENCHMARKS, Shape, Work
from miga.experiment.experiment import Experiment


@dataclass
class Sum:
    """Of one network in one benchmark: how often, of which metrics, and how much in all."""

    videos: int
    metrics: dict[str, None]
    amount: float
    unit: str


def sums(experiment: Experiment, base: str, benchmark: str, video: Shape) -> dict[str, Sum]:
    """By network or judge, over all videos on a base model."""
    settings, found = experiment.suite.benchmarks[benchmark], {}
    for prompt in experiment.prompts_on(base, benchmark):
        count = sum(
            experiment.has(entry, prompt.id, seed)
            for entry in experiment.rows_of_all()
            if base in experiment.bases_of(entry) and benchmark in experiment.benchmarks_of(entry)
            for seed in experiment.seeds_of(benchmark)
        )
        for work in BENCHMARKS.get(benchmark).work(settings, prompt, video):
            _add(found, work, count)
    return found


def _add(found: dict[str, Sum], work: Work, count: int) -> None:
    one = found.setdefault(work.by, Sum(0, {}, 0.0, work.unit))
    one.videos, one.amount = one.videos + count, one.amount + count * work.amount
    one.metrics |= dict.fromkeys(work.metrics)


def lines(experiment: Experiment, base: str, video: Shape) -> Iterator[str]:
    """A line per network: videos, what one costs, what all cost, and the metrics that look through it."""
    for benchmark in experiment.suite.benchmarks:
        for by, one in sums(experiment, base, benchmark, video).items():
            spent = f"{one.amount / one.videos:.3g} {one.unit} each, {digits(one.amount)} in all" if one.amount else "–"
            yield f"{base:<14} {benchmark:<18} {by:<18} {one.videos:>6}  {spent:<36} {', '.join(one.metrics)}"


def digits(amount: float) -> str:
    """Four of them; of a large number all before its point."""
    return f"{amount:,.0f}" if amount >= 1000 else f"{amount:.4g}"
