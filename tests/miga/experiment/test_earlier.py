"""Suites of the version before are read as what they mean today."""

from pathlib import Path

import yaml

from miga.experiment.earlier import modern
from miga.experiment.experiment import load_experiment

ROOT = Path(__file__).parents[3]
EARLIER = """
title: Mine
backbones: sprites
bases:
  sprites-unet: {model: sprites-unet}
methods: [controls, fifo_diffusion]
prompts:
  vbench: {file: config/prompts/sprites.yaml, protocol: vbench, metrics: [motion, drift], limit: 2}
  stories:
    file: config/prompts/sprites_narrlv.yaml
    protocol: narrlv
    metrics: [R_fid, R_cov, R_coh]
    methods: [fifo_diffusion]
judge: {kind: reader, frames: 8, votes: 1}
lengths: {frames: [24], methods: [fifo_diffusion]}
seeds: [1]
frames: 16
"""


def test_an_earlier_suite_means_the_same(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(EARLIER)
    found = load_experiment(str(path), ROOT)
    of_videos, stories = found.suite.benchmarks.values()
    assert list(found.suite.benchmarks) == ["sprites", "sprites-narrlv"] and found.suite.files == [
        "controls",
        "fifo_diffusion",
    ]
    assert of_videos.metrics == ["motion", "drift"] and of_videos.limit == 2
    assert stories.judge.kind == "reader" and stories.frames == 8 and stories.entries == ["fifo_diffusion"]
    assert found.suite.lengths.entries == ["fifo_diffusion"]
    assert "mine.yaml: written for an earlier version" in capsys.readouterr().err


def test_the_networks_of_vbench_are_vbench():
    said = yaml.safe_load(EARLIER) | {"backbones": "vbench"}
    assert list(modern(said, "x")["benchmarks"]) == ["vbench", "narrlv"]


def test_todays_suites_are_left_alone():
    said = yaml.safe_load((ROOT / "config/suites/sprites.yaml").read_text())
    assert modern(said, "x") is said
