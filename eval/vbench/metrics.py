"""The formulas of VBench's dimensions and of ours, on what one pass over a video leaves behind.

Each formula returns (value, series): the value of the video and the per-frame or per-pair numbers that it averages.
`NotDefined` says why a video has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from eval.metric import Metric, NotDefined

Measured = tuple[float, list[float]]
Part = str | Callable[[Tensor], Tensor]  # of an observation, as metrics name it
WINDOW = 16  # frames: the native length of the base models that the paper extends


@dataclass(frozen=True)
class Observation:
    """What is kept of a video of T frames: a few numbers per frame, and nothing of a part that no metric asked for.

    subject, background: features of each frame, as the backbone gives them.
    interpolation: mean |frame - prediction| in grey levels of frames 1, 3, 5, ... (for even T not the last one).
    change: mean |frame - next frame| in grey levels.
    displacement: share of the short side by which the most moving part moves per frame.
    """

    subject: Float[Tensor, "T d"]
    background: Float[Tensor, "T e"]
    interpolation: Float[Tensor, " pairs"]
    change: Float[Tensor, " T-1"]
    displacement: Float[Tensor, " T-1"]
    frames: int
    undefined: Mapping[str, str] = field(default_factory=dict)  # part -> why there is nothing of it
    others: Mapping[Callable, Tensor] = field(default_factory=dict)  # parts that a metric brings with it

    def of(self, part: Part) -> Tensor:
        """The rows of a part."""
        return getattr(self, part) if isinstance(part, str) else self.others[part]


PARTS = ("subject", "background", "interpolation", "change", "displacement")


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


def drift(features: Float[Tensor, "T d"], window: int = WINDOW) -> Measured:
    """How much less the last window resembles the first one than the first one resembles itself.

    The series is each frame's cosine to the mean feature of the first window; the value is its mean over the first
    window minus its mean over the last. Windows of clips shorter than two windows are halves of the clip.
    """
    span = min(window, len(features) // 2)
    features = F.normalize(features.double(), dim=-1)
    similarity = _finite(F.cosine_similarity(features, features[:span].mean(0, keepdim=True)))
    return (similarity[:span].mean() - similarity[-span:].mean()).item(), similarity.tolist()


def measured(metric: Metric, seen: Observation) -> Measured:
    """A metric of a video that was looked at; `NotDefined` where it has no value."""
    if metric.part in seen.undefined:
        raise NotDefined(seen.undefined[metric.part])
    return metric.formula(seen.of(metric.part))


def _mean(series: Float[Tensor, " n"]) -> Measured:
    return _finite(series).mean().item(), series.tolist()


def _finite(series: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    if not torch.isfinite(series).all():
        raise NotDefined("a feature or prediction of the backbone is not finite")
    return series
