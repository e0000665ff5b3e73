"""Ground truth through the one pass: registered like any metric, and a reason where there is no value."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from eval.metric import METRICS, card
from eval.vbench.metrics import NotDefined, measured, parts_of
from eval.vbench.score import Backbones, observe
from miga.sprites import reader, world
from miga.sprites.lens import LENS

TRUTH = [name for name in METRICS.names() if METRICS.module(name) == "miga.sprites.metrics"]
SCENE = world.Scene("square", "blue", "right", "grey", "plain")


def seen(prompt: str | None, networks: Backbones, frames: int = 32):
    clip = world.render([SCENE], frames, 4).frames[0]
    about = {"window": world.WINDOW, "fps": 8.0, "prompt": prompt}
    return observe(clip.split(7), networks, parts_of(TRUTH), **about)


@pytest.fixture(scope="module")
def networks():
    return LENS.load(TRUTH)


@pytest.mark.parametrize("metric", TRUTH)
def test_the_drawn_scene_is_what_the_prompt_asks(metric, networks):
    value, series = measured(metric, seen(world.caption(SCENE), networks))
    best = 1 if card(metric).higher_is_better else 0
    assert value == pytest.approx(best, abs=0.1)
    assert all(0 <= one <= 1 for one in series)


@pytest.mark.parametrize(
    "prompt, why",
    [
        (world.caption(SCENE) + ", then it turns red", "has events"),
        ("a dog on a beach", "not a caption"),
        (None, "not a caption"),
    ],
)
def test_other_prompts_have_no_value_and_a_reason(prompt, why, networks):
    with pytest.raises(NotDefined, match=why):
        measured("prompt_fidelity", seen(prompt, networks))


def test_a_protocol_without_the_reader_says_so():
    with pytest.raises(NotDefined, match="networks of other have no reading"):
        measured("identity", seen(world.caption(SCENE), Backbones("other", "1", None, None, None)))


def test_too_short_for_a_window_of_motion(networks):
    with pytest.raises(NotDefined, match="needs a window of 16"):
        measured("motion_fidelity", seen(world.caption(SCENE), networks, frames=9))
    assert torch.tensor(measured("kept", seen(None, networks, frames=9))[1]).all()


@pytest.mark.parametrize("metrics, loads", [(("repetition", "motion", "one_subject"), 0), (("drift", "identity"), 1)])
def test_the_reader_is_loaded_only_where_a_metric_looks_through_it(monkeypatch, metrics, loads):
    read = []
    monkeypatch.setattr(reader, "load_file", lambda path: read.append(path) or load_file(path))
    found = LENS.load(metrics)
    clip = world.render([SCENE], 40, 4).frames[0]
    about = {"window": world.WINDOW, "fps": 8.0, "prompt": world.caption(SCENE)}
    seen = observe(clip.split(7), found, parts_of(metrics), **about)
    assert all(-1 <= measured(metric, seen)[0] <= 1 for metric in metrics) and len(read) == loads


def test_several_looks_at_a_chunk_run_the_reader_once(monkeypatch):
    runs, run = [], reader.Reader._run
    monkeypatch.setattr(reader.Reader, "_run", lambda self, frames: runs.append(len(frames)) or run(self, frames))
    names = ["subject_consistency", "background_consistency", "prompt_fidelity"]
    clip = world.render([SCENE], 32, 4).frames[0]
    seen = observe(clip.split(16), LENS.load(names), parts_of(names))
    alone = reader.shipped_reader().features(clip)
    assert runs == [16, 16, 32] and torch.equal(torch.cat([seen["subject"], seen["background"]], 1), alone)
