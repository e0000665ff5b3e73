"""Means and paired differences with 95 % bootstrap intervals.

The unit that is resampled is the prompt: videos of one prompt with several seeds are averaged first, since they are not
independent draws of what a method can do. Every prompt counts the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import stats

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A mean, its interval (None with fewer than two prompts), and from how many of how many videos and prompts."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    total: int
    prompts: int

    @property
    def certain(self) -> bool:
        """Whether the interval is there and excludes zero: the claim that a paired difference may make."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def estimate(scores: pd.DataFrame, metrics: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED) -> Estimate:
    """The mean of the metrics' means over the prompts of `scores`, the rows of one entry on one base model.

    With several metrics (the overall score), prompts that only some of them were measured on are allowed: each metric
    is averaged over its own prompts, as VBench's dimensions are.
    """
    rows = scores[scores["metric"].isin(metrics)]
    return _estimate(_by_prompt(rows, metrics), _counts(rows, metrics), resamples, seed)


def mean(scores: pd.DataFrame, metrics: Sequence[str]) -> float | None:
    """The mean that `estimate` puts its interval around; None where a metric has no value."""
    return _mean(_by_prompt(scores[scores["metric"].isin(metrics)], metrics))


def difference(
    first: pd.DataFrame, second: pd.DataFrame, metrics: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """First minus second, paired on prompt and seed: videos that only one of them has do not count."""
    pairs = first[first["metric"].isin(metrics)].merge(second, on=["prompt_id", "seed", "metric"], how="outer")
    pairs["value"] = pairs["value_x"] - pairs["value_y"]
    return _estimate(_by_prompt(pairs, metrics), _counts(pairs, metrics), resamples, seed)


def pooled(scores: pd.DataFrame, metric: str) -> Estimate:
    """The mean over the values of all series of a metric together, so that longer ones weigh more; no interval."""
    rows = scores[scores["metric"] == metric]
    known = rows[rows["value"].notna()]
    centre = float(np.mean(np.concatenate(list(known["series"])))) if len(known) else None
    return Estimate(centre, None, None, *_counts(rows, [metric]), known["prompt_id"].nunique())


def kaplan_meier(deaths: Sequence[int | None], lengths: Sequence[int]) -> Float[np.ndarray, " longest"]:
    """The share that lives past each frame (Kaplan and Meier); the end of a video is no death, we only know no further.

    deaths: the frame at which each is lost, None where it outlives its video. A video that is wrong from the start dies
    at 0.
    """
    died = np.array([length if end is None else end for end, length in zip(deaths, lengths, strict=True)])
    dead = np.array([end is not None for end in deaths])
    lengths = np.asarray(lengths)
    factors = []
    for t in range(max(lengths)):
        watched = (died >= t) & (lengths > t)
        factors.append(1 - (dead & (died == t)).sum() / max(1, watched.sum()))
    return np.cumprod(factors)


def _by_prompt(rows: pd.DataFrame, metrics: Sequence[str]) -> Float[np.ndarray, "prompts metrics"]:
    """Means over seeds; NaN where a prompt has no value of a metric, prompts without any value left out."""
    rows = rows[rows["value"].notna()]
    return rows.groupby(["prompt_id", "metric"])["value"].mean().unstack().reindex(columns=list(metrics)).to_numpy()


def _counts(rows: pd.DataFrame, metrics: Sequence[str]) -> tuple[int, int]:
    """Videos with a value and videos in all, of the metric that has the fewest values."""
    counts = [(int(part["value"].notna().sum()), len(part)) for part in (rows[rows["metric"] == m] for m in metrics)]
    return min(counts, key=lambda count: count[0])


def _mean(table: Float[np.ndarray, "prompts metrics"]) -> float | None:
    if not table.size or np.isnan(table).all(0).any():
        return None
    return float(np.nanmean(table, axis=0).mean())


def _estimate(table: np.ndarray, counts: tuple[int, int], resamples: int, seed: int) -> Estimate:
    centre = _mean(table)
    if centre is None:
        return Estimate(None, None, None, *counts, len(table))

    def resampled(*groups: Int[np.ndarray, "... prompts"], axis: int) -> np.ndarray:
        # prompts stand on the last axis of every group; nanmean leaves out what a prompt was not measured on
        assert axis == -1
        return np.nanmean(table[np.concatenate(groups, axis=-1)], axis=-2).mean(-1)

    # prompts of each pattern of measured metrics are resampled among themselves, so that no metric runs empty
    patterns = np.unique(~np.isnan(table), axis=0, return_inverse=True)[1].ravel()
    groups = [np.flatnonzero(patterns == pattern) for pattern in range(patterns.max() + 1)]
    if min(map(len, groups)) < 2:
        return Estimate(centre, None, None, *counts, len(table))
    if all(np.nanmax(np.ptp(table[group], axis=0)) < 1e-12 for group in groups):  # nothing to resample but rounding
        return Estimate(centre, centre, centre, *counts, len(table))
    interval = stats.bootstrap(
        groups, resampled, n_resamples=resamples, batch=1000, confidence_level=CONFIDENCE, method="BCa",
        vectorized=True, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Estimate(centre, float(interval.low), float(interval.high), *counts, len(table))
