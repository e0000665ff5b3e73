"""FreeNoise: its windows, its noise, its two prompts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.freenoise import frame_order
from baselines.freenoise.prompts import interpolated
from baselines.freenoise.windows import Windows, window_attention
from miga.engine.attention import Grid, attention
from miga.engine.noise import KeyedNoise, ReplayNoise
from tests.baselines.free_models import sample, tiny


def heads(frames, tokens=1, rows=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, rows, 2, frames, tokens, 4, generator=generator, dtype=torch.float64)


sizes = st.integers(1, 9).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))
kinds = st.sampled_from(["pyramid", "flat"])


@given(sizes, st.integers(1, 40), kinds, st.integers(1, 9))
def test_windows_cover_every_frame_once_in_sum_and_tiles_share_no_frame(size, frames, weights, most):
    total = torch.zeros(frames)
    numbers = []
    for tile in Windows(*size, weights).tiles(frames, most=most):
        assert len(tile.number) <= most
        assert tile.frames.unique().numel() == tile.frames.numel()
        assert tile.frames.min() >= 0 and tile.frames.max() < frames
        total[tile.frames] += tile.share
        numbers += tile.number.tolist()
    torch.testing.assert_close(total, torch.ones(frames))
    assert sorted(numbers) == list(range(len(numbers)))


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(1, 24), kinds, st.sampled_from(["extra", "drop"]), st.sampled_from([1, 3]))
def test_windows_batched_are_windows_one_by_one(size, frames, weights, tail, tokens):
    windows = Windows(*size, weights, tail)
    q, k, v = heads(frames, tokens)
    width = min(windows.size, frames)
    value, count = torch.zeros_like(q), torch.zeros(frames, 1, 1, dtype=q.dtype)
    for start in windows.starts(frames):
        own = slice(start, start + width)
        weight = windows.weight(width).to(q)[:, None, None]
        value[:, :, own] += weight * attention(*(x[:, :, own] for x in (q, k, v)))
        count[own] += weight
    expected = torch.where(count > 0, value / count.clamp(min=1), 0)
    found = window_attention(q, k, v, Grid(1, frames, 1, 2 * tokens), windows=windows)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)  # shares are float32


@given(st.integers(1, 12), st.integers(0, 6))
def test_a_window_as_long_as_the_video_is_plain_attention(frames, longer):
    q, k, v = heads(frames)
    found = window_attention(q, k, v, Grid(1, frames, 1, 2), windows=Windows(frames + longer, 1))
    torch.testing.assert_close(found, attention(q, k, v), atol=1e-6, rtol=1e-6)


def test_frames_beyond_a_window_do_not_matter():
    q, k, v = heads(40)
    windows, grid = Windows(8, 4), Grid(1, 40, 1, 2)
    before = window_attention(q, k, v, grid, windows=windows)
    after = window_attention(
        q, *(torch.cat([x[:, :, :20], x[:, :, 20:] + 1], 2) for x in (k, v)), grid, windows=windows
    )
    assert torch.equal(before[:, :, :16], after[:, :, :16])
    assert not torch.equal(before[:, :, 16:20], after[:, :, 16:20])


@given(sizes, st.integers(1, 60), st.integers(0, 3))
def test_noise_repeats_each_group_of_the_window_before_in_another_order(size, frames, seed):
    window, stride = size
    order = frame_order(frames, window, stride, KeyedNoise(seed))
    assert order[:window] == list(range(min(window, frames)))
    for start in range(window, frames, stride):
        group = order[start : start + stride]
        assert sorted(group) == sorted(order[start - window : start - window + len(group)])
    assert order == frame_order(frames, window, stride, KeyedNoise(seed))
    longer = frame_order(frames + stride, window, stride, KeyedNoise(seed))
    whole = window + (max(frames - window, 0) // stride) * stride
    assert longer[: min(whole, frames)] == order[: min(whole, frames)]


def test_replayed_shuffles_are_pythons():
    import random

    random.seed(123)
    group = [0, 1, 2, 3]
    random.shuffle(group)
    assert frame_order(20, 16, 4, ReplayNoise(123))[16:] == group


@pytest.mark.parametrize(("size", "stride"), [(4, 5), (4, 0)])
def test_a_stride_that_loses_frames_is_refused(size, stride):
    with pytest.raises(ValueError, match=f"stride {stride} must be between 1 and the window of {size}"):
        Windows(size, stride)
    with pytest.raises(ValueError, match=f"groups of {stride} frames must hold between 1 and the {size} frames"):
        frame_order(12, size, stride, KeyedNoise(0))


@given(st.integers(1, 40), st.floats(0, 0.5))
def test_two_prompts_move_from_the_first_to_the_second(frames, hold):
    first, second = torch.zeros(2, 3), torch.ones(2, 3)
    share = interpolated(first, second, frames, hold)[:, 0, 0]
    held = int(hold * frames)
    assert share.shape == (frames,) and (share[:held] == 0).all() and (share[frames - held :] == 1).all()
    assert (share.diff() >= 0).all()


def test_the_same_prompt_twice_is_that_prompt():
    model = tiny("unet")
    once = sample("freenoise", model, 8, ("a red circle",), stride=2)
    twice = sample("freenoise", model, 8, ("a red circle",) * 2, stride=2)
    other = sample("freenoise", model, 8, ("a red circle", "a blue square moves left"), stride=2)
    torch.testing.assert_close(twice, once, atol=1e-4, rtol=1e-4)
    assert (other - once).abs().max() > 1e-3


@pytest.mark.parametrize(("family", "count"), [("unet", 3), ("transformer", 2)])
def test_more_prompts_than_the_method_has_a_rule_for_are_refused(family, count):
    with pytest.raises(ValueError, match=f"or two on a UNet: asked for {count}"):
        sample("freenoise", tiny(family), 8, ("a",) * count, stride=2)


def test_two_prompts_in_one_frame_are_refused():
    with pytest.raises(ValueError, match="in a single latent frame: ask for more"):
        sample("freenoise", tiny("unet"), 1, ("a", "b"))
