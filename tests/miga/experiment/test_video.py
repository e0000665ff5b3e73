"""The video file holds what was pushed, comes out the same every time, and never appears half-written."""

import numpy as np
import pytest

from eval.video import chunks, frames_digest
from miga.experiment import video
from miga.experiment.suite import Encoder


def clip(frames=21, height=48, width=64):
    t = np.arange(frames).reshape(-1, 1, 1, 1)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin((x + 2 * t[..., 0]) / 9), 2 * y + 0 * t[..., 0], 128 + 60 * np.cos((y - t[..., 0]) / 7)]
    return np.stack([np.broadcast_to(w, (frames, height, width)) for w in waves], -1).astype(np.uint8)


def write(path, frames, chunk=5, **options):
    with video.VideoWriter(path, 8, **options) as writer:
        for start in range(0, len(frames), chunk):
            writer.push(frames[start : start + chunk])
    return path


def decoded(path):
    return np.concatenate([chunk.numpy() for chunk in chunks(path)])


def test_round_trip_keeps_frames(tmp_path):
    frames = clip()
    back = decoded(write(tmp_path / "a.mp4", frames))
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).mean() < 3  # 4:2:0 halves the colour


@pytest.mark.parametrize("chunk", [1, 4, 21])
def test_same_frames_give_the_same_file(tmp_path, chunk):
    first = write(tmp_path / "a.mp4", clip())
    again = write(tmp_path / "b.mp4", clip(), chunk=chunk)
    assert first.read_bytes() == again.read_bytes()
    assert frames_digest(first) == frames_digest(again)


def test_hash_sees_frames_and_order(tmp_path):
    frames = clip()
    hashes = {frames_digest(write(tmp_path / f"{i}.mp4", f)) for i, f in enumerate([frames, frames[::-1], frames[:-1]])}
    assert len(hashes) == 3


def test_encoder_settings_matter(tmp_path):
    fine = write(tmp_path / "a.mp4", clip(), encoder=Encoder(crf=5))
    coarse = write(tmp_path / "b.mp4", clip(), encoder=Encoder(crf=40))
    assert fine.stat().st_size > coarse.stat().st_size


def test_nothing_is_left_of_a_failed_write(tmp_path):
    with pytest.raises(RuntimeError), video.VideoWriter(tmp_path / "a.mp4", 8) as writer:
        writer.push(clip())
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_video(tmp_path):
    path = write(tmp_path / "a.mp4", clip())
    before = path.read_bytes()
    with pytest.raises(RuntimeError), video.VideoWriter(path, 8) as writer:
        writer.push(clip()[::-1])
        raise RuntimeError
    assert path.read_bytes() == before


def test_refuses_odd_sizes_and_changing_sizes(tmp_path):
    with pytest.raises(ValueError, match="even sizes, not 63x48"):
        write(tmp_path / "a.mp4", clip(width=63))
    with pytest.raises(ValueError, match="a frame of shape"), video.VideoWriter(tmp_path / "b.mp4", 8) as writer:
        writer.push(clip())
        writer.push(clip(width=32))
