"""Each fault planted in a clean run is found, named and graded; a clean run passes."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from eval import quality
from tests.eval.conftest import made_up_facts, made_up_scores


@pytest.fixture
def run(tmp_path):
    scores = made_up_scores(10, 2)
    facts = made_up_facts(tmp_path, scores)
    facts["frames_sha256"] = [f"{i:064}" for i in range(len(facts))]
    return scores, facts


def found(scores, facts, check):
    return [finding for finding in quality.grade(scores, facts) if finding.check == check]


def test_a_clean_run_passes(run):
    findings = quality.grade(*run)
    assert quality.verdict(findings) == "pass", findings


def test_missing_values_are_counted_with_their_reasons(run):
    scores, facts = run
    rows = scores[(scores["entry"] == "miga") & (scores["metric"] == "drift")].index
    scores.loc[rows[:1], ["value", "reason"]] = [None, "empty file"]
    (finding,) = found(scores, facts, "missing values")
    assert finding.severity == "warning" and finding.where == "sprites-unet / miga / drift"
    assert finding.sentence == "1 of 20 videos have no value: empty file (1)"
    scores.loc[rows[:5], ["value", "reason"]] = [None, "empty file"]
    assert found(scores, facts, "missing values")[0].severity == "error"


def test_values_out_of_range(run):
    scores, facts = run
    scores.loc[scores["metric"].eq("motion_smoothness").idxmax(), "value"] = 1.2
    (finding,) = found(scores, facts, "range")
    assert finding.severity == "error" and "1.2" in finding.sentence
    story = scores[scores["metric"] == "drift"].assign(metric="R_cov", value=-0.5)
    assert "-0.5" in found(story, facts, "range")[0].sentence


@pytest.mark.parametrize("value, word", [(0.1, "worse than the worst"), (1.0, None)])
def test_methods_beyond_the_controls(run, value, word):
    scores, facts = run
    scores.loc[(scores["entry"] == "miga") & (scores["metric"] == "subject_consistency"), "value"] = value
    findings = found(scores, facts, "controls")
    assert [word in finding.sentence for finding in findings] == ([True] if word else [])


def test_better_than_a_perfect_control(run):
    scores, facts = run
    scores.loc[(scores["entry"] == "miga") & (scores["metric"] == "drift"), "value"] = -0.5  # lower is better
    (finding,) = found(scores, facts, "controls")
    assert "better than the best control" in finding.sentence


@pytest.mark.parametrize("column, value", [("fps", 16), ("encoder", {"crf": 23}), ("frames", 64)])
def test_unequal_videos(run, column, value):
    scores, facts = run
    place = facts[facts["entry"] == "freelong"].index[0]
    facts.at[place, column] = value
    (finding,) = found(scores, facts, "unequal videos")
    assert finding.severity == "warning" and column in finding.sentence and "freelong" in finding.sentence


def test_a_control_of_another_length_is_only_a_note(run):
    scores, facts = run
    facts.loc[facts["entry"] == "static", "frames"] = 16
    (finding,) = found(scores, facts, "unequal videos")
    assert finding.severity == "note"


@pytest.mark.parametrize("prompts, severity", [(1, "error"), (4, "warning")])
def test_few_prompts(run, prompts, severity):
    scores, facts = run
    few = scores[scores["prompt_id"].isin([f"p{i:02}" for i in range(prompts)])]
    assert {finding.severity for finding in found(few, facts, "few prompts")} == {severity}


def test_unpaired_mixed_frozen_and_doubles(run):
    scores, facts = run
    lacking = scores[~((scores["entry"] == "miga") & (scores["prompt_id"] == "p03"))]
    (finding,) = found(lacking, facts, "unpaired")
    assert finding.sentence == "lacks 2 of the 20 videos that other entries have"

    mixed = scores.copy()
    mixed.loc[mixed.index[0], "version"] = "9"
    assert found(mixed, facts, "mixed scores")[0].severity == "error"
    twice = pd.concat([scores, scores.assign(protocol="another")])  # two benchmarks
    assert not found(twice, facts, "mixed scores")
    renamed = scores["protocol"].where(scores["entry"] != "miga", "another")
    (finding, *_) = found(scores.assign(protocol=renamed), facts, "mixed scores")
    assert finding.severity == "error" and "protocols" in finding.sentence

    native = scores[scores["entry"] == "shuffled"].assign(entry="native_length")
    still = scores.copy()
    still.loc[(still["entry"] == "miga") & (still["metric"] == "motion"), "value"] = 0.001
    sound = facts[facts["entry"] == "shuffled"].assign(entry="native_length", sound=True)
    (finding,) = found(pd.concat([still, native]), pd.concat([facts, sound]), "frozen")
    assert finding.where == "sprites-unet / miga"

    facts.loc[facts["entry"] == "miga", "frames_sha256"] = "0" * 64
    assert found(scores, facts, "doubles")[0].sentence.startswith("20 videos share")


def test_the_worst_comes_first_and_is_the_verdict(run, tmp_path):
    scores, facts = run
    scores.loc[0, "value"] = 7
    facts.loc[0, "fps"] = 30
    findings = quality.grade(scores, facts)
    quality.write(findings, tmp_path / "q.json")
    data = json.loads((tmp_path / "q.json").read_text())
    assert data["verdict"] == "error" and data["findings"][0]["check"] == "range"


def test_many_findings_of_a_kind_are_one_group_with_the_first_three():
    many = [quality.Finding("warning", "controls", f"m{i}", "is worse") for i in range(46)]
    other = quality.Finding("note", "unequal videos", "b", "fps differs")
    first, second = quality.groups([*many, other])
    assert (first.severity, first.check, first.count) == ("warning", "controls", 46) and first.first == tuple(many[:3])
    assert second.count == 1 and second.first == (other,)


def test_a_metric_that_a_control_is_too_short_for_is_no_fault_of_the_run(run):
    scores, facts = run
    rows = (scores["entry"] == "static") & (scores["metric"] == "drift")
    scores.loc[rows, ["value", "reason"]] = [None, "16 frames: too few"]
    (finding,) = found(scores, facts, "missing values")
    assert finding.severity == "note"
    scores.loc[rows, "frames"] = 0  # files that cannot be read
    assert found(scores, facts, "missing values")[0].severity == "error"
