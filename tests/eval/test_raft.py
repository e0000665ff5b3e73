"""RAFT's parts against their definitions; the whole is compared with the package in test_vbench_official."""

from __future__ import annotations

import pytest
import torch

from eval.vbench import raft
from eval.video import VideoError


def test_the_lookup_finds_what_was_compared():
    torch.manual_seed(0)
    here, there = torch.randn(2, 1, 8, 16, 20)
    found = raft._looked_up(
        raft._compared(here, there)[:1], raft._grid(here) + torch.tensor([1.0, -2.0])[:, None, None]
    )
    assert found.shape == (1, 81, 16, 20)
    # place (4, 5) in rows and columns was moved to (2, 6); index (5, 3) of the square looks 1 further right, 1 higher
    wanted = here[0, :, 4, 5] @ there[0, :, 1, 7] / 8**0.5
    assert found[0, 5 * 9 + 3, 4, 5] == pytest.approx(wanted.item(), abs=1e-5)
    assert found[0, 0, 0, 0] == 0  # outside


def test_a_constant_motion_stays_constant_when_it_is_enlarged():
    moved = torch.tensor([0.5, -1.0])[None, :, None, None].expand(1, 2, 4, 5)
    found = raft._enlarged(moved, torch.randn(1, 9 * 64, 4, 5))
    assert found.shape == (1, 2, 32, 40)
    assert torch.allclose(found[:, 0, 8:-8, 8:-8], torch.tensor(4.0)) and torch.allclose(
        found[:, 1, 8:-8, 8:-8], -torch.tensor(8.0)
    )


def test_frames_are_padded_by_their_border_and_small_ones_are_refused(tmp_path):
    images = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = raft.padded(images)
    assert (
        found.shape == (1, 1, 8, 8) and found[0, 0, 0, 0] == 0 and found[0, 0, -1, -1] == 8 and found[0, 0, 2, 2] == 0
    )
    torch.save({"module.update_block.gru.convz1.weight": torch.zeros(1)}, tmp_path / "raft.pth")
    between = raft.optical_flow(tmp_path / "raft.pth", torch.device("cpu"))
    with pytest.raises(VideoError, match="64x48 pixels: RAFT needs at least 128"):
        between(*torch.zeros(2, 1, 48, 64, 3, dtype=torch.uint8))
    torch.save({"something": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the file that VBench uses"):
        raft.optical_flow(tmp_path / "other.pth", torch.device("cpu"))
