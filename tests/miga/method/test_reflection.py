"""Self-reflection: scores, the trigger, the search, and that candidates side by side equal candidates in turn."""

import pytest
import torch

from miga.engine.noise import KeyedNoise
from miga.engine.queue import LatentQueue
from miga.engine.sweep import Context
from miga.engine.trace import Trace
from miga.method.reflection import Reflection, frame_score, pooled_score, region_score, scales_score
from miga.method.triggers import Budget, Fall
from miga.method.zigzag import fill
from tests.miga.toy import ToyModel


def reflection(flow=False, delta=0.05, candidates=4, trigger=None):
    model = ToyModel(flow)
    run = Context(model, model.encode(["a"])[0], KeyedNoise(3), Trace())
    last = torch.zeros(1, *model.latent_shape, dtype=model.dtype)
    return Reflection(
        run,
        stages=("zigzag",),
        chunk=2,
        reference=4,
        judged_age=3,
        trigger=trigger or Fall(delta),
        candidates=candidates,
        score="frames",
        stride=4,
        fill=lambda purpose, frames, first: fill(run, "last_frame", last, purpose, frames, first),
    )


def queue(model, broken=False):
    """A ladder of chunks of one picture with little noise; `broken` has another picture at the judged age."""
    levels = [level for level in range(6, 15) for _ in range(2)]
    picture = KeyedNoise(1).frames("test", [0], 0, model.latent_shape).to(model.dtype)
    latents = picture + 0.05 * KeyedNoise(1).frames("test", range(1, 19), 0, model.latent_shape).to(model.dtype)
    if broken:
        latents[12:14] *= -1
    return LatentQueue.of(model.solver, latents, levels, 100)


def test_scores_by_hand():
    a = torch.zeros(1, 2, 1, 2)
    a[0, :, 0, 0] = torch.tensor([1.0, 3.0])  # mean over channels (2, 0)
    b = torch.zeros(2, 2, 1, 2)
    b[0, :, 0, 1] = 1.0  # (0, 1)
    b[1, :, 0, :] = 1.0  # (1, 1)
    assert frame_score(a, b) == pytest.approx((0 + 0.5**0.5) / 2)
    assert pooled_score(a, b) == pytest.approx(0.5 / (0.5**2 + 1) ** 0.5)
    assert frame_score(a, a) == pytest.approx(1)


def test_a_fault_in_one_quarter_is_not_averaged_away():
    sound = 1 + torch.rand(3, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    faulty = sound.clone()
    faulty[..., 2:, 3:] *= -1
    assert region_score(faulty, sound) < -0.9 < 0.3 < frame_score(faulty, sound)
    assert region_score(sound, sound) > 0.9
    parts = [score(faulty, sound) for score in (frame_score, pooled_score, region_score)]
    assert scales_score(faulty, sound) == pytest.approx(sum(parts) / 3)


def test_a_consistent_chunk_is_left_alone():
    reflect = reflection()
    frames = queue(reflect.context.model)
    before = frames.latents.clone()
    reflect.trigger.previous = 1.0
    reflect(frames, 0, "zigzag")
    (event,) = reflect.context.trace.events["reflection"]
    assert not event["triggered"]
    assert event["frame"] == 112
    assert reflect.trigger.previous == event["score"] > 0.95
    assert torch.equal(frames.latents, before)


@pytest.mark.parametrize("flow", [False, True])
def test_a_drifting_chunk_is_redrawn_with_its_tail(flow):
    reflect = reflection(flow)
    frames = queue(reflect.context.model, broken=True)
    before, levels = frames.latents.clone(), frames.levels.clone()
    reflect.trigger.previous = 1.0
    reflect(frames, 5, "zigzag")
    (event,) = reflect.context.trace.events["reflection"]
    assert event["triggered"]
    assert event["score"] < 0
    assert len(event["candidates"]) == 4
    best = max(event["candidates"])
    assert event["candidates"][event["adopted"]] == best == reflect.trigger.previous
    assert torch.equal(frames.latents[:12], before[:12])
    assert not torch.equal(frames.latents[12:], before[12:])
    assert torch.equal(frames.levels, levels)
    assert frames.ids.tolist() == list(range(100, 118))


def test_the_first_judged_chunk_has_nothing_to_fall_from():
    reflect = reflection()
    reflect(queue(reflect.context.model, broken=True), 0, "zigzag")
    (event,) = reflect.context.trace.events["reflection"]
    assert not event["triggered"]
    assert event["previous"] is None


def test_nothing_is_judged_while_too_few_chunks_stand_before():
    reflect = reflection()
    frames = queue(reflect.context.model)
    frames.pop(8)  # two chunks are left before the judged one: no more than the reference itself
    reflect(frames, 0, "zigzag")
    assert "reflection" not in reflect.context.trace.events


def test_candidates_side_by_side_equal_candidates_in_turn():
    tails = []
    for in_turn in (False, True):
        reflect = reflection()
        reference = queue(reflect.context.model)[8:12]
        names = [f"reflect {c}" for c in range(4)]
        groups = [[name] for name in names] if in_turn else [names]
        tails.append([tail for group in groups for tail in reflect.grow(reference, group, 0)])
    for one, other in zip(*tails, strict=True):
        assert torch.allclose(one.latents, other.latents, rtol=0, atol=1e-12)
        assert torch.equal(one.levels, other.levels)
    assert tails[0][0].levels.tolist() == [12, 12, 13, 13, 14, 14]
    assert not torch.allclose(tails[0][0].latents, tails[0][1].latents)


def test_candidates_are_thinned_out_by_halves_and_the_price_is_what_a_search_costs():
    assert Budget(0.3, ToyModel()).rounds(5, 13) == [(7, 5), (3, 3), (2, 2), (1, 1)]
    assert Budget(0.3, ToyModel()).rounds(1, 3) == Fall(0.1).rounds(1, 3) == [(3, 1)]
    reflect = reflection()
    model = reflect.context.model
    for trigger in (Budget(0.3, model), Fall(0.05)):
        reflect.trigger, before = trigger, model.calls
        tails = reflect.search(queue(model)[8:12], 0)
        assert len(tails) == trigger.rounds(4, 3)[-1].candidates
        assert model.calls - before == reflect.price()
    assert tails[0].levels.tolist() == [12, 12, 13, 13, 14, 14]


def test_a_budget_goes_to_the_chunks_that_fall_furthest():
    model = ToyModel()
    trigger, decisions = Budget(0.5, model), []
    for score in [0.9, 0.9, 0.91, 0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.6, 0.9]:
        model.calls += 20
        decisions.append(trigger.ask(score, 45, None))
        model.calls += 45 * decisions[-1].search
        assert trigger.spent <= trigger.share * trigger.earned + 45 * trigger.share
    assert [i for i, verdict in enumerate(decisions) if verdict.search] == [5, 9]
    assert decisions[6].expected == 0.9  # of the chunks as they came, not of what was adopted
    assert {verdict.facts["decision"] for verdict in decisions} == {"saves", "stays", "falls"}


def test_what_the_budget_has_earned_does_not_lapse():
    model = ToyModel()
    trigger = Budget(0.5, model)
    for left in (5, 4, 3, 2):
        model.calls += 20
        assert not trigger.ask(0.5 + 0.1 * (5 - left), 35, left).search  # better than before each time
    model.calls += 20
    last = trigger.ask(0.95, 35, 1)
    assert last.search and last.facts["decision"] == "lapsing"
    assert trigger.ask(0.1, 35, 0) is None  # a chunk that nobody will see


def test_a_shorter_tail_is_replaced_as_far_as_it_goes():
    reflect = reflection()
    frames = queue(reflect.context.model, broken=True)[:14]  # a queue that runs dry
    reflect.trigger.previous = 1.0
    reflect(frames, 0, "zigzag")
    assert reflect.context.trace.events["reflection"][0]["adopted"] is not None
    assert len(frames) == 14
