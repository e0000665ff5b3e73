"""Ground truth through the one pass: registered like any metric, and a reason where there is no value."""

from __future__ import annotations

import pytest
import torch

from eval.metric import METRICS, card
from eval.vbench.metrics import NotDefined, measured, parts_of
from eval.vbench.score import Backbones, observe
from miga.sprites import world
from miga.sprites.metrics import looks
from miga.sprites.reader import shipped_reader

TRUTH = [name for name in METRICS.names() if METRICS.module(name) == "miga.sprites.metrics"]
SCENE = world.Scene("square", "blue", "right", "grey", "plain")


def seen(prompt: str | None, networks: Backbones, frames: int = 32):
    clip = world.render([SCENE], frames, 4).frames[0]
    about = {"window": world.WINDOW, "fps": 8.0, "prompt": prompt}
    return observe(clip.split(7), networks, parts_of(TRUTH), **about)


@pytest.fixture(scope="module")
def networks():
    return Backbones("sprites", "1", None, None, None, looks=looks(shipped_reader()))


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
