"""What the networks compute by other kernels, or once for all texts, is what diffusers' own code computes."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan, UNet3DConditionModel, WanTransformer3DModel
from diffusers.models.activations import GEGLU, GELU
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from miga import models
from miga.engine.attention import rotate
from miga.engine.base_model import Text
from miga.models.kernels import NARROW, SHORT, attend, on_a_cpu
from miga.models.unet_networks import layers_before_texts
from tests.miga.tiny_models import tiny_ti2v, tiny_unet, tiny_wan


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    return models.load(str(tiny_wan(tmp_path_factory.mktemp("wan") / "tiny")))


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return models.load(str(tiny_unet(tmp_path_factory.mktemp("unet") / "tiny")))


@torch.inference_mode()
def test_a_wan_network_told_a_level_per_frame_is_the_one_told_it_per_token(wan):
    own = WanTransformer3DModel.from_pretrained(wan.directory, subfolder="transformer", torch_dtype=torch.float32)
    sample, words = normal(2, own.config.in_channels, 3, 8, 8), normal(2, 7, own.config.text_dim, seed=1)
    frames = torch.tensor([[900, 500, 20], [3, 300, 999]])
    tokens = frames.repeat_interleave(4 * 4, dim=1)
    found = wan.denoiser(sample, frames, words).sample
    torch.testing.assert_close(found, own(sample, tokens, words).sample, atol=2e-4, rtol=0)  # sinusoid in float64
    torch.testing.assert_close(wan.denoiser(sample, tokens, words).sample, found, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [tiny_wan, tiny_ti2v])
@torch.inference_mode()
def test_wans_autoencoder_on_a_cpu(make, tmp_path):
    model = models.load(str(make(tmp_path / "tiny")), dtype="fp64")
    own = AutoencoderKLWan.from_pretrained(model.directory, subfolder="vae", torch_dtype=torch.float64)
    video = normal(1, 3, 9, *model.size).clamp(-1, 1).double()
    mean = own.encode(video).latent_dist.mean
    torch.testing.assert_close(model.vae.encode(video).latent_dist.mean, mean, atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(model.vae.decode(mean).sample, own.decode(mean).sample, atol=1e-12, rtol=1e-9)


@torch.inference_mode()
def test_a_unet_on_a_cpu(unet):
    own = UNet3DConditionModel.from_pretrained(unet.directory, subfolder="unet", torch_dtype=torch.float32)
    sample, words = normal(2, 4, 5, 8, 8), normal(2, 7, own.config.cross_attention_dim, seed=1)
    found, wanted = (one(sample, 300, words).sample for one in (unet.denoiser, own))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    half = unet.denoiser.to(torch.bfloat16)
    try:
        found = half(sample.bfloat16(), 300, words.bfloat16()).sample.float()
    finally:
        unet.denoiser.float()
    assert (found - wanted).abs().max() < 0.05 * wanted.abs().max()


LAYERS = {
    "linear": (lambda: nn.Linear(24, 40), (2, 8, 24)),
    "linear without bias": (lambda: nn.Linear(24, 40, bias=False), (32, 24)),
    "linear of rows that make no pictures": (lambda: nn.Linear(24, 40), (3, 5, 24)),
    "GELU": (lambda: GELU(24, 40, approximate="tanh"), (2, 8, 24)),
    "GEGLU": (lambda: GEGLU(24, 40), (2, 8, 24)),
    "over frames": (lambda: nn.Conv3d(4, 6, (3, 1, 1), padding=(1, 0, 0)), (2, 4, 5, 3, 2)),
    "over frames, with stride": (lambda: nn.Conv3d(4, 6, (3, 1, 1), stride=(2, 1, 1)), (1, 4, 7, 3, 2)),
    "over frames, every other pixel": (lambda: nn.Conv3d(4, 6, (3, 1, 1), stride=(1, 2, 2)), (1, 4, 5, 4, 4)),
    "of patches": (lambda: nn.Conv3d(4, 6, (1, 2, 2), stride=(1, 2, 2)), (1, 4, 3, 4, 4)),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", LAYERS)
@torch.inference_mode()
def test_a_layer_on_a_cpu(kind, dtype):
    make, shape = LAYERS[kind]
    layer, x = make().to(dtype), normal(*shape).to(dtype)
    wanted, given = layer(x), x.clone()
    on_a_cpu(layer)
    torch.testing.assert_close(layer(x), wanted)
    assert torch.equal(x, given)


@pytest.mark.parametrize("keys, channels", [(SHORT, NARROW), (SHORT + 1, NARROW), (3, 2 * NARROW), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_short_attention_on_a_cpu(keys, channels, dtype, monkeypatch):
    q, k, v = (normal(2, 3, n, channels, seed=i).to(dtype) for i, n in enumerate((7, keys, keys)))
    wanted = scaled_dot_product_attention(*(x.double() for x in (q, k, v))).transpose(1, 2).flatten(2).to(dtype)
    torch.testing.assert_close(attend(q, k, v), wanted)
    monkeypatch.setattr("miga.models.kernels.SCORES", 2 * 7 * keys)  # three blocks of two heads
    torch.testing.assert_close(attend(q, k, v), wanted)


@pytest.mark.parametrize("name", ["tiny", "sprites-wan"])
def test_what_wan_computes_before_the_texts_is_computed_once(name, wan):
    model = wan if name == "tiny" else models.load(name)
    width, rows = model.denoiser.config.text_dim, []
    hooks = [layer.to_q.register_forward_hook(lambda *call: rows.append(len(call[1][0])))
             for block in model.denoiser.blocks[:2] for layer in (block.attn1, block.attn2)]  # fmt: skip
    text = Text("", normal(7, width), normal(7, width, seed=1))
    windows, levels = normal(3, 2, *model.latent_shape), torch.tensor([[0, 1]]).expand(3, -1)
    together = model.denoise(windows, levels, text)
    for hook in hooks:
        hook.remove()
    assert rows == [3, 6, 6, 6][: 2 * len(model.denoiser.blocks)] and model.before_texts.times == 1
    guided, plain = (
        model.denoise(windows, levels, Text("", one, one), guidance_scale=1) for one in (text.positive, text.negative)
    )
    torch.testing.assert_close(together, plain + model.guidance_scale * (guided - plain), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "sprites-unet"])
def test_what_comes_before_the_texts_is_computed_once(name, unet):
    model = unet if name == "tiny" else models.load(name)
    width, rows = model.denoiser.config.cross_attention_dim, []
    hooks = [layer.register_forward_hook(lambda *call: rows.append(len(call[1][0]) if call[1] else 0))
             for layer in (model.denoiser.conv_in, model.denoiser.mid_block.resnets[0])]  # fmt: skip
    text = Text("", normal(7, width), normal(7, width, seed=1))
    windows, levels = normal(3, 2, *model.latent_shape), torch.tensor([[0, 1]]).expand(3, -1)
    together = model.denoise(windows, levels, text)
    for hook in hooks:
        hook.remove()
    assert rows == [3 * 2, 2 * 3 * 2] and model.before_texts.times == 1
    guided, plain = (
        model.denoise(windows, levels, Text("", one, one), guidance_scale=1) for one in (text.positive, text.negative)
    )
    scale = model.guidance_scale
    torch.testing.assert_close(together, plain + scale * (guided - plain), atol=1e-4, rtol=1e-4)
    assert len(list(layers_before_texts(model.denoiser))) == (5 if name == "tiny" else 6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_rotary_positions_by_complex_and_by_real_numbers(dtype, monkeypatch):
    x, angles = normal(2, 6, 3, 8).to(dtype), normal(1, 6, 1, 4).repeat_interleave(2, -1)
    tables = angles.cos(), angles.sin()
    found = rotate(x, *tables)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert found.dtype == dtype
    torch.testing.assert_close(found, rotate(x, *tables))
