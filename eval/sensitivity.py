"""Which metric sees which fault: the same videos without and with it, scored alike.

A metric is two-sided where more is neither better nor worse (motion): its card's direction names what counts as worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from eval.cards import Metric, card

TIE = 1e-9  # a difference of values up to this is none
LARGEST = 10.0  # effect
SURE = 0.85  # share of videos that a metric must put right to see a fault, or wrong to reward it
RESAMPLES = 2000

Verdict = Literal["sees", "blind", "rewards"]


class Effect(NamedTuple):
    """accuracy: share of videos whose faulty copy scores worse, ties half. effect: the mean harm in deviations of the
    scores, > 0 for worse, with its 95 % interval over videos. n: pairs."""

    accuracy: float
    effect: float
    low: float
    high: float
    n: int

    @property
    def verdict(self) -> Verdict:
        """Sees: nearly all faulty copies score worse, and certainly so on average; rewards: better; else blind."""
        if self.accuracy >= SURE and self.low > 0:
            return "sees"
        if self.accuracy <= 1 - SURE and self.high < 0:
            return "rewards"
        return "blind"


def effect(
    original: Sequence[float],
    faulty: Sequence[float],
    higher_is_better: bool,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Effect:
    """Scores of the same videos without and with a fault; needs at least two videos.

    The interval is the percentile bootstrap over videos of the whole ratio.
    """
    pairs = np.array([original, faulty], np.float64)
    count = pairs.shape[1]
    if count < 2:
        raise ValueError(f"{count} pair{'s' * (count != 1)} of videos: an effect needs at least 2")
    harm = (pairs[0] - pairs[1]) * (1 if higher_is_better else -1)
    accuracy = np.where(np.abs(harm) <= TIE, 0.5, harm > 0).mean()
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    low, high = np.quantile(_ratio(harm[drawn], pairs[:, drawn]), (0.025, 0.975))
    return Effect(float(accuracy), float(_ratio(harm, pairs)), float(low), float(high), count)


def matrix(scores: pd.DataFrame, card_of: Callable[[str], Metric] = card, resamples: int = RESAMPLES) -> pd.DataFrame:
    """A row per fault and metric: accuracy, effect, low, high, n, verdict.

    scores: columns fault (empty for the sound video), video, metric, value. Videos without a value on either side do
    not count; where fewer than two are left there is no row.
    """
    sound = scores[scores["fault"] == ""]
    rows = []
    for (fault, metric), part in scores[scores["fault"] != ""].groupby(["fault", "metric"], sort=False):
        pairs = sound[sound["metric"] == metric].merge(part, on="video").dropna(subset=["value_x", "value_y"])
        if len(pairs) > 1:
            found = effect(pairs["value_x"], pairs["value_y"], card_of(metric).higher_is_better, resamples)
            rows.append({"fault": fault, "metric": metric, **found._asdict(), "verdict": found.verdict})
    return pd.DataFrame(rows, columns=["fault", "metric", *Effect._fields, "verdict"])


def _ratio(harm: Float[np.ndarray, "... n"], pairs: Float[np.ndarray, "2 ... n"]) -> np.ndarray:
    """Mean harm in pooled deviations of both sides, clipped; 0 where there is no harm."""
    mean = harm.mean(-1)
    spread = np.sqrt(pairs.var(-1, ddof=1).mean(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.abs(mean) <= TIE, 0.0, mean / spread)
    return np.clip(ratio, -LARGEST, LARGEST)
