"""What every registered method must do, on tiny models of every kind of base (real networks, random weights)."""

from itertools import islice

import pytest
import torch

from miga import models
from miga.engine.abilities import Abilities, lacking
from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from miga.models import registry
from tests.miga.tiny_models import tiny_df, tiny_skyreels, tiny_ti2v, tiny_unet, tiny_wan

ASKED = 7
MODELS = {  # base model -> what makes a tiny one of its kind
    "videocrafter2": (tiny_unet, dict(num_levels=8, window=4)),
    "wan2.1-1.3b": (tiny_wan, dict(num_levels=8, window=6)),
    "wan2.2-ti2v-5b": (tiny_ti2v, dict(num_levels=8, window=6)),
    "skyreels-v2-df-1.3b": (tiny_skyreels, dict(num_levels=8, window=6)),
    "sprites-df": (tiny_df, dict(num_levels=8, window=6)),
}
PAIRS = [
    (name, base)
    for name in METHODS.names()
    for base in MODELS
    if not lacking(METHODS.get(name).card.needs, registry.get(base).abilities)
]
everywhere = pytest.mark.parametrize("name, base", PAIRS, ids=["-".join(pair) for pair in PAIRS])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    directory, found = tmp_path_factory.mktemp("models"), {}
    for base, (make, options) in MODELS.items():
        found[base] = model = models.load(make(directory / f"tiny-{base}", **options), dtype="fp64")
        model.__dict__["features"] = lambda frames: frames.flatten(1).float() - 100
    return found


@pytest.fixture(scope="module")
def texts(loaded):
    prompt = "a red circle moves right over a plain grey background"
    return {base: model.encode([prompt]) for base, model in loaded.items()}


@pytest.fixture
def generate(loaded, texts):
    def run(name, base, num_latents=ASKED, seed=1, **params):
        method, model = METHODS.get(name), loaded[base]
        method.check(model, texts[base], num_latents)
        return method.generate(model, texts[base], num_latents, method.config(**params), KeyedNoise(seed), Trace())

    return run


@everywhere
def test_right_number_of_frames_and_reproducible(name, base, generate, loaded):
    chunks = list(generate(name, base))
    video = torch.cat(chunks)
    wanted = loaded[base].window if METHODS.get(name).arrange else ASKED
    assert len(video) - len(chunks[-1]) < wanted <= len(video)  # only the last chunk may hold more
    assert video.shape[1:] == loaded[base].latent_shape
    assert video.isfinite().all()
    assert torch.equal(video, torch.cat(list(generate(name, base))))
    other = next(generate(name, base, seed=2))
    assert not torch.allclose(video[: len(other)], other[: len(video)], atol=1e-3)


@everywhere
def test_streams_or_is_finite_as_its_card_says(name, base, generate):
    if METHODS.get(name).card.length == "finite":
        with pytest.raises(ValueError, match=f"{name} makes videos of a given length only"):
            generate(name, base, num_latents=None)
    else:
        chunks = list(islice(generate(name, base, num_latents=None), 4))
        assert len(chunks) == 4
        assert all(1 <= len(chunk) < ASKED for chunk in chunks)


@everywhere
def test_batch_size_does_not_change_a_video(name, base, generate):
    if "batch" in METHODS.get(name).config.model_fields:
        one, many = (torch.cat(list(generate(name, base, batch=batch))) for batch in (1, 5))
        assert torch.allclose(one, many, rtol=0, atol=1e-5)  # in double precision: random networks amplify rounding


@pytest.mark.parametrize("name", METHODS.names())
def test_refuses_what_its_card_excludes(name, loaded):
    method, card = METHODS.get(name), METHODS.get(name).card
    for model in loaded.values():
        several = model.encode(["a red circle", "a blue square"])
        if lacking(card.needs, model.abilities):
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
    assert set(card.published) <= set(registry.names())
    assert bool(card.published) <= bool(card.paper)
    for ability in card.needs:
        assert ability in Abilities.__dataclass_fields__
    if card.paper:
        assert card.url
        assert card.year
        assert card.licence


@pytest.mark.parametrize("name", METHODS.names())
def test_an_unknown_parameter_is_an_error(name):
    with pytest.raises(ValueError, match="no_such_parameter"):
        METHODS.get(name).config(no_such_parameter=1)


def test_a_tiny_model_stands_for_every_kind_of_base():
    """The class and what it can do together are a kind; every registered one is run above."""
    kinds = {(spec.cls, spec.abilities) for spec in map(registry.get, MODELS)}
    untested = {spec.name for spec in map(registry.get, registry.names()) if (spec.cls, spec.abilities) not in kinds}
    assert not untested
