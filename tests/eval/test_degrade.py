"""Faults: strength, length, what stays, and sentences for what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from eval.degrade import FAULTS, degrade

CHANCE = np.random.default_rng(0)
VIDEO, OTHER = (CHANCE.integers(0, 256, (40, 12, 16, 3), dtype=np.uint8) for _ in range(2))


def faulty(fault, strength, **options):
    return degrade(VIDEO, fault, strength, other=OTHER if FAULTS[fault].splice else None, **options)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_strength_is_no_fault_and_full_strength_is_one_of_the_same_length(fault):
    assert (faulty(fault, 0) == VIDEO).all()
    worst = faulty(fault, 1)
    assert worst.shape == VIDEO.shape and worst.dtype == np.uint8 and (worst != VIDEO).any()


@pytest.mark.parametrize("fault", [name for name, rule in FAULTS.items() if name != "shuffle"])
def test_the_first_frame_stays(fault):
    assert (faulty(fault, 1)[0] == VIDEO[0]).all()


@pytest.mark.parametrize("fault", ["noise", "shuffle"])
def test_chance_is_keyed_by_the_seed(fault):
    assert (faulty(fault, 0.5, seed=1) == faulty(fault, 0.5, seed=1)).all()
    assert (faulty(fault, 0.5, seed=1) != faulty(fault, 0.5, seed=2)).any()


@pytest.mark.parametrize(
    "fault, strength, options, sentence",
    [
        ("blurr", 0.5, {}, "blur"),
        ("blur", 1.5, {}, "strength 1.5"),
        ("cut", 1, {}, "needs another video"),
        ("cut", 1, {"other": OTHER[:20]}, "20 frames"),
        ("swap", 1, {"other": OTHER[:, :8]}, "16x8"),
    ],
)
def test_what_does_not_fit_is_said(fault, strength, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        degrade(VIDEO, fault, strength, **options)
