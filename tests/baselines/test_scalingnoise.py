"""ScalingNoise: what it reduces to, what it chooses, how its frames leave. Numbers of the original: tests/parity."""

from __future__ import annotations

import io
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from baselines import fifo_diffusion, scalingnoise
from baselines.scalingnoise.proposals import PROPOSALS, Source, blend, gaussian_low_pass
from baselines.scalingnoise.search import last_cosine, subject_consistency
from miga import models
from miga.engine.base_model import Text
from miga.engine.noise import KeyedNoise
from miga.engine.sweep import Context
from miga.engine.trace import Trace
from miga.experiment.frames import frames_of
from tests.miga.tiny_models import tiny_unet, tiny_wan
from tests.miga.toy import ToyModel

TEXT = Text("a square", torch.tensor([[0.1]]), torch.tensor([[-0.02]]))
FAMILIES = pytest.mark.parametrize("flow", [False, True], ids=["ddim", "flow"])


def toy(flow=False):
    return ToyModel(flow, window=4, num_levels=8)


def stream(model, num_latents, trace=None, seed=3, **params):
    config = scalingnoise.ScalingNoise(**params)
    return scalingnoise.METHOD.generate(model, [TEXT], num_latents, config, KeyedNoise(seed), trace or Trace())


def video(*args, **params):
    return torch.cat(list(stream(*args, **params)))


@FAMILIES
def test_without_anything_to_choose_it_is_fifo_diffusion(flow):
    """One beam with one fresh noise, guided from the first step: the same frames, bit for bit."""
    searched = video(toy(flow), 6, beams=1, candidates=1, proposals=("fresh",), prestep="cfg", drop_first=4)
    config = fifo_diffusion.FifoDiffusion()
    plain = fifo_diffusion.METHOD.generate(toy(flow), [TEXT], 6, config, KeyedNoise(3), Trace())
    assert torch.equal(searched, torch.cat(list(plain)))


@FAMILIES
def test_reproducible_and_independent_of_the_batch(flow):
    first = video(toy(flow), 7)
    assert first.shape == (7, 4, 2, 3)
    assert torch.equal(first, video(toy(flow), 7))
    torch.testing.assert_close(first, video(toy(flow), 7, batch=1), rtol=0, atol=1e-10)
    assert not torch.equal(first, video(toy(flow), 7, seed=4))


@pytest.mark.parametrize(
    ("beams", "candidates", "prestep"), [(2, 3, "nocfg"), (1, 4, "cfg"), (3, 2, "off")], ids=["released", "cfg", "off"]
)
def test_cost_is_the_original_formula(beams, candidates, prestep):
    """2 m (k + 2n - 1) forwards per iteration, 2N for the base clip, 2n (twice with guidance) for the pre-step."""
    model, partitions = toy(), 3
    video(model, 5, beams=beams, candidates=candidates, prestep=prestep, partitions=partitions, drop_first=3)
    iterations = 5 + 3 - (prestep != "off")
    before = {"nocfg": 1, "cfg": 2, "off": 0}[prestep] * 2 * partitions
    each = 2 * beams * (candidates + 2 * partitions - 1)
    assert model.calls == 2 * partitions * model.window + before + iterations * each


@pytest.mark.parametrize(("reward", "each"), [("last_cos", 1), ("subject_consistency", 4)])
def test_pictures_that_are_decoded_and_embedded(reward, each):
    """One per candidate (a window of them for the other reward) and one per beam; the anchor's features are kept."""
    model, seen = toy(), []
    decode, embed = model.stills, model.features
    model.stills = lambda latents: seen.append(len(latents)) or decode(latents)
    model.features = lambda frames: seen.append(len(frames)) or embed(frames)
    video(model, 3, beams=3, candidates=5, reward=reward, drop_first=0)
    iterations = 2  # the first frame is the pre-step's
    assert seen == [1, 1] + [3 * (5 * each + 1)] * 2 * iterations


@FAMILIES
def test_frames_leave_early_and_are_final(flow):
    """An endless video begins as one of a known length does; of a frame, only what no choice can change leaves."""
    wanted = torch.cat(list(islice(stream(toy(flow), None, beams=3), 4)))
    assert torch.equal(wanted, video(toy(flow), len(wanted) + 5, beams=3)[: len(wanted)])
    endless = stream(toy(flow), None, beams=3)
    waiting = []
    for _ in islice(endless, 10):
        beams = endless.parts["search"].beams
        waiting.append(max(len(beam.pending) for beam in beams))
        assert all(torch.equal(beams[0].queue.ids, beam.queue.ids) for beam in beams)
    assert max(waiting) < 12


@FAMILIES
def test_resumes_from_a_checkpoint(flow):
    whole = stream(toy(flow), 14, beams=3)
    begun = [next(whole), next(whole)]
    file = io.BytesIO()
    torch.save(whole.state(), file)
    file.seek(0)
    resumed = stream(toy(flow), 14, beams=3)
    resumed.restore(torch.load(file, weights_only=True))
    rest = torch.cat(list(whole))
    assert len(torch.cat(begun)) + len(rest) == 14
    assert torch.equal(rest, torch.cat(list(resumed)))


def test_exploiting_keeps_the_best_pairs_of_all():
    trace = Trace()
    video(toy(), 6, trace, beams=3, candidates=4, explore=0)
    for event in trace.events["search"]:
        kept = [event["rewards"][beam][candidate] for beam, candidate in event["tails"]]
        assert kept == sorted((reward for row in event["rewards"] for reward in row), reverse=True)[:3]
        assert event["parents"] == [beam for beam, _ in event["tails"]]


@pytest.mark.parametrize("pairing", ["reference", "consistent"])
def test_exploring_keeps_the_best_tail_of_each_beam(pairing):
    trace = Trace()
    video(toy(), 6, trace, beams=3, candidates=4, explore=1, explore_pairing=pairing)
    mixed = 0
    for event in trace.events["search"]:
        assert event["explored"]
        assert event["tails"] == [(beam, int(np.argmax(event["rewards"][beam]))) for beam in range(3)]
        mixed += event["parents"] != [0, 1, 2]
    assert (mixed > 0) == (pairing == "reference")


@pytest.mark.parametrize("reward", ["last_cos", "subject_consistency"])
def test_more_candidates_are_worth_more(reward):
    def best(candidates):
        trace = Trace()
        video(toy(), 12, trace, beams=1, candidates=candidates, explore=0, reward=reward)
        return np.mean([max(event["rewards"][0]) for event in trace.events["search"]])

    assert best(8) > best(1)


def test_anchors():
    """With one beam the latest frame of any beam is its own; with two it is not."""
    one = dict(beams=1, candidates=4)
    assert torch.equal(video(toy(), 6, **one), video(toy(), 6, **one, anchor="own_latest"))
    assert not torch.equal(video(toy(), 6), video(toy(), 6, anchor="own_latest"))
    fixed = stream(toy(), 6, anchor="first")
    next(fixed)
    anchor = fixed.parts["search"].beams[0].anchor
    list(fixed)
    assert all(torch.equal(beam.anchor, anchor) for beam in fixed.parts["search"].beams)


@given(st.integers(1, 6), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_rewards(frames, seed):
    """Against their definitions, frame by frame."""
    rows = torch.randn(frames + 1, 5, generator=torch.Generator().manual_seed(seed))

    def cosine(a, b):
        return max(0.0, float(a @ b / a.norm() / b.norm()))

    assert last_cosine(rows[0], rows[-1:]) == pytest.approx(cosine(rows[0], rows[-1]), abs=1e-6)
    expected = np.mean([(cosine(rows[i], rows[i - 1]) + cosine(rows[i], rows[0])) / 2 for i in range(1, frames + 1)])
    assert subject_consistency(rows[0], rows[1:]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "std", "correlation"),
    [
        ("fresh", 1, 0),
        ("renoise", 1, 0.068),
        ("low_frequencies", 0.950, 0.10),
        ("low_frequencies_unit", 1, 0.10),
        ("mixture", 1, 0.043),
    ],
)
def test_proposals_have_the_variance_and_likeness_of_the_original(name, std, correlation):
    model = ToyModel(shape=(64, 40, 64), num_levels=64)
    previous = torch.randn(1, 64, 40, 64, generator=torch.Generator().manual_seed(0), dtype=model.dtype)
    made = PROPOSALS[name](previous, Source(Context(model, TEXT, KeyedNoise(1), Trace()), "test", 0))
    assert float(made.std()) == pytest.approx(std, abs=0.005)
    assert float(np.corrcoef(made.flatten(), previous.flatten())[0, 1]) == pytest.approx(correlation, abs=0.01)


@given(st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_low_frequencies_of_any_size(height, width):
    """The filter meets the shifted spectra, as the original has it, and splits a picture without rest."""
    a, b = torch.randn(2, 1, 3, height, width, generator=torch.Generator().manual_seed(height * 10 + width))
    low = gaussian_low_pass(height, width)
    spectra = [torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) for x in (a, b)]
    mixed = torch.fft.ifftshift(low * spectra[0] + (1 - low) * spectra[1], dim=(-2, -1))
    torch.testing.assert_close(blend(a, b), torch.fft.ifft2(mixed).real, rtol=0, atol=1e-5)
    torch.testing.assert_close(blend(a, a), a, rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", [tiny_unet, tiny_wan])
def test_on_real_networks(make, tmp_path):
    """Judging candidates leaves the video's own decoder alone: frames are what its latents decode to afterwards."""
    model = models.load(make(tmp_path / "tiny"), device="cpu")
    model.features = lambda frames: frames.flatten(1).float() - 100
    texts, config = model.encode(["a red circle"]), scalingnoise.ScalingNoise(candidates=2)
    frames = torch.cat(
        [torch.from_numpy(part) for part in frames_of(model, scalingnoise.METHOD, config, texts, 5, 3, Trace())]
    )
    latents = scalingnoise.METHOD.generate(model, texts, model.latent_frames(5), config, KeyedNoise(3), Trace())
    with torch.inference_mode():
        latents = torch.cat(list(latents))
        assert torch.equal(frames, model.decoder().push(latents)[:5])
        alone = torch.cat([model.decoder().push(latent[None]) for latent in latents])
        assert int((model.stills(latents).int() - alone.int()).abs().max()) <= 1  # batched where frames are independent


def test_what_it_refuses():
    with pytest.raises(ValidationError, match="unknown proposal 'fresch'"):
        scalingnoise.ScalingNoise(proposals=("fresch",))
    with pytest.raises(ValueError, match="4 noise levels are too few for a window of 8 frames; set partitions"):
        stream(ToyModel(num_levels=4), 4)
    blind = toy()
    blind.features = None
    with pytest.raises(ValueError, match="'toy' has no image features"):
        stream(blind, 4)
