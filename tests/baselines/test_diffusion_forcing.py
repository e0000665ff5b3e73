"""Schedules of diffusion forcing: every frame takes every step once, in order, and bad arguments are refused."""

import pytest
import torch

from baselines.diffusion_forcing import causal, mask_of
from baselines.diffusion_forcing.schedule import turns


@pytest.mark.parametrize("frames, window, lag, block, ready", [
    (6, 6, 0, 1, 0), (7, 7, 2, 1, 0), (6, 6, 3, 2, 2), (12, 6, 4, 2, 0), (5, 5, 0, 1, 1)
])  # fmt: skip
def test_every_frame_takes_every_step_once(frames, window, lag, block, ready):
    steps = 8
    calls = list(turns(frames, steps, window, lag, block, ready))
    taken = torch.stack([call.steps for call in calls]).sum(0)
    assert taken.tolist() == [0] * ready + [steps] * (frames - ready)
    for call in calls:
        assert call.end - call.start == window
        assert call.steps[: call.start].sum() == call.steps[call.end :].sum() == 0  # only what is shown steps
        assert (call.state.diff() <= 0).all()  # noise never falls with time


@pytest.mark.parametrize("arguments, sentence", [
    ((5, 8, 5, 2, 2, 0), "block=2 does not divide 5 latent frames"),
    ((6, 8, 6, 2, 2, 1), "block=2 does not divide 1 given"),
    ((6, 8, 6, 0, 1, 6), "leave nothing to make"),
    ((12, 8, 6, 1, 1, 0), "lag=1 is too small"),
])  # fmt: skip
def test_what_would_lose_frames_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        list(turns(*arguments))


def test_a_block_does_not_see_later_ones():
    mask = mask_of(4, 1, 2)
    assert mask.tolist() == [[True, True, False, False]] * 2 + [[True] * 4] * 2
    q, k, v = torch.randn(3, 1, 1, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    changed = v.clone()
    changed[:, :, 2:] = 0
    attend = causal(2)
    assert torch.equal(attend(q, k, v, None)[:, :, :2], attend(q, k, changed, None)[:, :, :2])
