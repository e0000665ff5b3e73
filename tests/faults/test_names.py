"""Names are names: whatever a suite, an entry or a base model is called, W&B takes it, and no two become one."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import scores, track

NAMES = [
    "sprites", "my+suite", "my suite", "a.b.c", "-dash", "..", "suite.", "20251126101530123456", "٣٤٥", "caf\u00e9",
    "cafe\u0301", "日本語", "ＦＵＬＬ", "UPPER.MP4", "x" * 250, "é" * 250, "a" * 58, "a" * 120, "a" * 121, "a/b",
    "videocrafter2-wan2.1-freenoise-vs-miga-vbench-long-prompts-2026-11-seed0-4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_suites_name_fits(name):
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", track.artifact_name(name))
    assert all(1 <= len(tag) <= 64 for tag in track.tags(name, name, "")) and len(track.fitting(name)) <= 128


def test_no_two_names_become_one():
    assert len({track.artifact_name(name) for name in NAMES}) == len(NAMES)
    assert len({track.tags(name)[0] for name in NAMES}) == len(NAMES)
    assert track.artifact_name("sprites") == "sprites-results" and track.tags("sprites", "b", "a")[1:] == ["a", "b"]


@given(st.text(min_size=1, max_size=300))
def test_any_text_fits(name):
    name = name.encode("utf-8", "ignore").decode() or "x"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", track.artifact_name(name)) and len(track.tags(name)[0]) <= 64


def test_the_suites_tag_is_there_however_many_others_are():
    found = track.tags("zebra", *(f"base{i:02}" for i in range(40)))
    assert len(found) == 20 and found[0] == "suite:zebra"


def test_entries_that_differ_in_dots_alone_stay_two():
    rows = [SimpleNamespace(base="b", entry=entry, method="m", version="1", params={}) for entry in ("a.b", "a_b")]
    table = pd.DataFrame([vars(row) for row in rows])
    long = pd.DataFrame({"suite": ["s"], "metric": ["motion"], "protocol": ["p"], "version": ["1"]})
    assert len(track._config(long, table)["entries"]) == 2


def earlier(name):
    """A row as version 0.1 wrote it: with a label. Nothing is known of its video."""
    row = dict(zip(scores.IDENTITY, (name, "b", "direct", "direct", "Direct", "p", 1), strict=True))
    return row | dict(frames=4, metric="motion", protocol="p", version="1", value=0.1, reason=None, series=None)


def test_a_table_with_labels_is_read_without_them(tmp_path):
    rows = pd.DataFrame([earlier("s")])
    rows.to_parquet(tmp_path / "old.parquet")
    scores.write(rows, tmp_path / "new.parquet")
    old, new = (scores.read(tmp_path / f"{name}.parquet") for name in ("old", "new"))
    pd.testing.assert_frame_equal(old, new)
    assert tuple(old) == scores.COLUMNS and old["seed"].tolist() == [1]


@pytest.mark.parametrize("name", ["my+suite", "x" * 100 + "日本"])
def test_a_suite_of_that_name_is_published(tmp_path, monkeypatch, name):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    (tmp_path / name / "leaderboard").mkdir(parents=True)
    scores.write(pd.DataFrame([earlier(name)]), tmp_path / name / "scores.parquet")
    status = track.publish(tmp_path / name, "offline")
    assert status["state"] == "published", status
    assert json.loads((tmp_path / name / "wandb/status.json").read_text())["state"] == "published"
