"""Repetition and rerun: what comes back, told from what stands still and from what goes away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.repetition import LONGEST, repetition, rerun, thumbnails


def crossing(frames: int, period: int | None = None, height: int = 40, width: int = 56) -> np.ndarray:
    """A square that goes down and to the right over the picture, from its start again after `period` frames."""
    video = np.full((frames, height, width, 3), 60, np.uint8)
    for t in range(frames):
        step = 3 * (t % (period or frames)) // 5
        video[t, step : step + 9, step : step + 9] = 220
    return video


def seen(video: np.ndarray) -> np.ndarray:
    return thumbnails(torch.from_numpy(video)).numpy()


def test_a_loop_comes_back_and_one_way_does_not():
    there = repetition(seen(crossing(48, 20)), 16)
    assert there.value > 0.98 and there.lag == 20
    assert repetition(seen(crossing(48)), 16).value < 0.02


@pytest.mark.parametrize("noise", [0, 6])
def test_what_stands_still_has_not_come_back(noise):
    chance = np.random.default_rng(0)
    still = np.repeat(crossing(1), 48, 0) + chance.normal(0, noise, (48, 40, 56, 3))
    found = seen(still.clip(0, 255).astype(np.uint8))
    assert repetition(found, 16).value < 0.1 and rerun(found, 16).mean() < 0.1


def test_a_fade_hides_no_loop():
    dimmed = crossing(48, 20) * np.linspace(1, 0.7, 48)[:, None, None, None]
    assert repetition(seen(dimmed.astype(np.uint8)), 16).value > 0.95


def test_rerun_sees_a_loop_that_starts_late():
    late = seen(crossing(64)[[*range(40), *(40 + np.arange(48) % 16)]])
    assert rerun(late, 16)[-1] > 0.95 > repetition(late, 16).value


def test_the_change_at_each_lag_is_its_definition():
    found = np.random.default_rng(1).uniform(0, 255, (37, 192))
    level = np.sqrt(np.square(found).mean(1))
    gained = found * (level.mean() / level)[:, None]
    change = np.array([np.square(gained[k:] - gained[:-k]).mean() for k in range(1, 30)])
    usual = np.cumsum(change) / np.arange(1, 30)
    assert repetition(found, 8).curve == pytest.approx(1 - (change + 0.25) / (usual + 0.25), abs=1e-9)


def test_long_videos_are_thinned_and_still_seen():
    found = np.tile(seen(crossing(64)), (20, 1))
    assert len(found) > LONGEST and rerun(found, 64).mean() > 0.95
    assert len(rerun(found, 64)) == len(found) // 2 - 64 + 1


@pytest.mark.parametrize("size", [(8, 8), (17, 33), (64, 64), (5, 9)])
def test_thumbnails_are_adaptive_average_pooling(size):
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8))
    pooled = torch.nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).double(), 8).permute(0, 2, 3, 1)
    torch.testing.assert_close(thumbnails(frames), pooled.flatten(1), rtol=0, atol=1e-10)
