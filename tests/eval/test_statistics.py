"""Intervals over prompts: against scipy by hand, against known truths, and what clusters and holes do to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.statistics import difference, estimate
from eval.vbench import VBENCH


def rows(values: dict[tuple[str, int], float | None], metric: str = "drift") -> pd.DataFrame:
    return pd.DataFrame(
        [{"prompt_id": p, "seed": s, "metric": metric, "value": v, "series": None} for (p, s), v in values.items()]
    )


def test_one_seed_is_scipys_bootstrap_of_the_mean():
    values = np.random.default_rng(0).normal(size=12)
    found = estimate(rows({(f"p{i:02}", 0): v for i, v in enumerate(values)}), ["drift"], 5000)
    wanted = stats.bootstrap(
        (values,), np.mean, n_resamples=5000, batch=1000, method="BCa", rng=np.random.default_rng(0)
    )
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval), abs=0.03)


def test_seeds_of_a_prompt_are_no_new_prompts():
    values = np.random.default_rng(1).normal(size=10)
    once = estimate(rows({(f"p{i}", 0): v for i, v in enumerate(values)}), ["drift"])
    often = estimate(rows({(f"p{i}", s): v for i, v in enumerate(values) for s in range(50)}), ["drift"])
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=0.002)  # rounding of tied resamples
    assert (often.n, often.prompts) == (500, 10)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(100):
        found = estimate(rows({(f"p{i}", 0): v for i, v in enumerate(rng.normal(size=20))}), ["drift"], 300)
        hits += found.low <= 0 <= found.high
    assert 0.87 <= hits / 100 <= 0.99


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=9), st.floats(-2, 2))
def test_a_constant_shift_moves_the_interval_with_it(values, shift):
    first = rows({(f"p{i}", 0): v for i, v in enumerate(values)})
    second = first.assign(value=first["value"] + shift)
    gap = difference(second, first, ["drift"], 200)
    assert gap.mean == pytest.approx(shift, abs=1e-9)
    assert gap.low == pytest.approx(shift, abs=1e-9) and gap.high == pytest.approx(shift, abs=1e-9)


def test_differences_are_paired_on_prompt_and_seed():
    first = rows({("a", 0): 1.0, ("a", 1): 3.0, ("b", 0): 5.0, ("c", 0): 100.0})
    second = rows({("a", 0): 0.0, ("a", 1): 1.0, ("b", 0): 4.0, ("b", 1): -50.0})
    gap = difference(first, second, ["drift"])
    assert gap.mean == pytest.approx((1.5 + 1.0) / 2)
    assert (gap.n, gap.total, gap.prompts) == (3, 5, 2)


def test_missing_values_are_counted_and_left_out():
    found = estimate(rows({("a", 0): 1.0, ("b", 0): None, ("c", 0): 3.0}), ["drift"])
    assert (found.mean, found.n, found.total, found.prompts) == (2.0, 2, 3, 2)
    empty = estimate(rows({("a", 0): None}), ["drift"])
    assert (empty.mean, empty.low, empty.n, empty.total) == (None, None, 0, 1)
    single = estimate(rows({("a", 0): 1.0, ("a", 1): 2.0}), ["drift"])
    assert single.mean == 1.5 and single.low is None and not single.certain


def test_overall_is_the_mean_of_the_dimensions_even_on_disjoint_prompts():
    # VBench's own suites: no prompt is measured on every dimension
    parts = [
        rows({(f"{metric}-{i}", 0): 0.9 + 0.01 * i for i in range(3 + k)}, metric) for k, metric in enumerate(VBENCH)
    ]
    found = estimate(pd.concat(parts), VBENCH)
    assert found.mean == pytest.approx(np.mean([part["value"].mean() for part in parts]))
    assert found.low < found.mean < found.high and (found.n, found.prompts) == (3, 18)


def test_overall_of_complete_prompts_is_the_mean_of_each_videos_four_scores(scores):
    part = scores[scores["entry"] == "miga"]
    videos = part[part["metric"].isin(VBENCH)].groupby(["prompt_id", "seed"])["value"].mean()
    assert estimate(part, VBENCH).mean == pytest.approx(videos.mean(), abs=1e-12)
