"""Base models as the engine uses them: the real classes at tiny size."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKLWan, UNet3DConditionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from miga import models
from miga.commands.models import models as list_models
from miga.engine.base_model import Text
from miga.engine.noise import KeyedNoise
from miga.engine.sampling import sample_clip
from miga.models import registry, weights
from miga.models.texts import KEPT
from miga.models.unet_networks import FrameTimesteps as UNetTimesteps
from miga.models.videocrafter2 import token_ids
from miga.models.wan import Wan
from tests.miga.tiny_models import tiny_unet, tiny_wan

PROMPTS = ["a red circle moves left", "a blue square over the green triangle"]


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return dict(unet=tiny_unet(root / "unet"), wan=tiny_wan(root / "wan"))


@pytest.fixture(scope="module", params=["unet", "wan"])
def model(request, directories):
    return models.load(directories[request.param])


@pytest.fixture(scope="module")
def texts(model):
    return model.encode(PROMPTS)


def windows(model, batch=2, frames=None, seed=0):
    """Latents and mixed levels of a batch of windows."""
    generator = torch.Generator().manual_seed(seed)
    frames = frames or model.window
    levels = torch.randint(model.solver.num_levels, (batch, frames), generator=generator)
    return torch.randn(batch, frames, *model.latent_shape, generator=generator), levels


def close(a, b, tolerance=2e-5):
    """Equal up to rounding, relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max()) < tolerance


def test_windows_of_a_batch_are_independent(model, texts):
    latents, levels = windows(model)
    together = model.denoise(latents, levels, texts)
    alone = [model.denoise(latents[i : i + 1], levels[i : i + 1], texts[i])[0] for i in range(2)]
    assert together.shape == latents.shape and together.dtype == torch.float32
    assert close(together, torch.stack(alone))
    assert not close(together[1], model.denoise(latents[1:], levels[1:], texts[0])[0], 1e-3)


def test_what_depends_on_prompts_alone_is_computed_once(model, texts):
    """The first call of a prompt projects it, later ones do not, and the numbers are the same."""
    texts = [Text(t.prompt, t.positive.clone(), texts[0].negative) for t in texts]  # unknown until now
    outputs, flops = [], []
    for _ in range(3):
        with FlopCounterMode(display=False) as counter:
            outputs.append(model.denoise(*windows(model), texts))
        flops.append(counter.get_total_flops())
    tokens = 16 if model.abilities.attention == "pixel" else model.run_options.text_tokens
    layers = [layer for part in model.text_modules() for layer in part.modules() if isinstance(layer, nn.Linear)]
    once = sum(2 * tokens * layer.weight.numel() for layer in layers)
    assert flops[0] - flops[1] in (2 * once, 3 * once)  # the negative prompt may be known
    assert flops[1] == flops[2]
    assert torch.equal(outputs[0], outputs[1])
    assert len(model.texts.known) <= KEPT


def test_guidance_is_the_same_in_one_call_or_two_and_counts_two(model, texts, directories):
    latents, levels = windows(model)
    before = model.calls
    guided = model.denoise(latents, levels, texts[0], 3.0)
    assert model.calls == before + 4
    conditional = model.denoise(latents, levels, texts[0], 1.0)
    assert model.calls == before + 6
    negative = type(texts[0])("", texts[0].negative, texts[0].negative)
    plain = model.denoise(latents, levels, negative, 1.0)
    assert close(guided, plain + 3.0 * (conditional - plain))
    frugal = models.load(model.directory, batch_guidance=False)
    assert close(frugal.denoise(latents, levels, texts[0], 3.0), guided)


def test_every_frame_has_its_own_level(model, texts):
    latents, levels = windows(model, batch=1)
    same = torch.full_like(levels, 2)
    mixed = same.clone()
    mixed[0, -1] = 0
    assert not close(model.denoise(latents, mixed, texts[0], 1.0), model.denoise(latents, same, texts[0], 1.0), 1e-4)


def test_one_level_for_all_is_the_plain_network(model, texts):
    latents, _ = windows(model)
    levels = torch.ones(latents.shape[:2], dtype=torch.long)
    timestep = model.solver.timesteps[levels[:, 0]]
    context = torch.stack([model.pad(t.positive) if isinstance(model, Wan) else t.positive for t in texts])
    video = latents.transpose(1, 2)
    with torch.inference_mode():
        plain, per_frame = (
            model.denoiser(video, t, encoder_hidden_states=context, return_dict=False)[0].transpose(1, 2)
            for t in (timestep, model.solver.timesteps[levels])
        )
    assert close(model.denoise(latents, levels, texts, 1.0), plain)
    assert close(per_frame, plain)


def test_unet_hooks_change_nothing_of_a_plain_call(directories):
    unet = weights.load_part(UNet3DConditionModel, directories["unet"], "unet", torch.float32)
    sample, context = torch.randn(2, 4, 3, 8, 8), torch.randn(2, 5, 12)
    with torch.inference_mode():
        plain = unet(sample, torch.tensor([3, 700]), context).sample
        UNetTimesteps(unet)
        assert close(unet(sample, torch.tensor([3, 700]), context).sample, plain)
        frames = torch.tensor([[3, 3, 3], [700, 700, 700]])
        assert close(unet(sample=sample, timestep=frames, encoder_hidden_states=context).sample, plain)
        with pytest.raises(RuntimeError):
            unet(sample[:, :3], frames, context)  # wrong channels: an error must not leave timesteps behind
        assert close(unet(sample, torch.tensor([3, 700]), context).sample, plain)


def test_output_head_of_the_first_frame(directories):
    each, first = (models.load(directories["wan"], head=head) for head in ("frame", "first"))
    text = each.encode(PROMPTS[:1])[0]
    latents, levels = windows(each, batch=1)
    levels[0] = torch.arange(len(levels[0]))
    ours, theirs = (model.denoise(latents, levels, text, 1.0) for model in (each, first))
    assert close(ours[:, 0], theirs[:, 0])  # the first frame is told its own level in both
    assert not close(ours[:, 1:], theirs[:, 1:], 1e-4)
    assert each.options["head"] != first.options["head"]


@pytest.mark.parametrize("sizes", [[1] * 5, [2, 3], [5]])
def test_streamed_decoding_equals_decoding_at_once(model, sizes):
    latents = torch.randn(5, *model.latent_shape, generator=torch.Generator().manual_seed(1))
    whole = model.decoder().push(latents)
    decoder, other = model.decoder(), model.decoder()
    parts = []
    for part in latents.split(sizes):
        other.push(latents[:1])  # another video in turns
        parts.append(decoder.push(part))
        saved = decoder.state()
        decoder = model.decoder()
        decoder.restore(saved)
    assert torch.equal(torch.cat(parts), whole)
    assert whole.dtype == torch.uint8 and len(whole) == model.video_frames(5)
    if isinstance(model, Wan):
        mean, std = model.statistics()
        images = model.vae.decode(latents.transpose(0, 1)[None] / (1 / std) + mean).sample[0].transpose(0, 1)
        assert torch.equal(((images + 1) / 2 * 255).to(torch.uint8).movedim(1, -1), whole)


def test_the_cache_of_a_decoder_does_not_grow(model):
    decoder, latents = model.decoder(), torch.randn(1, *model.latent_shape)
    sizes = []
    for _ in range(5):
        decoder.push(latents)
        sizes.append(sum(entry.numel() for entry in decoder.state().get("cache", []) if torch.is_tensor(entry)))
    assert sizes[2] == sizes[3] == sizes[4]


def test_frames_there_and_back(model):
    frames = torch.randint(0, 256, (model.video_frames(2), model.run_options.height, model.run_options.width, 3))
    latents = model.encode_frames(frames.to(torch.uint8))
    assert latents.shape == (2, *model.latent_shape)
    for count in range(1, 20):
        assert (
            model.video_frames(model.latent_frames(count)) >= count > model.video_frames(model.latent_frames(count) - 1)
        )
    if isinstance(model, Wan):
        with pytest.raises(ValueError, match=r"4 n \+ 1 frames.*not 4"):
            model.encode_frames(frames[:4].to(torch.uint8))


def test_sampling_at_any_length_and_with_other_levels(model, texts):
    longer = sample_clip(model, texts[0], KeyedNoise(3), num_latents=model.window + 2)
    assert longer.shape == (model.window + 2, *model.latent_shape) and longer.isfinite().all()
    view = model.with_levels(2)
    before = model.calls
    sample_clip(view, texts[0], KeyedNoise(3))
    assert model.calls == view.calls == before + 4
    assert (model.solver.num_levels, view.solver.num_levels) == (4, 2)


def test_other_resolutions(model, texts):
    options = model.run_options
    wide = models.load(model.directory, height=options.height, width=2 * options.width)
    assert wide.latent_shape == (*model.latent_shape[:2], 2 * model.latent_shape[2])
    assert wide.denoise(*windows(wide, 1), texts[0]).isfinite().all()
    assert wide.decoder().push(torch.zeros(1, *wide.latent_shape)).shape == (1, options.height, 2 * options.width, 3)
    with pytest.raises(
        ValueError, match=f"multiples of {model.multiple}, not {options.height + 8 // model.multiple + 1}"
    ):
        models.load(model.directory, height=options.height + 8 // model.multiple + 1)


@pytest.mark.parametrize("offload", ["decoder", "blocks"])
def test_offloading_changes_nothing(model, texts, offload):
    latents, levels = windows(model, 1)
    frugal = models.load(model.directory, offload=offload, device="cpu")
    assert torch.equal(frugal.denoise(latents, levels, texts[0]), model.denoise(latents, levels, texts[0]))
    assert torch.equal(frugal.decoder().push(latents[0]), model.decoder().push(latents[0]))
    assert frugal.options == model.options  # how it is run does not decide what comes out


def test_precisions(model, texts):
    latents, levels = windows(model, 1)
    exact = models.load(model.directory, dtype="fp64").denoise(latents.double(), levels, texts[0], 1.0)
    assert exact.dtype == torch.float64
    assert close(model.denoise(latents, levels, texts[0], 1.0), exact.float())
    half = models.load(model.directory, dtype="bf16")
    assert half.precision == torch.bfloat16 and half.dtype == torch.float32
    error = half.denoise(latents, levels, texts[0], 1.0) - exact
    assert 1e-5 < error.norm() / exact.norm() < 5e-2
    with pytest.raises(ValueError, match="unknown precision 'int8': known are fp32"):
        models.load(model.directory, dtype="int8")


def test_compiling_without_a_compiler_is_one_sentence(directories, monkeypatch):
    monkeypatch.setattr("miga.models.pretrained.COMPILER", "no-such-compiler")
    with pytest.raises(ValueError, match="compile is set and there is no no-such-compiler: install it"):
        models.load(directories["wan"], compile=True)


def test_texts(model, texts):
    assert [text.prompt for text in texts] == PROMPTS
    again = model.encode([PROMPTS[1]])[0]
    assert close(again.positive, texts[1].positive)
    assert torch.equal(texts[0].negative, texts[1].negative)
    assert not close(texts[0].positive[:3], texts[1].positive[:3], 1e-3)
    if isinstance(model, Wan):
        assert len(texts[0].positive) == len(PROMPTS[0].split()) + 1  # words and the end mark, no padding
        long = model.encode(["red " * 50])[0]
        assert len(long.positive) == model.run_options.text_tokens


def test_short_prompts_are_padded_with_id_zero(directories):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(directories["unet"], subfolder="tokenizer")
    (exclaimed, empty) = token_ids(tokenizer, ["A&amp;amp;b !", ""])
    end = tokenizer.eos_token_id
    assert exclaimed.tolist()[0] == end - 1 and exclaimed.tolist().count(end) == 1 and exclaimed.tolist()[-1] == 0
    assert tokenizer.convert_ids_to_tokens(exclaimed.tolist()[1:5]) == ["a</w>", "&</w>", "b</w>", "!</w>"]
    assert empty.tolist() == [end - 1, end] + [0] * 14


def test_out_of_memory_says_what_to_do(model, texts):
    def fail(module, args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    hook = model.denoiser.register_forward_pre_hook(fail)
    try:
        with pytest.raises(MemoryError, match=r"set dtype to bf16 or fp16, batch_guidance to false, offload to"):
            model.denoise(*windows(model, 1), texts[0])
    finally:
        hook.remove()


def test_unknown_names_and_options(directories, tmp_path):
    with pytest.raises(ValueError, match=r"unknown base model 'videocrafter': did you mean 'videocrafter2'\?"):
        models.load("videocrafter")
    with pytest.raises(ValueError, match=r"unknown key 'hight'; did you mean 'height'\?"):
        models.load(directories["unet"], hight=64)
    with pytest.raises(ValueError, match="not a model directory"):
        models.load(tmp_path)
    with pytest.raises(ValueError, match="fps_condition is set but it is missing"):
        models.load(directories["unet"], fps_condition=8)


def test_missing_weights_name_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("MIGA_MODELS", str(tmp_path))
    with pytest.raises(ValueError, match="get them with `miga models fetch videocrafter2`"):
        models.load("videocrafter2")


def broken(directory, part, change, tmp_path):
    """A copy of a model directory whose part was changed."""
    copy = shutil.copytree(directory, tmp_path / "broken")
    change(copy / part)
    return copy


def cut_short(folder):
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])


def other_width(folder):
    config = json.loads((folder / "config.json").read_text())
    key = "ffn_dim" if "ffn_dim" in config else "cross_attention_dim"
    (folder / "config.json").write_text(json.dumps(config | {key: 2 * config[key]}))


def one_layer_more(folder):
    config = json.loads((folder / "config.json").read_text())
    key = "num_layers" if "num_layers" in config else "layers_per_block"
    (folder / "config.json").write_text(json.dumps(config | {key: config[key] + 1}))


@pytest.mark.parametrize("change", [shutil.rmtree, cut_short, other_width, one_layer_more])
def test_broken_weights_are_one_sentence(model, tmp_path, change):
    copy = broken(model.directory, model.denoiser_part, change, tmp_path)
    with pytest.raises(ValueError, match=rf"{model.denoiser_part}.*(fetch or convert the model again)") as error:
        models.load(copy)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


def test_digest_follows_the_weights(directories, tmp_path):
    copy = shutil.copytree(directories["wan"], tmp_path / "wan")
    assert weights.digest(copy) == weights.digest(directories["wan"])
    (copy / "README.md").write_text("a note")
    assert weights.digest(copy) == weights.digest(directories["wan"])
    vae = AutoencoderKLWan.from_pretrained(copy, subfolder="vae")
    nn.init.zeros_(vae.quant_conv.bias)
    vae.save_pretrained(copy / "vae")
    assert weights.digest(copy) != weights.digest(directories["wan"])


def test_every_registered_model_has_a_card(capsys):
    for name in registry.names():
        spec = registry.get(name)
        assert spec.licence and spec.gigabytes > 0 and (spec.repo is None) == name.startswith("sprites")
    list_models()
    shown = capsys.readouterr().out
    assert all(name in shown for name in registry.names())
    list_models(json=True)
    assert json.loads(capsys.readouterr().out).keys() == set(registry.names())
