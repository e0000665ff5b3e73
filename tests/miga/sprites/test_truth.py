"""Ground truth on videos that the world draws: the ceiling, and what each score falls for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from miga.sprites import truth, world
from miga.sprites.reader import shipped_reader

SCENES = world.sample_scenes(12, 5, events=0.0, companions=0.0)


@pytest.fixture(scope="module")
def drawn():
    frames = world.render(SCENES, 48, 3).frames
    return frames, [shipped_reader().read(clip) for clip in frames]


def test_rendered_videos_are_the_ceiling(drawn):
    frames, readings = drawn
    for clip, reading, scene in zip(frames, readings, SCENES, strict=True):
        assert truth.prompt_fidelity(reading, scene).mean() > 0.97
        assert truth.lifetime(truth.alive(reading, scene)) == truth.lifetime(truth.kept(reading)) == 1
        assert truth.motion_fidelity(reading.x, reading.y, scene.motion).mean() > 0.85
        assert (truth.subjects(clip.numpy()) == 1).all()


def test_a_companion_is_a_subject_of_its_own_until_it_is_touched():
    scene = replace(SCENES[0], companion=("white", "circle"))
    counts = truth.subjects(world.render([scene], 64, 3).frames[0].numpy())
    assert counts[0] == 2 and set(counts) <= {1, 2}


def test_another_subject_is_another(drawn):
    _, readings = drawn
    for reading, scene in zip(readings, SCENES, strict=True):
        other = replace(scene, shape=next(shape for shape in world.SHAPES if shape != scene.shape))
        assert truth.death(truth.alive(reading, other)) == 0
        assert truth.prompt_fidelity(reading, other).mean() < 0.1


def test_the_wrong_way_and_no_way_are_no_fidelity(drawn):
    _, readings = drawn
    moving = [(r, s) for r, s in zip(readings, SCENES, strict=True) if s.motion in ("left", "right")]
    for reading, scene in moving:
        assert truth.motion_fidelity(reading.x, reading.y, "up").mean() < 0.2
        assert truth.motion_fidelity(np.full(48, 30.0), np.full(48, 30.0), scene.motion).mean() == 0
    assert moving


def test_single_misread_frames_are_no_death_and_four_are():
    alive = np.ones(20, bool)
    alive[[3, 5, 6, 7]] = False
    assert truth.death(alive) is None and truth.lifetime(alive) == 1
    alive[8] = False
    assert truth.death(alive) == 5 and truth.lifetime(alive) == 0.25
    assert truth.death(np.zeros(3, bool)) is None
