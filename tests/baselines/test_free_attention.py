"""Replacing a model's temporal attention: exact where it should change nothing, and undone whatever happens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from miga.engine.attention import PROCESSORS, attention, denoise_with, temporal_attention
from miga.experiment import run
from miga.experiment.job import Job
from tests.baselines.free_models import FAMILIES, sample, text_of, tiny

METHODS = ("freenoise", "freelong", "freepca")


def plain(q, k, v, grid):
    return attention(q, k, v)


def state(model):
    """Every attention's processor and every module's hooks."""
    modules = list(model.denoiser.modules())
    return [id(m.processor) for m in modules if hasattr(m, "processor")], [len(m._forward_pre_hooks) for m in modules]


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_attention_in_place_of_the_networks_own_changes_nothing(family):
    model = tiny(family, "fp64")
    text = text_of("a blue square")
    latents = torch.randn(2, 5, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    levels = torch.full((2, 5), 2)
    own = model.denoise(latents, levels, text)
    torch.testing.assert_close(denoise_with(model, lambda level: plain)(latents, levels, text), own, atol=1e-12, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_hold_the_tokens_that_the_grid_says(family):
    model, seen = tiny(family), []

    def spy(q, k, v, grid):
        seen.append((q.shape, grid))
        return attention(q, k, v)

    text = text_of("")
    with temporal_attention(model.denoiser, spy):
        model.denoise(torch.zeros(1, 5, *model.latent_shape), torch.zeros(1, 5, dtype=torch.long), text)
    assert seen
    for (rows, _, frames, tokens, _), grid in seen:
        once = grid.block == 0  # before the texts
        assert grid.batch == (1 if once else 2) and frames == grid.frames == 5  # passes of guidance
        assert rows * tokens == grid.batch * grid.height * grid.width


@pytest.mark.parametrize("family", FAMILIES)
def test_the_network_is_itself_again_even_after_an_exception(family):
    model = tiny(family)
    before = state(model)
    with temporal_attention(model.denoiser, plain):
        assert state(model) != before
    assert state(model) == before

    def broken(q, k, v, grid):
        raise RuntimeError("broken")

    text = text_of("")
    with pytest.raises(RuntimeError, match="broken"):
        denoise_with(model, lambda level: broken)(
            torch.zeros(1, 4, *model.latent_shape), torch.zeros(1, 4, dtype=torch.long), text
        )
    assert state(model) == before


@pytest.mark.parametrize("network", [None, nn.Linear(1, 1)])
def test_a_network_without_temporal_attention_is_refused(network):
    with pytest.raises(ValueError, match="no temporal attention"), temporal_attention(network, plain):
        pass
    assert len(PROCESSORS) == 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_any_number_of_frames_is_finite_reproducible_and_leaves_the_network_alone(method, family):
    model = tiny(family)
    before = state(model)
    video = sample(method, model, 11, stride=2) if method != "freelong" else sample(method, model, 11, noise_stride=2)
    assert video.shape == (11, *model.latent_shape) and video.isfinite().all()
    assert state(model) == before
    again = sample(method, model, 11, stride=2) if method != "freelong" else sample(method, model, 11, noise_stride=2)
    assert torch.equal(video, again)


@pytest.mark.parametrize(("method", "port"), [("freenoise", True), ("direct", False)])
def test_a_sidecar_says_whether_the_port_is_ours(method, port, tmp_path):
    job = Job(
        suite="s", base="b", entry="e", method=method, prompt_id="p", prompt="a", seed=1, frames=5,
        params=dict(stride=1) if port else {}, video=tmp_path / "p" / "seed-1.mp4",
    )  # fmt: skip
    assert run.generate(job, tiny("transformer"), [text_of("a")])["port"] is port


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ("freenoise", "freepca"))
def test_a_video_as_long_as_the_models_own_clip_is_that_clip(method, family):
    model = tiny(family)
    own = sample("direct", model, model.window)
    torch.testing.assert_close(sample(method, model, model.window, stride=2), own, atol=1e-4, rtol=1e-4)
