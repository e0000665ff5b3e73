"""The sprites world: captions, rendering, and the networks that read it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miga.sprites import world
from miga.sprites.interpolator import interpolate
from miga.sprites.reader import HEADS, ReaderNetwork, damage, motion_of, shipped_reader

colours, shapes = st.sampled_from(list(world.COLOURS)), st.sampled_from(world.SHAPES)
motions, backgrounds = st.sampled_from(world.MOTIONS), st.sampled_from(list(world.BACKGROUNDS))
events = st.one_of(
    st.builds(world.Event, st.just("colour"), colours),
    st.builds(world.Event, st.just("motion"), motions),
    st.builds(world.Event, st.just("background"), backgrounds),
)
scenes = st.builds(
    world.Scene,
    shape=shapes,
    colour=colours,
    motion=motions,
    background=backgrounds,
    pattern=st.sampled_from(world.PATTERNS),
    size=st.sampled_from(list(world.SIZES)),
    companion=st.none() | st.tuples(colours, shapes),
    events=st.lists(events, max_size=4).map(tuple),
)
RED = world.Scene("circle", "red", "left", "grey", "plain")


@given(scenes)
def test_caption_round_trip(scene):
    text = world.caption(scene)
    assert world.parse(text) == scene
    assert world.parse(f" {text.upper().replace(',', '')}. ") == scene


@pytest.mark.parametrize(
    "text", ["", "a dog runs", "a red circle", world.caption(RED) + ", then it sings", "é" * 10_000]
)
def test_other_texts_are_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="sprites world"):
        world.parse(text)


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match="unknown colour 'mauve'"):
        replace(RED, colour="mauve")
    with pytest.raises(ValueError, match="no such event"):
        world.Event("colour", "left")


def test_sampling_covers_the_world_and_is_seeded():
    drawn = world.sample_scenes(600, 3)
    assert drawn == world.sample_scenes(600, 3) != world.sample_scenes(600, 4)
    assert {scene.motion for scene in drawn} == set(world.MOTIONS)
    assert 0.05 < np.mean([scene.companion is not None for scene in drawn]) < 0.2
    assert {event.kind for scene in drawn for event in scene.events} == {"colour", "motion", "background"}


@settings(max_examples=20, deadline=None)
@given(scenes, st.integers(1, 64), st.integers(0, 2**31))
def test_state_agrees_with_pixels(scene, frames, seed):
    clips = world.render([scene], frames, seed)
    assert clips.frames.shape == (1, frames, 64, 64, 3)
    for t in range(frames):
        state = clips.state(0, t)
        centre = clips.frames[0, t, int(state["y"]), int(state["x"])]
        assert torch.equal(centre, torch.tensor(world.COLOURS[state["colour"]], dtype=torch.uint8))
        # a background shade covers more of the frame than both shapes together
        shades = torch.tensor(world.BACKGROUNDS[state["background"]], dtype=torch.uint8)
        covered = (clips.frames[0, t, :, :, None] == shades).all(-1).any(-1).float().mean()
        assert covered > 0.6


def test_rendering_is_seeded_and_clips_are_independent():
    drawn = world.sample_scenes(6, 5)
    whole = world.render(drawn, 16, 9)
    assert torch.equal(whole.frames, world.render(drawn, 16, 9).frames)
    assert torch.equal(whole.frames[:2], world.render(drawn[:2], 16, 9).frames)
    assert not torch.equal(whole.frames, world.render(drawn, 16, 10).frames)


def test_shapes_stay_inside_in_long_videos():
    drawn = world.sample_scenes(24, 11)
    clips = world.render(drawn, 256, 11)
    radius = np.array([world.SIZES[scene.size] / 2 for scene in drawn])[:, None]
    for place in (clips.x, clips.y):
        assert (place >= radius).all()
        assert (place <= world.SIZE - radius).all()
        assert np.abs(np.diff(place, axis=1)).max() < 2


def test_events_happen_in_order():
    told = (world.Event("colour", "blue"), world.Event("background", "teal"), world.Event("motion", "up"))
    clips = world.render([replace(RED, events=told)], 64, 0)
    names = [tuple(world.COLOURS)[i] for i in clips.colour[0]]
    assert names[0] == "red" and names[-1] == "blue"
    colour_cut, scene_cut, motion_cut = (
        np.flatnonzero(np.diff(a[0])) for a in (clips.colour, clips.background, clips.motion)
    )
    assert colour_cut[0] < scene_cut[0] < motion_cut[-1]


def test_motion_is_named_from_positions():
    drawn = world.sample_scenes(150, 21, events=0.0)
    clips = world.render(drawn, 16, 21)
    right = [motion_of(x, y) == scene.motion for x, y, scene in zip(clips.x, clips.y, drawn, strict=True)]
    assert np.mean(right) > 0.97


def test_reader_on_unseen_renders():
    clips = world.render(world.sample_scenes(150, 987), 16, 987)
    frames = clips.frames[:, ::3]
    reading = shipped_reader().read(frames.flatten(0, 1))
    for name in HEADS:
        truth = getattr(clips, name)[:, ::3].reshape(-1)
        assert (getattr(reading, name) == truth).mean() >= 0.99, name
    error = np.hypot(reading.x - clips.x[:, ::3].reshape(-1), reading.y - clips.y[:, ::3].reshape(-1))
    assert error.mean() < 1.0
    assert reading.confidence.mean() > 0.95
    assert reading.names("shape")[0] == clips.state(0, 0)["shape"]


def test_reader_reads_damaged_and_resized_frames():
    clips = world.render(world.sample_scenes(100, 31), 1, 31)
    images = clips.frames[:, 0].movedim(-1, 1).float() / 127.5 - 1
    spoiled = damage(images, torch.Generator().manual_seed(0)).add(1).mul(127.5).round().to(torch.uint8).movedim(1, -1)
    assert (shipped_reader().read(spoiled).colour == clips.colour[:, 0]).mean() > 0.95
    doubled = clips.frames[:, 0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert (shipped_reader().read(doubled).shape == clips.shape[:, 0]).mean() > 0.97


def test_features_tell_subjects_and_scenes_apart():
    red, blue = (world.render([replace(RED, motion="still", colour=c)], 2, 0).frames[0] for c in ("red", "blue"))
    one, same = shipped_reader().features(red)
    other = shipped_reader().features(blue)[0]
    assert one.shape == (128,)
    cosine = torch.cosine_similarity
    assert cosine(one, same, dim=0) > 0.999 > 0.9 > cosine(one[:64], other[:64], dim=0)
    assert shipped_reader().features(red[:0]).shape == (0, 128)


def test_reader_refuses_what_is_not_frames():
    with pytest.raises(ValueError, match="uint8 frames"):
        shipped_reader().read(torch.zeros(2, 3, 64, 64))


def test_reader_network_is_small():
    assert sum(p.numel() for p in ReaderNetwork().parameters()) < 200_000


def test_interpolator_beats_the_mean_of_the_neighbours():
    frames = world.render(world.sample_scenes(40, 77, events=0.0), 3, 77).frames
    middle = interpolate(frames[:, 0], frames[:, 2])
    assert middle.dtype == torch.uint8 and middle.shape == frames[:, 1].shape
    blend = (frames[:, 0].float() + frames[:, 2].float()) / 2

    def error(guess):
        return (guess.float() - frames[:, 1].float()).abs().mean().item()

    assert error(middle) < 0.5 * error(blend)
    real = interpolate(frames[:, 0] / 255, frames[:, 2] / 255)
    assert real.dtype == torch.float32
    assert (real * 255 - middle.float()).abs().max() <= 0.51
    odd = interpolate(frames[:2, 0, :30, :45], frames[:2, 2, :30, :45])
    assert odd.shape == (2, 30, 45, 3)
