"""A sweep: independent of batching, lanes and window order; in place only where asked; stops when numbers break."""

import pytest
import torch

from miga.engine.noise import KeyedNoise
from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context, Lane, sweep
from miga.engine.trace import Trace
from miga.engine.windows import freeze, guided, plain, prefix_uniform, sliding_spans
from tests.miga.toy import ToyModel


def context(flow=False, noise=None, **options):
    model = ToyModel(flow)
    return Context(model, model.encode(["a"])[0], noise or KeyedNoise(3), Trace(), **options)


def queue(model, frames=20):
    latents = KeyedNoise(1).frames("test", range(frames), 0, model.latent_shape).to(model.dtype)
    levels = [min(4 + i // 2, 15) for i in range(frames)]
    return LatentQueue.of(model.solver, latents, levels, 0)


def plan(n=20, shift=1, guides=2):
    return guided(sliding_spans(n, 8 - guides, 4, shift), n, 8 - guides, guides, prefix_uniform)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batching_does_not_change_a_sweep(flow, batch):
    results = []
    for size in (16, batch):
        run = context(flow, batch=size)
        frames = queue(run.model)
        for number in range(3):
            sweep(run, Lane(frames, plan(shift=number), "zigzag", number))
        results.append(frames)
    assert torch.allclose(results[0].latents, results[1].latents, rtol=0, atol=1e-12)
    assert torch.equal(results[0].levels, results[1].levels)
    assert results[0].levels.tolist() == [min(4 + i // 2, 15) - 3 for i in range(20)]


@pytest.mark.parametrize("flow", [False, True])
def test_order_of_windows_matters_in_place_only(flow):
    def swept(windows, in_place):
        run = context(flow)
        frames = queue(run.model)
        sweep(run, Lane(frames, windows, "zigzag"), in_place=in_place)
        return frames.latents

    windows = plan()
    assert torch.equal(swept(windows, False), swept(windows[::-1], False))
    assert not torch.allclose(swept(windows, True), swept(windows, False), atol=1e-6)
    without = plain(sliding_spans(20, 8, 4, 1), 20, 8)  # reads nothing on its left: the two modes agree
    assert torch.allclose(swept(without, True), swept(without, False), rtol=0, atol=1e-12)


def test_lanes_do_not_see_each_other():
    run = context()
    one, two = queue(run.model), queue(run.model, 14)
    sweep(run, Lane(one, plan(), "zigzag"), Lane(two, plan(14), "zigzag", purpose="other"))
    alone = queue(run.model, 14)
    sweep(run, Lane(alone, plan(14), "zigzag", purpose="other"))
    assert torch.allclose(two.latents, alone.latents, rtol=0, atol=1e-12)


def test_windows_of_frozen_frames_are_not_run():
    run = context()
    frames = queue(run.model)
    windows = freeze(plain(sliding_spans(20, 8, 4, 0), 20, 8), 12)
    sweep(run, Lane(frames, windows, "reflect"))
    assert run.model.calls == 2  # one window of the four steps anything, with guidance
    assert sum(row["windows"] for row in run.trace.events["levels"]) == 1
    assert torch.equal(frames.latents[:12], queue(run.model).latents[:12])


def test_each_window_can_have_its_prompt():
    run = context()
    texts = run.model.encode(["a", "longer"])
    windows = plain(sliding_spans(16, 8, 8, 0), 16, 8)

    def swept(texts):
        frames = queue(run.model, 16)
        sweep(run, Lane(frames, windows, "zigzag", texts=texts))
        return frames.latents

    first, second = texts
    mixed = swept([first, second])
    assert torch.equal(mixed[:8], swept([first, first])[:8])
    assert torch.equal(mixed[8:], swept([second, second])[8:])
    assert not torch.equal(mixed, swept([first, first]))


def test_the_trace_counts_windows_by_the_levels_that_they_see():
    run = context()
    frames = LatentQueue.of(run.model.solver, torch.zeros(16, *run.model.latent_shape, dtype=run.model.dtype), 5, 0)
    frames.levels[:8] = -1
    sweep(run, Lane(frames, plain([(8, 8)], 16, 8), "unified"))
    sweep(run, Lane(frames, plain([(8, 8)], 16, 8), "unified"))
    sweep(run, Lane(frames, plain([(8, 8)], 16, 8), "unified"))
    assert run.trace.events["levels"] == [
        dict(stage="unified", lowest=level, highest=level, windows=1) for level in (5, 4, 3)
    ]


def test_a_number_that_breaks_stops_the_sweep_with_its_place():
    run = context()
    frames = queue(run.model)
    frames.latents[13, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="sweep 7 of the zigzag stage: frame 8, now at level 7"):
        sweep(run, Lane(frames, plain(sliding_spans(20, 8, 4, 0), 20, 8), "zigzag", 7))
