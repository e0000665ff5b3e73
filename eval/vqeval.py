"""LVSA's VQeval `loop_quality`, for comparison only: it takes similarity for repetition.

An exactly static clip scores 24 of 100 and a straight drift 41, both "cycle detected" (our `repetition` gives 0).
Formulas: JiusiServe/LongVideoSparseAttention, vqeval/evaluators/loop_quality.py, as its behaviour was recorded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

ALIKE = 0.97  # cosine of frames that count as the same
FEWEST = 10  # frames; fewer score UNKNOWN
UNKNOWN = 80.0
WEIGHTS = {"cycle": 0.35, "duplicates": 0.25, "flow": 0.20, "autocorrelation": 0.20}

Array = np.ndarray


class Loops(NamedTuple):
    """Everything that the evaluator reports; all shares 0..1, score 0..100, higher is better."""

    score: float
    repetition_severity: float
    cycle_score: float
    cycle_period: int
    offdiag_mean: float
    offdiag_std: float
    duplicate_ratio: float
    longest_repeat: int
    autocorrelation_lag: int
    autocorrelation_strength: float
    flow_periodicity: float

    @property
    def cycle_detected(self) -> bool:
        return self.cycle_score > 0.4


def sampled(frames: int, fps: float) -> list[int]:
    """Which frames are seen: all up to five seconds, beyond that two per second and the first, middle and last."""
    if frames / fps <= 5:
        return list(range(frames))
    return sorted({*range(0, frames, max(1, int(fps / 2))), 0, frames // 2, frames - 1})


def flow_pairs(frames: int) -> list[int]:
    """First frames of the neighbours whose optical flow is measured."""
    return list(range(0, frames - 1, max(1, frames // 30)))


def loop_quality(embeddings: Float[Array, "n d"], flow: Float[Array, " pairs"] = ()) -> Loops:
    """Unit embeddings of the sampled frames and the mean magnitudes of flow at `flow_pairs` -> the score and its parts.

    Without flow its part counts as not periodic.
    """
    embeddings = np.asarray(embeddings, np.float64)
    count = len(embeddings)
    alike = embeddings @ embeddings.T
    gap = max(3, count // 10)
    others = alike[~np.eye(count, dtype=bool)]
    cycle, period = _cycle(alike, gap, others.mean())
    duplicates = min(1.0, 3 * float((alike[np.triu_indices(count, gap)] > ALIKE).mean())) if gap < count else 0.0
    strength, lag = _autocorrelation(embeddings)
    parts = {"cycle": cycle, "duplicates": duplicates, "flow": _periodicity(flow), "autocorrelation": strength}
    severity = sum(WEIGHTS[name] * part for name, part in parts.items())
    return Loops(
        score=max(0.0, 100 * (1 - severity)) if count >= FEWEST else UNKNOWN,
        repetition_severity=severity,
        cycle_score=cycle,
        cycle_period=period,
        offdiag_mean=float(others.mean()),
        offdiag_std=float(others.std()),
        duplicate_ratio=duplicates,
        longest_repeat=max((_longest(np.diagonal(alike, p) > ALIKE) for p in range(gap, count // 2 + 1)), default=0),
        autocorrelation_lag=lag,
        autocorrelation_strength=strength,
        flow_periodicity=parts["flow"],
    )


def _cycle(alike: Array, gap: int, overall: float) -> tuple[float, int]:
    """How far the best distance above `gap` stands out of all, in thirds of a deviation; floors where all is alike."""
    means = np.array([np.diagonal(alike, k).mean() for k in range(1, len(alike) // 2 + 1)])
    peak, period = means.mean(), 1
    if gap < len(means):
        period = gap + 1 + int(means[gap:].argmax())
        peak = means[period - 1]
    spread = means.std()
    score = (peak - means.mean()) / spread / 3 if spread > 1e-9 else (means.mean() - 0.8) / 0.2
    least = 0.8 if overall > 0.95 else 0.5 if overall > 0.90 else 0.0
    return max(float(np.clip(score, 0, 1)), least), period


def _autocorrelation(embeddings: Array) -> tuple[float, int]:
    """The strongest return of the size of steps, and its lag."""
    steps = np.linalg.norm(np.diff(embeddings, axis=0), axis=1)
    steps = steps - steps.mean()
    power = np.dot(steps, steps)
    if power < 1e-8:
        return 0.8, 1
    values = np.array([np.dot(steps[:-lag], steps[lag:]) for lag in range(1, len(steps) // 2 + 1)]) / power
    start = min(2, len(values) - 1)
    best = start + int(values[start:].argmax())
    return float(np.clip(values[best], 0, 1)), best + 1


def _periodicity(flow: Float[Array, " pairs"]) -> float:
    flow = np.asarray(flow, np.float64)
    if len(flow) < 4 or flow.std() < 1e-6:
        return 0.0
    power = np.square(np.abs(np.fft.rfft(flow - flow.mean())))[1:]
    return float(np.clip((power.max() / power.sum() - 0.3) / 0.4, 0, 1))


def _longest(runs: Array) -> int:
    """The longest row of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], runs.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
