"""Does a video come back to where it was? Two metrics on thumbnails, without a network and without a threshold.

Similarity alone says nothing: a static video is alike at every distance. Repetition is a contrast: having gone away,
how far does the video return to where it was `lag` frames ago? So the mean square change at a lag is held against the
mean over all shorter lags. What stands still has not gone away, and what goes one way does not return.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

SIDE = 8  # cells of a thumbnail per side
EPSILON = 0.25  # half a grey level, squared: what codecs and rounding change
SLACK = 0.02  # of the shortest lag that counts as the best one
LONGEST = 1024  # frames: `rerun` compares every frame with every other one


class Repetition(NamedTuple):
    value: float  # 0 (never comes back) .. 1 (comes back exactly)
    lag: int  # frames
    curve: Float[np.ndarray, " lags"]  # the contrast at lags 1, 2, ..


def thumbnails(frames: UInt8[Tensor, "n height width 3"]) -> Float[Tensor, "n 192"]:
    """RGB in grey levels averaged to 8x8 cells, float64: cell i of n pixels is floor(i n/8) .. ceil((i+1) n/8)."""
    rows, columns = (_cells(side, frames.device) for side in frames.shape[1:3])
    sums = torch.einsum("ih,nhwc,jw->nijc", rows, frames.float(), columns)  # whole numbers below 2^24 are exact
    pixels = (rows.sum(1)[:, None] * columns.sum(1))[..., None]
    return (sums.double() / pixels).flatten(1)


def _cells(pixels: int, device: torch.device) -> Float[Tensor, "8 pixels"]:
    """Which pixels of a side belong to each cell; neighbouring cells share one where 8 does not divide the side."""
    place, cell = torch.arange(pixels, device=device), torch.arange(SIDE, device=device)[:, None]
    inside = (place >= cell * pixels // SIDE) & (place < -(-(cell + 1) * pixels // SIDE))
    return inside.float()


def equal_gain(thumbnails: Float[np.ndarray, "T d"]) -> Float[np.ndarray, "T d"]:
    """Every thumbnail scaled to the video's mean brightness, so that a fade is no novelty."""
    level = np.maximum(1.0, np.sqrt(np.square(thumbnails).mean(1)))
    return thumbnails * (level.mean() / level)[:, None]


def repetition(thumbnails: Float[np.ndarray, "T d"], window: int) -> Repetition:
    """How far the video comes back to where it was at least `window` frames ago; needs two windows of frames.

    D(k) is the mean square change over k frames, M(k) the mean of D(1..k), the curve q(k) = 1 - D(k)/M(k), both with
    EPSILON added. The value is the largest q of the lags from `window` on, not below 0.
    """
    change = _change(equal_gain(np.asarray(thumbnails, np.float64)))[: len(thumbnails) - window]
    curve = _contrast(change)
    beyond = curve[window - 1 :]
    lag = window + int(np.argmax(beyond >= beyond.max() - SLACK))
    return Repetition(max(0.0, float(beyond.max())), lag, curve)


def rerun(thumbnails: Float[np.ndarray, "T d"], window: int) -> Float[np.ndarray, " starts"]:
    """The same for every window of the video against what came before it, so that a loop that starts late is seen.

    One value, 0..1, per window that starts at frame `window`, .. T - `window`; the metric is their mean. A loop of one
    window gives 1; longer ones less, since nothing precedes their first round. Videos above LONGEST frames are thinned.
    """
    seen = equal_gain(np.asarray(thumbnails, np.float64))
    every = -(-len(seen) // LONGEST)
    seen, window = seen[::every], max(1, round(window / every))
    count = len(seen)
    squares = np.square(seen).sum(1)
    apart = np.maximum(0.0, squares[:, None] + squares - 2 * seen @ seen.T) / seen.shape[1]
    # back[t, k - 1]: the change from frame t - k to frame t
    back = np.zeros((count, count))
    for t in range(count):
        back[t, :t] = apart[t, :t][::-1]
    starts = range(window, count - window + 1)
    found = [_contrast(back[a : a + window, :a].mean(0))[window - 1 :].max() for a in starts]
    return np.maximum(0.0, found)


def _change(seen: Float[np.ndarray, "T d"]) -> Float[np.ndarray, " T-1"]:
    """D(k) = mean of (x[t + k] - x[t])^2 over t and over the values, k = 1..T-1, by autocorrelations."""
    count, values = seen.shape
    seen = seen - seen.mean(0)
    spectrum = np.fft.rfft(seen, 2 * count, axis=0)
    product = np.fft.irfft(np.square(np.abs(spectrum)).sum(1), 2 * count)[1:count]
    squares = np.square(seen).sum(1)
    until, since = (
        np.cumsum(squares)[-2::-1],
        np.cumsum(squares[::-1])[-2::-1],
    )  # without the last k, without the first k
    return np.maximum(0.0, until + since - 2 * product) / (np.arange(count - 1, 0, -1) * values)


def _contrast(change: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " lags"]:
    usual = np.cumsum(change) / np.arange(1, len(change) + 1)
    return 1 - (change + EPSILON) / (usual + EPSILON)
