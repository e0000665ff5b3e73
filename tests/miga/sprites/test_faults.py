"""The matrix of faults at a tiny size: what a correct reader must find in it."""

from __future__ import annotations

import pandas as pd
import pytest

from eval import plots, sensitivity
from eval.vbench.faults import scores
from miga.sprites import faults
from miga.sprites.lens import LENS

METRICS = ("repetition", "temporal_flickering", "prompt_fidelity", "identity", "motion_fidelity")


@pytest.fixture(scope="module")
def matrix() -> pd.DataFrame:
    networks = LENS.load(METRICS)
    chosen = ("freeze", "loop", "swap", "shuffle")
    return sensitivity.matrix(scores(faults.clips(count=6, frames=32, seed=2, faults=chosen), networks, METRICS))


def test_what_is_seen_and_what_is_rewarded(matrix):
    verdict = {(row.fault, row.metric): row.verdict for row in matrix.itertuples()}
    accuracy = {(row.fault, row.metric): row.accuracy for row in matrix.itertuples()}
    assert verdict["freeze", "motion_fidelity"] == "sees" and verdict["freeze", "temporal_flickering"] == "rewards"
    assert verdict["loop", "repetition"] == "sees" and verdict["loop", "prompt_fidelity"] == "blind"
    assert verdict["swap", "prompt_fidelity"] == verdict["swap", "identity"] == "sees"
    assert accuracy["shuffle", "prompt_fidelity"] == accuracy["shuffle", "identity"] == 0.5


def test_the_heat_map_is_drawn(matrix, tmp_path):
    svg, png = plots.faults(matrix, tmp_path / "faults")
    assert "Prompt fidelity" in svg.read_text() and png.stat().st_size > 5000
