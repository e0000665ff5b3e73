"""How alike are frames that lie k frames apart? A curve to look at beside drift, never a ranked number.

A frozen or looped video is its best clip: 1 at every lag, or at every multiple of the period.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ISSUE_206 = (2, 5, 10, 20, 50)  # the lags that VBench's issue 206 proposes


def powers(frames: int) -> list[int]:
    """1, 2, 4, .. below the number of frames: the lags of our curve."""
    return [1 << i for i in range(frames.bit_length()) if 1 << i < frames]


def lag_curve(features: Float[Tensor, "T d"], lags: Iterable[int]) -> dict[int, float]:
    """Mean cosine of all pairs of frames k apart, without a clamp, per lag k; lags above T - 1 are left out."""
    features = F.normalize(features.double(), dim=-1)
    return {k: (features[:-k] * features[k:]).sum(-1).mean().item() for k in lags if k < len(features)}
