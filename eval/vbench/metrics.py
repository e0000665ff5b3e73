"""The formulas of VBench's dimensions and of ours, on what one pass over a video leaves behind.

Each returns (value, series): the value of the video and the per-frame or per-pair numbers that it averages.
`NotDefined` says why a video has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eval import lags, repetition, vqeval
from eval.metric import METRICS, NotDefined
from eval.vbench.dynamics import moves, threshold

Measured = tuple[float, list[float]]
Part = str | Callable[[Tensor], Tensor]  # of the pass, as metrics name it


@dataclass(frozen=True)
class Observation:
    """What is kept of a video: a few numbers per frame, nothing of a part that no metric asked for, and the facts.

    parts, by name (T frames; PARTS are those of every protocol, the others are its networks'):
        subject (T, d), background (T, e): features of each frame, as the backbone gives them.
        interpolation: mean |frame - prediction| in grey levels of frames 1, 3, 5, ... (for even T not the last one).
        change (T-1): mean |frame - next frame| in grey levels.
        displacement (T-1): share of the short side by which the most moving part moves per frame.
        thumbnail (T, 192): each frame averaged to 8x8 cells, in grey levels.
        sharpness (T): variance of the Laplacian of each frame.
        flow (pairs): pixels by which the fastest twentieth moves, between the frames that dynamic degree samples.
    window: frames of the base model's own clip. size: height and width in pixels. fps: as the file says, 0 if unknown.
    """

    parts: Mapping[Part, Tensor]
    frames: int
    window: int = 16
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)
    prompt: str | None = None
    undefined: Mapping[Part, str] = field(default_factory=dict)  # part -> why there is nothing of it

    def __getitem__(self, part: Part) -> Tensor:
        if part in self.undefined:
            raise NotDefined(self.undefined[part])
        return self.parts[part]


PARTS = ("subject", "background", "interpolation", "change", "displacement", "thumbnail", "sharpness", "flow")


def consistency(features: Float[Tensor, "T d"]) -> Measured:
    """VBench's subject and background consistency.

    Per frame i >= 1 the mean of its cosine to frame i - 1 and to frame 0, each clamped at 0; the value is their mean.
    """
    features = F.normalize(features, dim=-1)
    previous = F.cosine_similarity(features[:-1], features[1:]).clamp_min(0).double()
    first = F.cosine_similarity(features[:1], features[1:]).clamp_min(0).double()
    return _mean((previous + first) / 2)


def smoothness(differences: Float[Tensor, " pairs"]) -> Measured:
    """VBench's motion smoothness and temporal flickering: 1 - mean absolute difference / 255."""
    return _mean((255 - differences.double()) / 255)


def motion(displacement: Float[Tensor, " pairs"]) -> Measured:
    """Mean displacement per frame of the part of the picture that moves most, as a share of the short side."""
    return _mean(displacement.double())


def drift(features: Float[Tensor, "T d"], window: int) -> Measured:
    """How much less the last window resembles the first one than the first one resembles itself.

    The series is each frame's cosine to the mean feature of the first window; the value is its mean over the first
    window minus its mean over the last. Windows of clips shorter than two windows are halves of the clip.
    """
    span = min(window, len(features) // 2)
    features = F.normalize(features.double(), dim=-1)
    similarity = _finite(F.cosine_similarity(features, features[:span].mean(0, keepdim=True)))
    return (similarity[:span].mean() - similarity[-span:].mean()).item(), similarity.tolist()


def sharpness(variance: Float[Tensor, " T"]) -> Measured:
    """Mean over frames of the variance of the Laplacian, in grey levels squared."""
    return _mean(variance.double())


def imaging_quality(scores: Float[Tensor, "T 1"]) -> Measured:
    """VBench's imaging quality: MUSIQ's mean over frames, divided by 100."""
    return _mean(scores[:, 0].double() / 100)


def aesthetic_quality(scores: Float[Tensor, "T 1"]) -> Measured:
    """VBench's aesthetic quality: the mean over frames of what the linear head says, divided by 10."""
    return _mean(scores[:, 0].double() / 10)


def dynamic_degree(seen: Observation) -> Measured:
    """VBench's dynamic degree: 1 where enough pairs of sampled frames move, else 0; the series are pixels per pair."""
    series = _finite(seen["flow"]).tolist()
    return float(moves(series, threshold(*seen.size))), series


def falls_away(seen: Observation) -> Measured:
    """`drift` over windows of the base model's own clip."""
    return drift(seen["subject"], seen.window)


def comes_back(seen: Observation) -> Measured:
    """`repetition`: the largest contrast of lags from one window on; the series is the contrast at lags 1, 2, .."""
    found = repetition.repetition(_two_windows(seen), seen.window)
    return found.value, found.curve.tolist()


def runs_again(seen: Observation) -> Measured:
    """`rerun`: the mean over windows of the same against what came before each."""
    series = repetition.rerun(_two_windows(seen), seen.window)
    return float(series.mean()), series.tolist()


def looks_looped(seen: Observation) -> Measured:
    """VQeval's loop score on this protocol's background features, without its optical flow."""
    features = F.normalize(seen["background"].double(), dim=-1)
    if seen.frames < vqeval.FEWEST:
        raise NotDefined(f"{seen.frames} frames: vqeval_loop needs at least {vqeval.FEWEST}")
    chosen = vqeval.sampled(seen.frames, seen.fps) if seen.fps else range(seen.frames)
    return vqeval.loop_quality(features[list(chosen)].numpy()).score / 100, []


def alike_by_lag(seen: Observation) -> Measured:
    """`lag_mean`: the series is the mean cosine of subject features 1, 2, 4, .. frames apart, the value their mean."""
    series = list(lags.lag_curve(seen["subject"], lags.powers(seen.frames)).values())
    return sum(series) / len(series), series


def _two_windows(seen: Observation) -> np.ndarray:
    if seen.frames < 2 * seen.window:
        raise NotDefined(f"{seen.frames} frames: nothing comes back in less than two windows of {seen.window}")
    return seen["thumbnail"].numpy()


def of(part: str, formula: Callable[[Tensor], Measured]) -> dict[str, Any]:
    """The part and the formula of a metric that reads nothing else."""
    return {"part": part, "formula": wraps(formula)(lambda seen: formula(seen[part]))}


def parts_of(metrics: Iterable[str]) -> set[Part]:
    """The parts of the pass that these metrics read."""
    return {METRICS.get(metric).part for metric in metrics}


def measured(metric: str, seen: Observation) -> Measured:
    """Value and series of a metric; `NotDefined` says why it has none."""
    return METRICS.get(metric).formula(seen)


def _mean(series: Float[Tensor, " n"]) -> Measured:
    return _finite(series).mean().item(), series.tolist()


def _finite(series: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    if not torch.isfinite(series).all():
        raise NotDefined("a feature or prediction of the backbone is not finite")
    return series
