"""The verdicts of the matrix: sees, blind, rewards."""

from __future__ import annotations

import numpy as np
import pytest

from eval.degrade import FAULTS
from eval.sensitivity import LARGEST, effect, recorded, verdicts, write

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


def test_the_recorded_matrix_holds_what_a_correct_reader_must_find():
    faults = set(recorded()["fault"])
    metrics = {metric: verdicts(metric) for metric in recorded()["metric"]}
    assert faults == set(FAULTS)
    for fault in faults:  # (1)
        assert any(found[fault] == "sees" for found in metrics.values()), fault
    assert {m for m, found in metrics.items() if found["reverse"] == "sees"} == {
        "motion_smoothness",
        "temporal_flickering",
    }
    rewarded = {m for m, found in metrics.items() if found["freeze"] == "rewards"}  # (2)
    assert rewarded == {"subject_consistency", "motion_smoothness", "temporal_flickering", "drift"}
    assert {m for m, found in metrics.items() if found["freeze"] == "sees"} == {"motion", "motion_fidelity"}
    blind = {"subject_consistency", "background_consistency", "drift", "motion_fidelity"}  # (3)
    assert all(metrics[m]["loop"] == "blind" for m in blind)
    assert metrics["repetition"]["loop"] == metrics["rerun"]["loop"] == "sees"
    for fault in ("swap", "cut"):  # (4)
        assert all(metrics[m][fault] == "sees" for m in ("prompt_fidelity", "identity", "drift"))
    assert metrics["temporal_flickering"]["stutter"] == metrics["subject_consistency"]["stutter"] == "rewards"  # (5)
    order = recorded().query("fault in ('reverse', 'shuffle') and metric in ('prompt_fidelity', 'identity')")  # (6)
    assert set(order["accuracy"]) == {0.5}
    assert metrics["motion"]["noise"] == "rewards"  # (7)
    assert verdicts("overall")["freeze"] == "rewards"  # (8)


def test_a_metric_that_nobody_tried_has_no_verdicts():
    assert verdicts("aesthetic_quality") == {}


def test_the_matrix_is_written_with_what_it_says(tmp_path):
    csv, text = write(recorded(), tmp_path)
    assert len(csv.read_text().splitlines()) == len(recorded()) + 1
    assert "| Repetition |" in text.read_text() and "**0.90/2.4 [" in text.read_text()


def test_one_pair_is_no_sample():
    with pytest.raises(ValueError, match="at least 2"):
        effect([1], [0], True)
