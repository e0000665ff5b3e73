"""The verdicts of the matrix: sees, blind, rewards."""

from __future__ import annotations

import numpy as np
import pytest

from eval.sensitivity import LARGEST, effect

SCORES = np.random.default_rng(0).normal(0.8, 0.05, 20)
NOISE = np.random.default_rng(1).normal(0, 0.02, 20)


@pytest.mark.parametrize("change, verdict", [(-0.1, "sees"), (0.1, "rewards"), (0.0, "blind")])
def test_worse_is_seen_better_is_rewarded(change, verdict):
    assert effect(SCORES, SCORES + change + NOISE, True).verdict == verdict
    mirrored = {"sees": "rewards", "rewards": "sees"}.get(verdict, verdict)
    assert effect(SCORES, SCORES + change + NOISE, False).verdict == mirrored


def test_nothing_happened():
    found = effect(SCORES, SCORES, True)
    assert (found.accuracy, found.effect, found.low, found.high, found.verdict) == (0.5, 0, 0, 0, "blind")


def test_a_certain_harm_without_spread_is_the_largest_effect():
    assert effect([1.0] * 5, [0.5] * 5, True)[:4] == (1, LARGEST, LARGEST, LARGEST)


def test_one_pair_is_no_sample():
    with pytest.raises(ValueError, match="at least 2"):
        effect([1], [0], True)
