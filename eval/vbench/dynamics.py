"""VBench's dynamic degree: whether enough of a video's neighbouring frames differ by enough motion."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

FPS = 8  # frames per second that are looked at
FASTEST = 0.05  # share of the pixels whose motion counts
MOVES = 6 / 256  # of the short side, in pixels between two sampled frames
PAIRS = 4 / 16  # of the sampled frames


def step(fps: float) -> int:
    """Every how many frames one is looked at; halves round to even."""
    return max(1, round(fps / FPS))


def pair_scores(flow: Float[Tensor, "pairs 2 h w"]) -> Float[Tensor, " pairs"]:
    """Mean length, in pixels, of the fastest twentieth of the vectors of each pair."""
    lengths = flow.square().sum(1).sqrt().flatten(1)
    return lengths.topk(int(FASTEST * lengths.shape[1]), 1).values.mean(1)


def threshold(height: int, width: int) -> float:
    """Pixels from which on a pair of frames moves."""
    return MOVES * min(height, width)


def needed(frames: int) -> int:
    """How many pairs must move among so many sampled frames: for two frames none, so that any two "move"."""
    return round(PAIRS * frames)


def moves(scores: Sequence[float], limit: float) -> bool:
    """Whether a video with these scores of its pairs moves; one frame alone does not."""
    return len(scores) > 0 and sum(score > limit for score in scores) >= needed(len(scores) + 1)
