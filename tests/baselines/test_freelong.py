"""FreeLong: its local attention, its filter, its blend."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.freelong import FreeLong
from baselines.freelong.blend import (
    BLOCK,
    band_mask,
    blended_attention,
    cut_attention,
    local_attention,
    low_pass,
    mix,
)
from miga.engine.attention import Grid, attention
from tests.baselines.free_models import sample, tiny
from tests.baselines.test_freenoise import heads
from tests.parity.temporal import run_block


def near(window):
    return partial(local_attention, window=window, mask="strict")


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 2 * BLOCK + 5), st.integers(1, 20), st.sampled_from(["strict", "adjusted"]), st.sampled_from([1, 2])
)
def test_local_attention_is_attention_under_the_band(frames, window, mask, tokens):
    q, k, v = heads(frames, tokens)
    dense = band_mask(frames, window, mask).repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
    found = local_attention(q, k, v, window=window, mask=mask)
    torch.testing.assert_close(found, attention(q, k, v, mask=dense), atol=1e-9, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, BLOCK + 5), st.integers(1, 20), st.sampled_from([1, 2]))
def test_cut_attention_is_a_softmax_over_all_frames_without_what_is_outside_the_band(frames, window, tokens):
    q, k, v = heads(frames, tokens)
    inside = band_mask(frames, window, "strict").repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
    weights = torch.softmax(q.flatten(2, 3) @ k.flatten(2, 3).mT / q.shape[-1] ** 0.5, -1) * inside
    found = cut_attention(q, k, v, window=window, mask="strict")
    torch.testing.assert_close(found.flatten(2, 3), weights @ v.flatten(2, 3), atol=1e-9, rtol=1e-9)


def test_bands_at_the_ends_of_a_long_video():
    strict, adjusted = (band_mask(128, 16, mask).sum(1).tolist() for mask in ("strict", "adjusted"))
    assert strict == [*range(9, 17), *[17] * 112, *range(16, 8, -1)]
    assert adjusted == [16] * 8 + [17] * 112 + [16] * 8


@given(st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from(["gaussian", "butterworth", "ideal"]))
def test_a_centred_filter_passes_zero_frequency_and_is_even(size, shape):
    gain = low_pass(size, shape=shape, centred=True)
    assert gain[0, 0, 0] == 1 and gain.min() >= 0 and gain.max() == 1
    torch.testing.assert_close(gain.flip(0, 1, 2).roll((1, 1, 1), (0, 1, 2)), gain)


@pytest.mark.parametrize(
    ("size", "total", "at_zero"), [((128, 5, 8), 157.2897, 0.726149), ((128, 10, 16), 629.8196, 1.0)]
)
def test_the_released_filter(size, total, at_zero):
    gain = low_pass(size)
    assert gain.double().sum().item() == pytest.approx(total, abs=1e-3)
    assert gain[0, 0, 0].item() == pytest.approx(at_zero, abs=1e-6)


@given(st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 5))
def test_a_filter_of_ones_is_global_of_zeros_local_and_equal_branches_stay(size, seed):
    everywhere, local = torch.randn(2, 2, 3, *size, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(mix(everywhere, local, torch.ones(size)), everywhere, atol=1e-5, rtol=0)
    assert torch.equal(mix(everywhere, local, low_pass(size, d_s=0.0)), local)
    assert torch.equal(mix(local, local, low_pass(size)), local)


@pytest.mark.parametrize(
    ("grid", "corner", "inner", "mean", "std"),
    [((5, 8), -0.787279, -1.221244, -0.009413, 0.969610), ((10, 16), 2.860901, -1.648839, -0.003638, 0.977404)],
)
def test_the_released_mix(grid, corner, inner, mean, std):
    random = np.random.RandomState(0)
    everywhere, local = (torch.from_numpy(random.randn(1, 2, 128, *grid)).float() for _ in range(2))
    mixed = mix(everywhere, local, low_pass((128, *grid)))
    found = [mixed[0, 0, 0, 0, 0], mixed[0, 1, 77, 3, 5], mixed.mean(), mixed.std()]
    assert torch.stack(found).tolist() == pytest.approx([corner, inner, mean, std], abs=2e-6)


def test_the_released_block():
    random = np.random.RandomState(1)
    block = BasicTransformerBlock(8, 2, 4, double_self_attention=True, cross_attention_dim=None).eval()
    state = block.state_dict()
    block.load_state_dict({k: torch.from_numpy(0.4 * random.randn(*state[k].shape)).float() for k in sorted(state)})
    x = torch.from_numpy(random.randn(40, 128, 8)).float()
    attend = partial(blended_attention, local=near(16), gain=low_pass, finest=None)
    with torch.no_grad():
        y = run_block(block, attend, x, Grid(1, 128, 5, 8))
    found = [y[0, 0, 0], y[17, 64, 3], y[39, 127, 7], y.mean(), y.std()]
    assert torch.stack(found).tolist() == pytest.approx([1.24588, 1.52434, 0.99001, 0.36996, 1.29036], abs=1e-5)


@pytest.mark.parametrize("tokens", [1, 6])
def test_videos_of_a_batch_do_not_mix(tokens):
    rows = 6 // tokens
    q, k, v = heads(12, tokens, rows=2 * rows)
    attend = partial(blended_attention, local=near(4), gain=low_pass, finest=None)
    together = attend(q, k, v, Grid(2, 12, 2, 3))
    alone = [attend(q[own], k[own], v[own], Grid(1, 12, 2, 3)) for own in (slice(rows), slice(rows, None))]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_short_video_has_one_branch():
    q, k, v = heads(9, rows=6)
    attend = partial(blended_attention, local=near(16), gain=low_pass, finest=None)
    torch.testing.assert_close(attend(q, k, v, Grid(1, 9, 2, 3)), attention(q, k, v))


def test_the_papers_preset_is_other_defaults():
    released, paper = FreeLong(), FreeLong(preset="paper")
    assert (released.active, released.skip_finest, released.outside) == (1, True, "masked")
    assert (paper.active, paper.skip_finest, paper.outside) == (0.5, False, "zeroed")
    assert FreeLong(preset="paper", active=0.25).active == 0.25
    model = tiny("unet")
    spelled = sample("freelong", model, 12, active=0.5, skip_finest=False, outside="zeroed")
    assert torch.equal(sample("freelong", model, 12, preset="paper"), spelled)
    assert not torch.equal(sample("freelong", model, 12, active=0.5, skip_finest=False), spelled)


def test_steps_and_the_finest_maps_decide_where_it_blends():
    model = tiny("unet")
    local = sample("freelong", model, 12, active=0.0)
    assert torch.equal(sample("freelong", model, 12, d_s=0.0), local)
    videos = [
        local,
        *(sample("freelong", model, 12, **params) for params in ({}, {"active": 0.5}, {"skip_finest": False})),
    ]
    for i, one in enumerate(videos):
        assert all((one - other).abs().max() > 1e-6 for other in videos[:i])
