"""MIGA as a whole: what its switches mean, that videos are reproducible prefixes of longer ones, and its limits."""

from dataclasses import fields
from itertools import islice

import pytest
import torch

from baselines.fifo_diffusion import METHOD as FIFO
from miga.engine.noise import KeyedNoise
from miga.engine.solvers import DDIM, FlowUniPC
from miga.engine.trace import Trace
from miga.method import METHOD, Miga, Settings
from miga.method.presets import FOLLOWING, PRESETS
from miga.method.zigzag import Zigzag
from miga.models.registry import UNET, WAN
from tests.miga.toy import ToyModel


def generate(model, num_latents, config=None, method=METHOD, seed=1, trace=None):
    config = config or method.config()
    chunks = method.generate(model, model.encode(["a prompt"]), num_latents, config, KeyedNoise(seed), trace or Trace())
    return torch.cat(list(chunks))


VARIANTS = {
    "paper": {},
    "released": dict(preset="released", l_zig=3),
    "comb": dict(guidance="comb"),
    "head": dict(guidance="head"),
    "adaptive": dict(preset="adaptive"),
    "no guidance": dict(guidance="none"),
    "no reflection": dict(reflection="off"),
    "no DCE": dict(dce=False),
    "no TTA": dict(tta=False, n_samp=2),
    "no unified stage": dict(unified_levels=0, reflection="off"),
    "in place": dict(update="in_place", reflection="off"),
    "drain": dict(drain=True, reflection="off"),
}


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_makes_the_frames_asked_for(flow, variant):
    model = ToyModel(flow)
    video = generate(model, 13, Miga(**VARIANTS[variant]))
    assert video.shape == (13, *model.latent_shape)
    assert video.isfinite().all()


@pytest.mark.parametrize("flow", [False, True])
def test_without_tta_and_dce_it_is_fifo_diffusion(flow):
    model = ToyModel(flow)
    assert torch.equal(generate(model, 14, Miga(tta=False, dce=False)), generate(model, 14, method=FIFO))


@pytest.mark.parametrize("switch", [dict(tta=False), dict(dce=False), dict(guidance="none"), dict(reflection="off")])
def test_each_switch_changes_the_video(switch):
    model, base = ToyModel(), dict(delta=0.0)
    assert not torch.allclose(generate(model, 14, Miga(**base)), generate(model, 14, Miga(**base, **switch)), atol=1e-3)


def test_the_same_seed_gives_the_same_video_and_another_another():
    model = ToyModel()
    assert torch.equal(generate(model, 12), generate(model, 12))
    assert not torch.allclose(generate(model, 12), generate(model, 12, seed=2), atol=1e-3)


@pytest.mark.parametrize("flow", [False, True])
def test_batch_size_does_not_change_a_video(flow):
    model = ToyModel(flow, dtype=torch.float32)
    one, many = (generate(model, 16, Miga(batch=batch, reflection="off")) for batch in (1, 7))
    assert torch.allclose(one, many, rtol=0, atol=1e-5)


def test_an_endless_video_begins_like_a_finite_one():
    """Up to where the finite one's last windows look: they cannot look beyond its end."""
    model = ToyModel()
    finite = generate(model, 44, Miga(reflection="off"))
    endless = METHOD.generate(model, model.encode(["a prompt"]), None, Miga(reflection="off"), KeyedNoise(1), Trace())
    begun = torch.cat(list(islice(endless, 22)))
    safe = 44 - 2 * model.window
    assert len(begun) > safe > 24
    assert torch.allclose(finite[:safe], begun[:safe], rtol=0, atol=1e-12)


def test_draining_saves_calls_and_changes_the_end_only():
    model, videos, calls = ToyModel(), [], []
    for drain in (False, True):
        before = model.calls
        videos.append(generate(model, 30, Miga(drain=drain, reflection="off")))
        calls.append(model.calls - before)
    assert calls[1] < calls[0]
    assert torch.allclose(videos[0][:12], videos[1][:12], atol=1e-3)
    assert not torch.equal(videos[0], videos[1])


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        dict(delta=0.0),
        dict(drain=True, delta=0.0),
        dict(guidance="comb"),
        dict(guidance="head", l_zig=1),
        dict(m_guid=0),
    ],
)
@pytest.mark.parametrize("frames", [3, 20])
def test_what_no_frame_feels_is_left_out_and_no_frame_feels_it(flow, config, frames, monkeypatch):
    model, videos, calls = ToyModel(flow), [], []
    for everything in (False, True):
        if everything:
            monkeypatch.setattr(Zigzag, "horizons", lambda *args: [])
        before = model.calls
        videos.append(generate(model, frames, Miga(**config)))
        calls.append(model.calls - before)
    assert calls[0] < calls[1]
    assert torch.allclose(*videos, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", [9, 16, 30])
def test_draining_with_chunks_as_long_as_the_window_ends_on_an_empty_queue(frames):
    model = ToyModel()
    assert len(generate(model, frames, Miga(drain=True, l_zig=model.window, reflection="off"))) == frames


def test_memory_does_not_grow_with_the_video():
    model = ToyModel()
    stream = METHOD.generate(model, model.encode(["a"]), None, Miga(reflection="off"), KeyedNoise(1), Trace())
    sizes = []
    for _ in islice(stream, 40):
        saved = stream.state()
        sizes.append(saved["zigzag"]["queue"].latents.numel() + saved["unified"]["buffer"].latents.numel())
    assert max(sizes[25:]) <= max(sizes[8:20])


def test_the_trace_tells_settings_levels_and_reflections():
    trace = Trace()
    generate(ToyModel(), 20, Miga(delta=0.0), trace=trace)
    assert trace.events["settings"][0]["l_zig"] == 2
    assert {row["stage"] for row in trace.events["levels"]} == {"warmup", "zigzag", "unified", "reflect"}
    assert all(row["lowest"] == row["highest"] for row in trace.events["levels"] if row["stage"] == "unified")
    reflections = trace.events["reflection"]
    assert {event["stage"] for event in reflections} == {"warmup", "zigzag"}  # in steady state too
    frames = [event["frame"] for event in reflections]
    assert frames == list(range(frames[0], frames[0] + 2 * len(frames), 2))  # every chunk, once
    clean = [event["frame"] for event in trace.events["consistency"]]  # the same score of the finished frames
    assert clean == list(range(6, 20, 2))


def test_zigzag_windows_see_fewer_levels_than_diagonal_ones():
    spans = {}
    for tta in (True, False):
        trace = Trace()
        generate(ToyModel(), 20, Miga(tta=tta, dce=False), trace=trace)
        rows = [row for row in trace.events["levels"] if row["stage"] in ("zigzag", "diagonal") and row["lowest"] > 0]
        spans[tta] = max(row["highest"] - row["lowest"] for row in rows)
    assert spans[True] < spans[False]


class Sized:
    """As much of a base model as its constants depend on."""

    def __init__(self, abilities, window, solver):
        self.abilities, self.window, self.solver = abilities, window, solver


PUBLISHED = {
    "videocrafter2": (
        Sized(UNET, 16, DDIM(64)),
        dict(l_zig=4, m_guid=4, stride=8, unified_levels=10, n_samp=5, judged_age=13, reference_chunks=3),
        dict(delta=0.001, emit_level=9, unified_level=9, unified_sweeps=9, near=2, score="pooled", update="in_place"),
    ),
    "wan21": (
        Sized(WAN, 21, FlowUniPC(54)),
        dict(l_zig=7, m_guid=4, stride=10, unified_levels=10, n_samp=3, judged_age=10, reference_chunks=2),
        dict(delta=0.01, emit_level=9, unified_level=10, unified_sweeps=10, near=3, score="frames", update="deferred"),
    ),
}


def test_guides_are_half_of_a_window_that_is_shorter_than_the_published_ones():
    found = {f0: Settings.of(Miga(), Sized(WAN, f0, FlowUniPC(16))).m_guid for f0 in (4, 6, 8, 16)}
    assert found == {4: 2, 6: 3, 8: 4, 16: 4}


@pytest.mark.parametrize("name", PUBLISHED)
def test_constants_of_the_published_models(name):
    model, both, released = PUBLISHED[name]
    paper = Settings.of(Miga(), model).__dict__
    assert {key: paper[key] for key in both} == both
    assert paper["unified_level"] == paper["emit_level"] == 9
    assert (paper["guidance"], paper["reflection"], paper["renoise"]) == ("prefix_uniform", "always", False)
    quirky = Settings.of(Miga(preset="released"), model).__dict__
    assert {key: quirky[key] for key in both | released} == both | released
    assert (quirky["guidance"], quirky["reflection"], quirky["renoise"]) == ("comb", "warmup", True)


def test_every_preset_gives_every_constant_once():
    constants = {field.name for field in fields(Settings)} - {"emit_level", "unified_sweeps"}
    for preset in PRESETS.keys() | FOLLOWING.keys():
        assert not PRESETS[preset].keys() & FOLLOWING[preset].keys()
        assert PRESETS[preset].keys() | FOLLOWING[preset].keys() == constants


def test_what_is_set_wins_over_the_preset():
    constants = Settings.of(Miga(preset="released", l_zig=2, guidance="head", delta=0.5), ToyModel())
    assert (constants.l_zig, constants.guidance, constants.delta) == (2, "head", 0.5)


@pytest.mark.parametrize(
    "config, message",
    [
        (dict(stride=8), "stride=8 and m_guid=4 do not fit"),
        (dict(m_guid=6), "stride=4 and m_guid=6 do not fit"),
        (dict(l_zig=9), "l_zig=9 does not work with a window of 8 frames"),
        (dict(l_zig=1, unified_levels=8), "l_zig=1 does not work"),
        (dict(preset="released", guidance="comb", l_zig=2), "needs l_zig of at least 3"),
    ],
)
def test_constants_that_cannot_work_are_refused_before_the_first_call(config, message):
    model = ToyModel(flow=True)
    with pytest.raises(ValueError, match=message):
        generate(model, 10, Miga(**config))
    assert model.calls == 0


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="dce=False turns guidance and reflection off"):
        Miga(dce=False, guidance="comb")
    with pytest.raises(ValueError, match="delta and budget are two rules"):
        Miga(preset="adaptive", delta=0.1)
    with pytest.raises(ValueError, match="tta=False is an ablation of preset 'paper'"):
        Miga(tta=False, preset="released")


@pytest.mark.parametrize("tta", [True, False])
@pytest.mark.parametrize("budget", [0.1, 0.3, 1.0])
def test_a_budget_is_kept_and_costs_the_same_whatever_the_scores_are(budget, tta):
    def cost(seed, **params):
        model, trace = ToyModel(), Trace()
        generate(model, 60, Miga(tta=tta, **params), seed=seed, trace=trace)
        return model.calls, [event for event in trace.events.get("reflection", []) if event["triggered"]]

    alone, _ = cost(0, reflection="off")
    costs = {seed: cost(seed, preset="adaptive", budget=budget) for seed in range(4)}
    assert len({calls for calls, _ in costs.values()}) == 1
    assert alone < costs[0][0] <= (1 + budget) * alone
    chosen = {tuple(event["frame"] for event in searches) for _, searches in costs.values()}
    assert len(chosen) > 1 or budget == 1.0  # which chunks are searched for follows from the scores


def test_a_model_that_breaks_stops_the_video():
    class Broken(ToyModel):
        def denoise(self, latents, levels, text, guidance_scale=None):
            out = super().denoise(latents, levels, text, guidance_scale)
            return out * float("nan") if latents.shape[0] > 1 else out

    with pytest.raises(FloatingPointError, match="non-finite latents after sweep 0 of the warmup stage"):
        generate(Broken(), 10)
