"""FIFO-Diffusion: queue, partitions, prompts. Its numbers are compared with the original's in tests/parity."""

from itertools import islice

import pytest
import torch

from baselines.fifo_diffusion import METHOD, FifoDiffusion, prompt_ends
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from tests.miga.toy import ToyModel


def stream(model, num_latents, prompts=("a prompt",), seed=1, **params):
    texts = model.encode(list(prompts))
    return METHOD.generate(model, texts, num_latents, FifoDiffusion(**params), KeyedNoise(seed), Trace())


def video(*args, **options):
    return torch.cat(list(stream(*args, **options)))


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("lookahead", [True, False])
@pytest.mark.parametrize(
    "window, num_levels", [(8, 16), (7, 16), (5, 12)]
)  # also odd windows and no whole number of them
def test_any_window_and_number_of_levels(flow, lookahead, window, num_levels):
    model = ToyModel(flow, window=window, num_levels=num_levels)
    frames = video(model, 9, lookahead=lookahead)
    assert frames.shape == (9, *model.latent_shape)
    assert frames.isfinite().all()


@pytest.mark.parametrize("lookahead, windows", [(True, 4), (False, 2)])
def test_calls_are_the_originals(lookahead, windows):
    """2N for the base clip and 2R an iteration, V + N - f iterations."""
    model = ToyModel(window=8, num_levels=16)
    video(model, 9, lookahead=lookahead)
    assert model.calls == 2 * 16 + 2 * windows * (9 + 16 - 8)


def test_a_longer_video_begins_with_the_shorter_one():
    model = ToyModel()
    assert torch.equal(video(model, 6), torch.cat(list(islice(stream(model, None), 6))))


def test_drop_first_shows_the_emissions_that_the_original_discards():
    model = ToyModel(window=8, num_levels=16)
    assert torch.equal(video(model, 5), video(model, 13, drop_first=0)[8:])


def test_partitions_choose_the_number_of_levels():
    model = ToyModel(window=8, num_levels=16)
    three = video(model, 5, partitions=3)
    assert model.solver.num_levels == 16  # the caller's model is as it was, but has counted
    assert model.calls == 2 * 24 + 2 * 6 * (5 + 24 - 8)
    assert torch.equal(three, video(ToyModel(window=8, num_levels=24), 5))


def test_batch_size_does_not_change_a_video():
    model = ToyModel(dtype=torch.float32)
    assert torch.allclose(video(model, 12, batch=1), video(model, 12, batch=3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("switch", ["emit", "enqueue"])
def test_the_first_prompt_alone_makes_the_beginning(switch):
    model = ToyModel(flow=True, window=8, num_levels=16)
    one = video(model, 40)
    two = video(model, 40, prompts=("a prompt", "something else"), prompt_latents=(20, 20), prompt_switch=switch)
    same = next(i for i in range(40) if not torch.equal(one[i], two[i]))
    # "emit" turns all windows at emission 20; "enqueue" reaches windows sooner, through the frames that enter for it
    assert same == 20 if switch == "emit" else same < 20
    assert not torch.allclose(one[39], two[39], atol=1e-3)


def test_prompts_share_the_video_equally_where_nothing_is_said():
    texts = ToyModel().encode(["a", "b", "c"])
    assert prompt_ends(texts, 10, None) == [3, 6, 10]
    assert prompt_ends(texts, None, (4, 4, 2)) == [4, 8, 10]


def test_errors():
    model = ToyModel()
    with pytest.raises(ValueError, match="prompt_latents has 1 lengths for 2 prompts"):
        stream(model, 10, prompts=("a", "b"), prompt_latents=(10,))
    with pytest.raises(ValueError, match="need prompt_latents"):
        stream(model, None, prompts=("a", "b"))
