"""Drift operators where their sources' own numbers (tests/parity/golden/quality_drift) do not reach."""

from __future__ import annotations

import numpy as np
import pytest

from eval import drift


def test_a_fall_is_positive_and_helios_hides_its_sign():
    falling = np.linspace(1, 0, 100)
    assert drift.first_last_15_signed(falling) > 0.8 > drift.first_last_15_signed(falling[::-1])
    assert drift.first_last_15(falling[::-1]) == pytest.approx(drift.first_last_15(falling))


def test_five_seconds_at_each_end_must_not_overlap():
    series = np.linspace(1, 0, 100)
    assert drift.first_last_5s(series, 10) == pytest.approx(50 / 99)
    assert drift.first_last_5s(series, 10.2) is None


def test_vde_stresses_early_chunks():
    early, late = np.ones(10), np.ones(10)
    early[1] = late[-1] = 0.5
    assert drift.vde_linear(early) == 9 * drift.vde_linear(late)
    assert drift.vde_log(late) == 0 < drift.vde_log(early)
    assert drift.vde_mean(np.r_[1, np.full(9, 0.8)]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "name, series",
    [
        ("vde_linear", [0] * 20),
        ("vde_log", [1] * 9),
        ("vde_mean", [-1] * 20),
        ("first_last_15", []),
        ("first_last_5s", [1] * 9),
    ],
)
def test_what_is_not_defined_has_no_value(name, series):
    assert drift.of_series(name, series, 8) is None


@pytest.mark.parametrize("name", drift.OPERATORS)
def test_a_constant_series_does_not_drift(name):
    assert drift.of_series(name, [0.7] * 100, 8) == pytest.approx(0, abs=1e-12)
