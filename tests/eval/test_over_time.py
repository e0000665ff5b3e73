"""Tables of drift operators and of clips, and VBench-Long as a benchmark."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from eval import tables
from eval.benchmark import BENCHMARKS, Prompt, Sheet
from eval.drift import first_last_15, vde_linear
from eval.metric import card
from eval.over_time import over_time
from eval.records import collect
from eval.vbench.score import score_videos
from miga.sprites.lens import LENS
from tests.eval.conftest import made_up_facts, made_up_scores, moving_square, write_video

METRICS = ["subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering"]
WORDS = dict(suite="s", base="b", method="m", seed=0, fps=8, prompt="a square")


@pytest.fixture
def videos(tmp_path):
    """One of three clips of two seconds, one of one clip."""
    paths = []
    for entry, frames in (("long", 48), ("short", 16)):
        path = write_video(tmp_path / "s/b" / entry / "p/seed-0.mp4", moving_square(frames, 1, 64, 64))
        path.with_suffix(".json").write_text(json.dumps(WORDS | dict(entry=entry, prompt_id="p", frames=frames)))
        paths.append(path)
    return paths


def test_operators_stand_in_columns_and_series_in_rows(tmp_path):
    scores = made_up_scores(3, 1)
    series = [list(np.linspace(1, 0.9, 20)) if metric == "subject_consistency" else None for metric in scores["metric"]]
    scores = scores.assign(series=series)
    found = over_time("d", "D", scores, made_up_facts(tmp_path, scores), ["subject_consistency"], resamples=50)
    assert {row.words[2] for row in found.rows} == {"Subject consistency"}
    cells = {row.entry: row.cells for row in found.rows}["miga"]
    values = np.linspace(1, 0.9, 20)
    assert cells["first_last_15"].estimate.mean == pytest.approx(first_last_15(values))
    assert cells["vde_linear"].estimate.mean == pytest.approx(vde_linear(values.reshape(10, 2).mean(1)))
    assert "first_last_5s" not in cells and not any(cell.best for cell in cells.values())


def test_a_metric_without_a_row_in_the_matrix_does_not_rank():
    assert tables.may_rank(card("overall")) and tables.may_rank(card("sharpness.first_last_15"))
    assert not tables.may_rank(card("aesthetic_quality")) and not tables.may_rank(card("drift.vde_linear"))
    assert not tables.may_rank(replace(card("overall"), of=("drift", "imaging_quality")))
    assert tables.may_rank(tables.SECONDS)
    of_judges = [card(name) for name in ("R_fid", "R_cov", "R_coh", "mean3", "unparsable")]
    assert not any(map(tables.may_rank, of_judges))
    assert not tables.may_rank(replace(card("mean3"), name="all", of=("R_fid.all", "R_cov.all")))  # NarrLV's columns


def test_vbench_long_scores_clips_and_has_both_means(videos):
    benchmark = BENCHMARKS.get("vbench-long")
    settings = benchmark.settings(prompts="p.yaml", backbones="sprites", metrics=METRICS)
    benchmark.check(settings)
    scores = benchmark.score(videos, {"p": Prompt(id="p", prompt="a square")}, settings, None, None)
    assert set(scores["protocol"]) == {"sprites-long"} and scores["value"].notna().sum() == 2 * 4 + 2
    asked = Prompt(id="p", prompt="a square", dimensions=["aesthetic_quality", *METRICS])  # clips of ten seconds
    whole = benchmark.score(videos, {"p": asked}, settings, None, None)
    assert whole["series"].str.len().max() == 1 < scores["series"].str.len().max()
    plain = score_videos(videos, LENS.load(METRICS), metrics={"p": METRICS})
    both = pd.concat([scores, plain])
    facts = collect(video.with_suffix(".json") for video in videos)
    made = {name: make(both, facts, Sheet("T")) for name, make in benchmark.tables(settings).items()}
    smooth = scores[scores["metric"] == "motion_smoothness"].set_index("entry")["series"]
    cells = {row.entry: row.cells["motion_smoothness"].estimate for row in made["vbench-long"].rows}
    assert cells["long"].mean == pytest.approx(np.mean(smooth["long"])) and len(smooth["long"]) == 3
    one = scores.assign(entry="one", seed=[0 if entry == "long" else 1 for entry in scores["entry"]])
    (row,) = tables.over_clips("c", "C", one, facts, [card("motion_smoothness")]).rows
    assert row.cells["motion_smoothness"].estimate.mean == pytest.approx(np.mean([*smooth["long"], *smooth["short"]]))
    assert "Subject, clip to clip" in tables.to_markdown(made["vbench-long"])


def test_vbench_long_knows_its_dimensions_only():
    benchmark = BENCHMARKS.get("vbench-long")
    with pytest.raises(ValueError, match="unknown dimension in the benchmark 'vbench-long': 'drift'"):
        benchmark.check(benchmark.settings(prompts="p.yaml", metrics=["drift"]))
