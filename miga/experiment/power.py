"""How many prompts it takes to see the differences that a paper claims, from the spread of paired differences.

A difference is seen where its 95 % interval excludes zero. The calculation is that of a paired t test with 80 % power:
the unit is the prompt, as in `eval.statistics`. Of a score that is a mean of dimensions, each on prompts of its own,
the dimension with the fewest prompts counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy import stats

from eval import scores
from eval.metric import METRICS, Metric
from eval.statistics import CONFIDENCE, difference
from eval.tables import paper_numbers
from miga.experiment.digest import ROOT
from miga.experiment.experiment import Experiment

SEEN = 0.8  # how often a difference of that size is seen
METRIC = "overall"  # that papers print, and the suite's `spread` is about
FEWEST = 6  # prompts of a spread that is believed
MOST = 10_000


@dataclass(frozen=True)
class Claim:
    """The reference entry minus another one on a base model, in points, as a paper prints it."""

    base: str
    entry: str
    points: float


def chance(points: float, spread: float, prompts: int) -> float:
    """How often a paired t test on so many prompts sees a difference of that size."""
    bound = stats.t.ppf((1 + CONFIDENCE) / 2, prompts - 1)
    return float(stats.nct.sf(bound, prompts - 1, abs(points) / spread * math.sqrt(prompts)))


def needed(points: float, spread: float) -> int | None:
    """The fewest prompts on which a difference of that size is seen in four runs of five; None where none suffice."""
    low, high = 1, 2
    while chance(points, spread, high) < SEEN:
        low, high = high, high * 2
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(points, spread, middle) >= SEEN else (middle, high)
    return high


def claims(experiment: Experiment) -> Iterator[Claim]:
    """What the suite's paper claims about its reference entry, of the entries and base models that the suite has."""
    suite, claimed = experiment.suite, {}
    for rows in paper_numbers(ROOT / suite.paper).values() if suite.paper else ():
        for base, entry in rows:
            own, other = rows.get((base, suite.reference), {}).get(METRIC), rows[base, entry].get(METRIC)
            if None not in (own, other) and entry != suite.reference:
                claimed.setdefault((base, entry), own - other)
    for (base, entry), points in claimed.items():
        if entry in experiment.rows_of_all() and base in experiment.bases_of(entry):
            yield Claim(base, entry, points)


def prompts_on(experiment: Experiment, base: str, metric: Metric) -> int:
    """Prompts of the main benchmark on a base model, of the dimension of the metric that has the fewest."""
    dimensions = [getattr(prompt, "dimensions", None) for prompt in experiment.prompts_on(base, experiment.main)]
    return min(sum(own is None or part in own for own in dimensions) for part in metric.parts)


def spread_of(table: pd.DataFrame, claim: Claim, reference: str, metric: Metric) -> float | None:
    """The standard deviation, in points, over prompts of the difference; None where too few are scored yet."""
    own = table[table["base"] == claim.base]
    first, second = (own[own["entry"] == entry] for entry in (reference, claim.entry))
    if first.empty or second.empty or not {*metric.parts} <= {*first["metric"]} & {*second["metric"]}:
        return None
    found = difference(first, second, metric.parts)
    parts = first[first["metric"].isin(metric.parts)].dropna(subset="value").groupby("metric")["prompt_id"].nunique()
    if found.low is None or min(parts) < FEWEST:
        return None
    width = (found.high - found.low) / 2 / stats.norm.ppf((1 + CONFIDENCE) / 2)
    return 100 * width * math.sqrt(min(parts))


def report(experiment: Experiment, results: Path) -> Iterator[str]:
    """A line per claim: its size, the spread and where that is from, the prompts that it takes and those there are."""
    suite, metric = experiment.suite, METRICS.get(METRIC)
    folder = results / experiment.name
    parts = [folder / "scores.parquet"] if (folder / "scores.parquet").is_file() else []
    parts = parts or sorted(folder.glob(f"*/*/{experiment.main}/*.parquet"))
    table = scores.read(parts) if parts else pd.DataFrame(columns=list(scores.COLUMNS))
    found = list(claims(experiment))
    if not found:
        raise ValueError(f"suite {experiment.name!r}: no paper claims a difference of its reference entry")
    row = "{:<14} {:<24} {:>7} {:>7} {:<12} {:>6} {:>4}  {}".format
    yield row("base", "difference", "points", "spread", "", "takes", "has", "").rstrip()
    for claim in found:
        measured = spread_of(table, claim, suite.reference, metric)
        spread = measured or suite.spread
        if spread is None:
            raise ValueError(f"suite {experiment.name!r}: nothing is scored yet; give it `spread`, in points")
        takes, has = needed(claim.points, spread), prompts_on(experiment, claim.base, metric)
        yield row(
            claim.base, f"{suite.reference} - {claim.entry}", f"{claim.points:.2f}", f"{spread:.2f}",
            "measured" if measured else "the suite's", takes or f">{MOST}", has,
            "seen" if takes and takes <= has else "not seen",
        )  # fmt: skip
    yield f"takes, has: prompts per dimension; 95 % intervals, {SEEN:.0%} power"
