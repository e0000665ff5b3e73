"""The unified stage as a wavefront equals the sweep over the whole video; the zigzag queue keeps its shape."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miga.engine.noise import KeyedNoise
from miga.engine.sampling import sample_clip
from miga.engine.sweep import Context
from miga.engine.trace import Trace
from miga.method import Miga, Settings
from miga.method.unified import Unified
from miga.method.zigzag import Zigzag
from tests.miga.toy import ToyModel


def context(flow, **options):
    model = ToyModel(flow, **options)
    return Context(model, model.encode(["a"])[0], KeyedNoise(3), Trace())


def frames_of(model, count):
    return KeyedNoise(1).frames("test", range(count), 0, model.latent_shape).to(model.dtype)


def unified(run, frames, chunk, renoise=False, whole=False, **options):
    stage = Unified(run, "unified", 5, 6, run.model.window // 2, renoise=renoise, whole=whole, **options)
    sizes, parts = [], []
    for start in range(0, len(frames), chunk):
        parts.append(stage.push(frames[start : start + chunk], last=start + chunk >= len(frames)))
        sizes.append(len(stage.buffer))
    return torch.cat(parts), sizes


@settings(max_examples=10, deadline=None)
@given(st.booleans(), st.integers(1, 45), st.integers(1, 9), st.booleans())
def test_streamed_equals_whole_video(flow, count, chunk, renoise):
    run = context(flow)
    frames = frames_of(run.model, count)
    streamed, _ = unified(run, frames, chunk, renoise)
    whole, _ = unified(run, frames, len(frames), renoise, whole=True)
    assert torch.allclose(streamed, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("flow", [False, True])
def test_the_buffer_does_not_grow_with_the_video(flow):
    run = context(flow)
    window, stride, sweeps, chunk = run.model.window, run.model.window // 2, 6, 2
    _, short = unified(run, frames_of(run.model, 100), chunk)
    out, long = unified(run, frames_of(run.model, 250), chunk)
    assert len(out) == 250
    reach = max(value for value in range(window) if value % stride == stride - 1)
    assert max(short) == max(long) <= window + stride + (sweeps - 1) * reach + chunk


def test_frames_leave_before_the_video_ends():
    run = context(True)
    stage = Unified(run, "unified", 5, 6, 4)
    frames = frames_of(run.model, 200)
    early = sum(len(stage.push(frames[i : i + 2])) for i in range(0, 200, 2))
    assert early > 130


@pytest.mark.parametrize("flow", [False, True])
def test_the_queue_is_a_ladder_of_chunks(flow):
    run = context(flow)
    constants = Settings.of(Miga(reflection="off"), run.model)
    zigzag = Zigzag(run, constants)
    for _ in zigzag.warm_up(sample_clip(run.model, run.text, run.noise), None):
        pass
    size, ids = constants.l_zig, 0
    for _ in range(8):
        while zigzag.sweep() >= 0 and (chunk := zigzag.pop()) is None:
            zigzag.refill()
        zigzag.refill()
        assert len(chunk) == size
        levels = zigzag.queue.levels.reshape(-1, size)
        assert (levels == levels[:, :1]).all()
        assert levels[:, 0].tolist() == list(range(constants.emit_level + 1, run.model.solver.num_levels))
        ids += size
        assert zigzag.queue.ids.tolist() == list(range(ids, ids + levels.numel()))
