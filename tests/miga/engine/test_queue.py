"""The queue keeps latents, levels, ids and history together."""

import io

import torch

from miga.engine.checkpoint import copied
from miga.engine.queue import LatentQueue
from miga.engine.solvers import FlowUniPC, Stepped


def queue(frames=6, first=10):
    latents = torch.arange(frames * 6.0).reshape(frames, 1, 2, 3)
    return LatentQueue.of(FlowUniPC(20), latents, range(3, 3 + frames), first)


def test_pop_takes_the_oldest_and_append_adds_the_newest():
    frames = queue()
    head = frames.pop(2)
    assert head.ids.tolist() == [10, 11]
    assert frames.ids.tolist() == [12, 13, 14, 15]
    assert frames.levels.tolist() == [5, 6, 7, 8]
    frames.append(queue(2, frames.next_id))
    assert frames.ids.tolist() == list(range(12, 18))
    assert {len(part) for part in frames.history.values()} == {6}


def test_a_slice_is_a_copy():
    frames = queue()
    part = frames[1:3]
    part.latents += 1
    part.levels += 1
    part.history["last"] += 1
    assert frames.levels.tolist() == list(range(3, 9))
    assert torch.equal(frames.latents, queue().latents)
    assert not frames.history["last"].any()


def test_update_steps_some_frames_and_keeps_the_old_tensors():
    frames = queue()
    before = frames.latents
    positions = torch.tensor([4, 1])
    solver = FlowUniPC(20)
    sample = torch.full((2, 1, 2, 3), -1.0)
    history = {name: part[:2] + 1 for name, part in solver.fresh(before).items()}
    frames.update(positions, Stepped(sample, sample, history))
    assert frames.levels.tolist() == [3, 3, 5, 6, 6, 8]
    assert torch.equal(frames.latents[[1, 4]], sample)
    assert frames.history["steps"].tolist() == [0, 1, 0, 0, 1, 0]
    assert torch.equal(before, queue().latents)


def test_replace_tail():
    frames = queue()
    frames.replace_tail(4, queue(2, 14))
    assert len(frames) == 6
    assert frames.ids.tolist() == list(range(10, 16))
    assert frames.levels.tolist() == [3, 4, 5, 6, 3, 4]


def test_a_saved_queue_is_left_alone_by_what_comes_after():
    frames, file = queue(), io.BytesIO()
    kept = copied(frames)
    torch.save(kept, file)
    frames.pop(2)
    file.seek(0)
    for saved in (kept, torch.load(file, weights_only=True)):
        assert torch.equal(saved.latents, queue().latents) and torch.equal(saved.ids, queue().ids)
        assert saved.levels.tolist() == queue().levels.tolist()
        assert all(torch.equal(part, queue().history[name]) for name, part in saved.history.items())
