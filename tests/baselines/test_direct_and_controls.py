"""Direct sampling and the controls."""

import pytest
import torch

from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace
from tests.miga.toy import ToyModel

CONTROLS = ("native_length", "static", "shuffled", "looped")


def generate(name, model, num_latents):
    method = METHODS.get(name)
    chunks = method.generate(model, model.encode(["a"]), num_latents, method.config(), KeyedNoise(1), Trace())
    return torch.cat(list(chunks))


def test_direct_samples_all_frames_at_once():
    model = ToyModel()
    assert len(generate("direct", model, 21)) == 21
    assert model.calls == 2 * 16


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_show_the_models_own_clip(name):
    model = ToyModel()
    clip = sample_clip(model, model.encode(["a"])[0], KeyedNoise(1))
    assert torch.equal(generate(name, model, 30), clip)
    assert METHODS.get(name).card.control


def test_arrangements():
    arrange = {name: METHODS.get(name).arrange for name in CONTROLS}
    assert list(arrange["native_length"](5, 12, 1)) == [0, 1, 2, 3, 4]
    assert list(arrange["static"](5, 12, 1)) == [0] * 12
    assert list(arrange["looped"](5, 12, 1)) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    shuffled = arrange["shuffled"](5, 12, 1)
    assert len(shuffled) == 12
    assert sorted(shuffled[:5]) == sorted(shuffled[5:10]) == [0, 1, 2, 3, 4]
    assert shuffled == arrange["shuffled"](5, 12, 1) != arrange["shuffled"](5, 12, 2)
