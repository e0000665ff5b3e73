"""What a metric is, in one place: its card, its formula, and what it reads of the one pass over a video.

A metric registers itself under its name, this project's no otherwise than those of other packages:

    [project.entry-points."miga.metrics"]
    first_last = "my_package:FIRST_LAST"
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from eval.registry import Registry

ROUNDING = 1e-6  # of values: the cosine of a frame with itself is 1 + 6e-8 in float32, in VBench too


class NotDefined(ValueError):
    """Why a metric has no value for this video, in one sentence."""


@dataclass(frozen=True)
class Metric:
    """A metric. `low` and `high` bound its values, `scale` is what tables multiply by to print them.

    `version` changes whenever the same video could get another value; values of different versions never meet.

    part: what it reads of the one pass: a part that the pass keeps anyway or the networks bring, by name
        (`eval.vbench.metrics.Observation` lists them), or a function of its own, uint8 RGB frames (n, height, width, 3)
        on the scoring device -> a row of numbers (n, ...) per frame. Metrics with the same part share it.
    formula: the observation of a whole video, in which `seen[part]` are the rows -> (value, series): the value of the
        video and the numbers per frame or pair that it is made of. `NotDefined` where there is none.
        A metric without a formula is computed by the benchmark that it belongs to, or is derived.
    cost: what a video costs, in words, where that is neither a network of the backbones (`eval.vbench.lens`) nor
        next to nothing.
    """

    name: str
    label: str
    short: str
    summary: str
    low: float
    high: float
    higher_is_better: bool
    version: str = "1"
    scale: float = 100.0
    unit: str = "%"
    digits: int = 2
    source: str = ""
    frames: int = 2  # fewest frames that it is defined for
    ranked: bool = True  # False: more is neither better nor worse
    of: tuple[str, ...] = ()  # a derived metric: the plain mean of the means of these
    cost: str = ""
    part: str | Callable[[Any], Any] | None = None
    formula: Callable[[Any], tuple[float, list[float]]] | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The metrics of the long table that this one is made of: itself unless it is derived."""
        return self.of or (self.name,)

    @property
    def computed(self) -> list[Any]:
        """How it is computed, as plain data: its version, the fewest frames, its part and its formula by name."""
        named = [getattr(one, "__qualname__", one) for one in (self.part, self.formula)]
        return [self.version, self.frames, *named]


METRICS = Registry("miga.metrics", "metric")


def card(name: str) -> Metric:
    """The registered metric of that name, or `<metric>.<operator>`, a drift operator (`eval/drift.py`) on its series.

    `ValueError` names the nearest known one.
    """
    from eval.drift import OPERATORS

    metric, _, operator = name.rpartition(".")
    if metric and operator in OPERATORS:
        return _over_time(card(metric), operator)
    return METRICS.get(name)


def known_card(name: str) -> Metric | None:
    """The same, None for a name that nobody has registered here."""
    try:
        return card(name)
    except ValueError:
        return None


def _over_time(metric: Metric, operator: str) -> Metric:
    """The card of a drift operator on a metric's series."""
    from eval.drift import ABSOLUTE, OPERATORS

    worse = 1 if operator.startswith("vde") or operator in ABSOLUTE or metric.higher_is_better else -1
    span = metric.high - metric.low
    return replace(
        metric,
        name=f"{metric.name}.{operator}",
        label=f"{metric.label}, {operator}",
        short=f"{metric.short} {operator}",
        summary=f"{OPERATORS[operator]} Of: {metric.summary}",
        low=-span if operator not in ABSOLUTE else 0,
        high=span if not operator.startswith("vde") else math.inf,
        higher_is_better=worse < 0,
        of=(),
        ranked=True,
        part=None,
        formula=None,
    )


def of_videos() -> tuple[str, ...]:
    """Names of all registered metrics of single videos: those with a formula."""
    return tuple(name for name in METRICS.names() if METRICS.get(name).formula)
