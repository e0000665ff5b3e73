"""Drift: what published work makes of a metric's series over time, each rule under the name of its source.

A series v[0..n-1] has a value per frame (or per pair of frames, or per chunk) of any metric. Rules that put late frames
against early ones are signed, > 0 for a fall, unless their source takes the absolute value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

SHARE = 0.15  # Helios: of the series, at each end
CHUNKS = 10  # LV-Bench
SECONDS = 5  # Rolling Forcing

ENDS_FIRST = ("first_last_15", "first_last_15_signed", "first_last_5s")

Series = Float[np.ndarray, " n"]
Span = tuple[int, int]  # [first, end)


def first_last_5s(series: Series, fps: float) -> float | None:
    """Rolling Forcing's difference: the mean of the first five seconds minus that of the last five, signed.

    None where the two would overlap. The source has no public code: sign, rounding and this limit are our reading.
    """
    span = round(SECONDS * fps)
    if not 0 < 2 * span <= len(series):
        return None
    return float(np.mean(series[:span], dtype=np.float64) - np.mean(series[-span:], dtype=np.float64))


def first_last_15_signed(series: Series) -> float:
    """The mean of the first 15 % of a series minus that of the last 15 %."""
    first, last = portions(len(series))
    start, end = (float(np.mean(series[slice(*span)], dtype=np.float64)) for span in (first, last))
    return start - end


def first_last_15(series: Series) -> float:
    """Helios' drift: the same without its sign, so that noise alone gives a positive drift."""
    return abs(first_last_15_signed(series))


def portions(frames: int, least: int = 1) -> tuple[Span, Span]:
    """Helios' first and last 15 % of a video; they may overlap. least: frames that a portion has at least, if there are
    as many (4 for motion smoothness)."""
    span = min(frames, max(least, int(SHARE * frames)))
    return (0, span), (frames - span, frames)


def semantic_frames(frames: int, count: int = 8) -> tuple[list[int], list[int]]:
    """The frames of each portion that Helios shows its video-text network: `count` of them, evenly spaced."""

    def spaced(first: int, end: int) -> list[int]:
        if end - first >= count:
            return [first + int(i * (end - first) / count) for i in range(count)]
        return [first + int(place) for place in np.linspace(0, end - first - 1, count)]

    wide = min(frames, count)
    start, end = max(wide, int(SHARE * frames)), min(frames - wide, int((1 - SHARE) * frames))
    return spaced(0, start), spaced(end, frames)


def naturalness_frames(frames: int, count: int = 8) -> tuple[list[int], list[int]]:
    """The frames of each portion that Helios shows its judge: at most `count`, from the portion's first one on."""
    step = max(1, int(SHARE * frames) // count)
    first, last = portions(frames)
    return tuple(list(range(*span, step))[:count] for span in (first, last))


def chunks(frames: int, count: int = CHUNKS) -> list[Span]:
    """LV-Bench's chunks of equal length; the rest at the end is dropped, and videos below `count` frames have none."""
    length = frames // count
    return [(i * length, (i + 1) * length) for i in range(count)] if length else []


def chunk_means(series: Series) -> Series:
    """The mean of a series on each of LV-Bench's chunks."""
    return np.array([np.mean(series[first:end], dtype=np.float64) for first, end in chunks(len(series))])


def _vde(values: Series, weight: Callable[[int], float]) -> float:
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return 0.0
    if values[0] == 0:
        return math.inf
    weights = [weight(len(values) - i + 1) for i in range(2, len(values) + 1)]
    return float(np.dot(weights, np.abs(values[1:] - values[0])) / values[0])


def vde_linear(values: Series) -> float:
    """LV-Bench's VDE of chunk values m_1 .. m_N as published: sum of (N - i + 1) |m_i - m_1| / m_1 over i = 2..N.

    The weights fall: late chunks count least. Infinite where m_1 is 0, negative where it is negative: not a drift then.
    """
    return _vde(values, float)


def vde_log(values: Series) -> float:
    """The same with weights ln(N - i + 1): the last chunk does not count."""
    return _vde(values, math.log)


def vde_mean(values: Series) -> float:
    """`vde_linear` divided by the sum of its weights: a mean relative change, comparable between numbers of chunks."""
    count = len(values)
    return vde_linear(values) / (count * (count - 1) / 2) if count > 1 else 0.0


def derived(scores: pd.DataFrame, fps: Callable[[pd.Series], float], names: Sequence[str] = ENDS_FIRST) -> pd.DataFrame:
    """Rows of the long table for operators on the series of its rows, as metrics "<metric>.<operator>".

    fps: of a row's video. Rows without a series, and operators that are not defined for one, give a row with a reason.
    """
    rows = []
    for _, row in scores.iterrows():
        for name in names:
            series = row["series"]
            value = None if series is None else of_series(name, series, fps(row))
            reason = row["reason"] or f"{name} is not defined for this series" if value is None else None
            rows.append({**row, "metric": f"{row['metric']}.{name}", "value": value, "reason": reason, "series": None})
    return pd.DataFrame(rows, columns=scores.columns)


def of_series(name: str, series: Sequence[float], fps: float) -> float | None:
    """One rule by its name on a per-frame series; None where it is not defined for it."""
    values = np.asarray(series, np.float64)
    if name == "first_last_5s":
        return first_last_5s(values, fps)
    if name in ENDS:
        return ENDS[name](values) if len(values) else None
    means = chunk_means(values)
    return VDE[name](means) if len(means) and means[0] > 0 else None


ENDS = {"first_last_15": first_last_15, "first_last_15_signed": first_last_15_signed}
VDE = {"vde_linear": vde_linear, "vde_log": vde_log, "vde_mean": vde_mean}
OPERATORS = {  # what a reader of a table must know about each
    "first_last_5s": "Mean of the first five seconds minus mean of the last five (Rolling Forcing).",
    "first_last_15": "Size of the difference between the means of the first and of the last 15 % (Helios).",
    "first_last_15_signed": "Mean of the first 15 % minus mean of the last 15 %.",
    "vde_linear": "Relative change of nine chunks against the first, early chunks weighing most (LV-Bench).",
    "vde_log": "The same with logarithmic weights, the last chunk weighing nothing (LV-Bench).",
    "vde_mean": "vde_linear divided by the sum of its weights.",
}
ABSOLUTE = ("first_last_15", *VDE)  # never negative where the series is not
