"""FreePCA: its fused windows, its noise, its gate."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.freenoise.windows import Windows, window_attention
from baselines.freepca import FreePCA, fused_levels, share_mean
from baselines.freepca.fusion import covariance, fuse, fused_attention, temperature
from miga.engine.attention import Grid, attention
from miga.engine.solvers import DDIM, FlowUniPC
from miga.models.registry import UNET, WAN
from tests.baselines.test_freenoise import heads
from tests.parity.temporal import through


def clips(windows=3, size=6, seed=0):
    """Local and global clips that agree in part, as those of one video do."""
    local, other = torch.randn(2, 2, 8, windows, size, 4, generator=torch.Generator().manual_seed(seed))
    return local, local + 0.5 * other


def fused(count):
    own, anchor = clips()
    basis = torch.linalg.eigh(covariance(anchor)).eigenvectors
    return own, anchor, fuse(own, anchor, basis, torch.full((3,), count))


def test_all_components_are_the_global_clip_and_none_keeps_the_local_one_about_its_mean():
    own, anchor, found = fused(6)
    torch.testing.assert_close(found, anchor, atol=1e-5, rtol=0)
    own, anchor, found = fused(0)
    torch.testing.assert_close(found, own - own.mean(3, keepdim=True) + anchor.mean(3, keepdim=True))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_more_directions_change(count):
    """The constant direction holds nothing once means are gone; where rounding chooses it, its place is wasted."""
    own, _, found = fused(count)
    moved = (found - found.mean(3, keepdim=True)) - (own - own.mean(3, keepdim=True))
    ranks = torch.linalg.matrix_rank(moved.permute(0, 2, 1, 4, 3).flatten(2, 3), atol=1e-4)
    assert ranks.max() == count and ranks.min() >= count - 1


@settings(max_examples=20, deadline=None)
@given(st.integers(9, 24), st.integers(1, 8), st.integers(0, 4), st.sampled_from([1, 6]))
def test_videos_of_a_batch_do_not_mix(frames, stride, components, tokens):
    rows = 6 // tokens
    q, k, v = heads(frames, tokens, rows=2 * rows)
    attend = partial(fused_attention, windows=Windows(8, stride, "flat"), components=components)
    together = attend(q, k, v, Grid(2, frames, 2, 3))
    alone = [attend(q[own], k[own], v[own], Grid(1, frames, 2, 3)) for own in (slice(rows), slice(rows, None))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


class Waits(TorchDispatchMode):
    """Notes what makes the host wait for a device: numbers read back, shapes that depend on values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal"):
            self.found.append(str(func))
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("tokens", [1, 6])
def test_no_window_waits_for_the_device(tokens):
    """The one wait is inside `eigh`, a call for all windows of all videos."""
    q, k, v = heads(24, tokens, rows=2 * 6 // tokens)
    attend = partial(fused_attention, windows=Windows(8, 2, "flat"), components=3)
    attend(q, k, v, Grid(2, 24, 2, 3))  # makes the table of windows, on the host, once
    with Waits() as waits, torch.profiler.profile() as profile:
        attend(q, k, v, Grid(2, 24, 2, 3))
    assert not waits.found
    assert sum(event.count for event in profile.key_averages() if event.key == "aten::linalg_eigh") == 1


def test_the_first_window_stays_local():
    q, k, v = heads(24)
    windows, grid = Windows(8, 4, "flat"), Grid(1, 24, 1, 2)
    own, plain = (
        fused_attention(q, k, v, grid, windows=windows, components=3),
        window_attention(q, k, v, grid, windows=windows),
    )
    torch.testing.assert_close(own[:, :, :4], plain[:, :, :4])
    assert (own[:, :, 4:] - plain[:, :, 4:]).abs().amax((0, 1, 3, 4)).min() > 1e-3


def test_the_released_attention():
    random = np.random.RandomState(2)
    attn = Attention(8, heads=2, dim_head=4, bias=False)
    state = attn.state_dict()
    attn.load_state_dict({k: torch.from_numpy(0.4 * random.randn(*state[k].shape)).float() for k in sorted(state)})
    x = np.cumsum(0.3 * random.randn(40, 64, 8), axis=1)
    x = torch.from_numpy(x + random.randn(40, 1, 8)).float()
    windows = Windows(16, 4, "flat", "drop")
    expected = {
        partial(fused_attention, windows=windows, components=3): [2.60877, -1.57565, 3.26672, -0.11915, 2.31338],
        partial(window_attention, windows=windows): [2.60877, 1.52717, 3.39898, -0.18421, 2.53936],
    }
    for attend, numbers in expected.items():
        with torch.no_grad():
            o = through(attn, attend, x, Grid(1, 64, 5, 8))
        found = [o[0, 0, 0], o[17, 20, 3], o[39, 63, 7], o.mean(), o.std()]
        assert torch.stack(found).tolist() == pytest.approx(numbers, abs=2e-5)


@given(st.integers(1, 40), st.integers(1, 10))
def test_noise_shares_its_mean_and_stays_standard_normal(frames, window):
    weights = share_mean(torch.eye(frames, dtype=torch.float64), window)  # each frame as a sum of the independent draws
    torch.testing.assert_close(weights.square().sum(1), torch.ones(frames, dtype=torch.float64))
    whole = weights[: frames // window * window].reshape(-1, window, frames).mean(1)
    torch.testing.assert_close(whole, whole[:1].expand_as(whole))


def test_a_video_of_one_window_is_plain_attention():
    q, k, v = heads(8)
    found = fused_attention(q, k, v, Grid(1, 8, 1, 2), windows=Windows(8, 4, "flat"), components=3)
    assert torch.equal(found, attention(q, k, v))


def test_the_temperature_is_one_over_a_window_and_grows_with_the_video():
    assert temperature(16, 16) == 1
    assert temperature(64, 16) == pytest.approx(1.5**0.5)
    assert 1 < temperature(64, 16, tokens=100) < temperature(64, 16)


def test_the_gate_of_the_original_and_of_the_port():
    unet = SimpleNamespace(abilities=UNET, solver=DDIM(50, grid="strided"))
    levels = list(fused_levels(FreePCA(), unet))
    assert len(levels) == 37 and unet.solver.timesteps[levels].min() == 261
    wan = SimpleNamespace(abilities=WAN, solver=FlowUniPC(50))
    assert list(fused_levels(FreePCA(), wan)) == list(range(13, 50))
    assert len(fused_levels(FreePCA(gate_fraction=0.5), unet)) == 25
