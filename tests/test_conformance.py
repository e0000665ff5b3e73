"""What every registered method must do, on tiny models of both families (real networks, random weights)."""

from itertools import islice

import pytest
import torch

from miga import models
from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from tests.miga.tiny_models import tiny_unet, tiny_wan

ASKED = 7
MODELS = dict(unet=(tiny_unet, dict(num_levels=8, window=4)), transformer=(tiny_wan, dict(num_levels=8, window=6)))
PAIRS = [(name, family) for name in METHODS.names() for family in METHODS.get(name).card.models]
everywhere = pytest.mark.parametrize("name, family", PAIRS, ids=["-".join(pair) for pair in PAIRS])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    directory, found = tmp_path_factory.mktemp("models"), {}
    for family, (make, options) in MODELS.items():
        found[family] = model = models.load(make(directory / family, **options), dtype="fp64")
        model.__dict__["features"] = lambda frames: frames.flatten(1).float() - 100
    return found


@pytest.fixture(scope="module")
def texts(loaded):
    prompt = "a red circle moves right over a plain grey background"
    return {family: model.encode([prompt]) for family, model in loaded.items()}


@pytest.fixture
def generate(loaded, texts):
    def run(name, family, num_latents=ASKED, seed=1, **params):
        method, model = METHODS.get(name), loaded[family]
        method.check(model, texts[family], num_latents)
        return method.generate(model, texts[family], num_latents, method.config(**params), KeyedNoise(seed), Trace())

    return run


@everywhere
def test_right_number_of_frames_and_reproducible(name, family, generate, loaded):
    chunks = list(generate(name, family))
    video = torch.cat(chunks)
    wanted = loaded[family].window if METHODS.get(name).arrange else ASKED
    assert len(video) - len(chunks[-1]) < wanted <= len(video)  # only the last chunk may hold more
    assert video.shape[1:] == loaded[family].latent_shape
    assert video.isfinite().all()
    assert torch.equal(video, torch.cat(list(generate(name, family))))
    other = next(generate(name, family, seed=2))
    assert not torch.allclose(video[: len(other)], other[: len(video)], atol=1e-3)


@everywhere
def test_streams_or_is_finite_as_its_card_says(name, family, generate):
    if METHODS.get(name).card.length == "finite":
        with pytest.raises(ValueError, match=f"{name} makes videos of a given length only"):
            generate(name, family, num_latents=None)
    else:
        chunks = list(islice(generate(name, family, num_latents=None), 4))
        assert len(chunks) == 4
        assert all(1 <= len(chunk) < ASKED for chunk in chunks)


@everywhere
def test_batch_size_does_not_change_a_video(name, family, generate):
    if "batch" in METHODS.get(name).config.model_fields:
        one, many = (torch.cat(list(generate(name, family, batch=batch))) for batch in (1, 5))
        assert torch.allclose(one, many, rtol=0, atol=1e-5)  # in double precision: random networks amplify rounding


@pytest.mark.parametrize("name", METHODS.names())
def test_refuses_what_its_card_excludes(name, loaded):
    method, card = METHODS.get(name), METHODS.get(name).card
    for family, model in loaded.items():
        several = model.encode(["a red circle", "a blue square"])
        if family not in card.models:
            with pytest.raises(ValueError, match=f"{name} does not run on"):
                method.check(model, several[:1], ASKED)
        elif card.multi_prompt:
            method.check(model, several, ASKED)
        else:
            with pytest.raises(ValueError, match=f"{name} takes one prompt, not 2"):
                method.check(model, several, ASKED)


@pytest.mark.parametrize("name", METHODS.names())
def test_the_card_tells_what_a_table_needs(name):
    card = METHODS.get(name).card
    assert card.label
    assert card.summary
    assert card.version
    assert set(card.ports) <= set(card.models) <= {"unet", "transformer"}
    if card.paper:
        assert card.url
        assert card.year
        assert card.licence


@pytest.mark.parametrize("name", METHODS.names())
def test_an_unknown_parameter_is_an_error(name):
    with pytest.raises(ValueError, match="no_such_parameter"):
        METHODS.get(name).config(no_such_parameter=1)
