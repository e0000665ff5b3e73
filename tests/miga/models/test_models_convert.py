"""Conversion of original checkpoints. The golden sets compare the outputs; here: names, errors, real configurations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from miga import models
from miga.experiment.measure import PeakMemory
from miga.models import convert, fetch, registry
from tests.miga.hub import Hub
from tests.miga.tiny_models import randomise, word_tokenizer

GOLDEN = Path(__file__).parents[2] / "parity" / "golden"
TINY = GOLDEN / "videocrafter_tiny_unet"
TEXT = dict(width=32, heads=2, layers=3, context_length=77, vocab_size=49408)
VAE = dict(in_channels=3, out_ch=3, z_channels=4, ch=32, ch_mult=[1, 2], num_res_blocks=1, scale_factor=0.2)


def original_text(tensors):
    """A CLIPTextModel's tensors as open_clip calls them, with one block more and what the original never uses."""
    rules = (
        (r"^embeddings\.token_embedding", "token_embedding"),
        (r"^embeddings\.position_embedding\.weight", "positional_embedding"),
        (r"^final_layer_norm", "ln_final"),
        (r"^encoder\.layers", "transformer.resblocks"),
        (r"layer_norm([12])", r"ln_\1"),
        (r"mlp\.fc1", "mlp.c_fc"),
        (r"mlp\.fc2", "mlp.c_proj"),
        (r"self_attn", "attn"),
    )
    named = {convert.rename(name, rules): tensor for name, tensor in tensors.items()}
    for name in [name for name in named if ".q_proj." in name]:
        thirds = [named.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        named[name.replace("q_proj.", "in_proj_")] = torch.cat(thirds)
    last = {
        re.sub(r"resblocks\.1\.", "resblocks.2.", name): tensor for name, tensor in named.items() if "blocks.1." in name
    }
    return named | last | dict(text_projection=torch.zeros(2, 2), logit_scale=torch.tensor(1.0))


def original_vae(tensors, levels):
    """An AutoencoderKL's tensors as the first stage calls them."""
    rules = (
        (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
        (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
        *((rf"up_blocks\.{i}\.resnets", f"up.{levels - 1 - i}.block") for i in range(levels)),
        *((rf"up_blocks\.{i}\.upsamplers\.0", f"up.{levels - 1 - i}.upsample") for i in range(levels)),
        (r"mid_block\.resnets\.0", "mid.block_1"),
        (r"mid_block\.resnets\.1", "mid.block_2"),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
        (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
        (r"conv_shortcut", "nin_shortcut"),
        (r"conv_norm_out", "norm_out"),
    )
    flat = re.compile(r"attn_1\.(q|k|v|proj_out)\.weight")
    named = {convert.rename(name, rules): tensor for name, tensor in tensors.items()}
    return {name: tensor[..., None, None] if flat.search(name) else tensor for name, tensor in named.items()}


@pytest.fixture(scope="module")
def videocrafter():
    """The tensors of a tiny model.ckpt, its configuration, and the networks that it was made from."""
    unet = {f"model.diffusion_model.{n}": t for n, t in load_file(TINY / "unet_lvdm.safetensors").items()}
    networks = []
    for build, config in ((convert.lvdm_vae, VAE), (convert.open_clip_text, TEXT)):
        empty = build({}, config)[0]
        networks.append(randomise(empty.to_empty(device="cpu")).state_dict())
    vae = {f"first_stage_model.{n}": t for n, t in original_vae(networks[0], 2).items()}
    text = {f"cond_stage_model.model.{n}": t for n, t in original_text(networks[1]).items()}
    config = dict(unet=json.loads((TINY / "unet.json").read_text())["lvdm_unet_config"], vae=VAE, text=TEXT)
    return unet | vae | text | dict(betas=torch.zeros(1000)), config, networks


@pytest.fixture(scope="module")
def checkpoint(videocrafter, tmp_path_factory):
    path = tmp_path_factory.mktemp("videocrafter2") / "model.ckpt"
    torch.save({"state_dict": videocrafter[0]}, path)
    return path


def test_videocrafter2_runs_after_conversion(videocrafter, checkpoint, tmp_path):
    _, config, (vae, text) = videocrafter
    out = convert.convert("videocrafter2", checkpoint, tmp_path / "out", config)
    saved = load_file(out / "vae" / "diffusion_pytorch_model.safetensors")
    assert saved.keys() == vae.keys() and all(torch.equal(saved[name], vae[name]) for name in vae)
    saved = load_file(out / "text_encoder" / "model.safetensors")
    assert saved.keys() == text.keys() and all(torch.equal(saved[name], text[name]) for name in text)
    slow, fast = (models.load(out, height=32, width=32, fps_condition=fps) for fps in (8, 24))
    (prompt,) = slow.encode(["An astronaut rides a horse in space!"])
    assert prompt.positive.shape == (77, 32)
    window = torch.randn(1, 4, *slow.latent_shape), torch.tensor([[0, 20, 40, 63]])
    assert slow.denoise(*window, prompt, 1.0).isfinite().all()
    biases = [model.denoiser.time_embedding.linear_2.bias for model in (slow, fast)]
    assert (biases[0] - biases[1]).abs().max() > 1e-2  # the frame rate is still a run parameter
    assert slow.options["fps_condition"] == 8 and slow.name == "videocrafter2"
    with pytest.raises(ValueError, match="fps_condition is not set"):
        models.load(out, height=32, width=32, fps_condition=None)


def test_fetching_an_original_converts_it(videocrafter, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("MIGA_MODELS", str(tmp_path))
    monkeypatch.setattr(convert, "VIDEOCRAFTER2", videocrafter[1])
    with Hub(checkpoint.parent, registry.get("videocrafter2").repo).running() as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        folder = fetch.fetch("videocrafter2", lambda line: None)
    assert models.load("videocrafter2", height=32, width=32).directory == folder
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "videocrafter2",
        "videocrafter2.json",
    ]  # no download left
    assert fetch.inventory(["videocrafter2"])[0].present


def test_conversion_takes_the_memory_of_one_copy(videocrafter, tmp_path):
    tensors, config, _ = videocrafter
    text = dict(TEXT, width=512)
    wide = {f"cond_stage_model.model.{n}": t for n, t in original_text(zeros_of(convert.open_clip_text, text)).items()}
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": tensors | wide}, path)
    size = path.stat().st_size / 2**20
    assert size > 100
    del wide
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    out = convert.convert("videocrafter2", path, tmp_path / "out", config | dict(text=text))
    assert memory.read() - before < 1.5 * size
    modes = {file.stat().st_mode & 0o777 for file in out.rglob("*") if file.is_file()}
    assert len(modes) == 1  # the weights may be read by whoever may read the configurations


def zeros_of(build, config):
    return {name: torch.zeros(tensor.shape) for name, tensor in build({}, config)[0].state_dict().items()}


def test_a_folder_that_exists_is_left_alone(checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"exists: remove it or choose another folder"):
        convert.convert("videocrafter2", checkpoint, tmp_path)


@pytest.fixture
def refuses(videocrafter, tmp_path):
    """Convert tensors (or a file) that are wrong, and expect one sentence and nothing left behind."""

    def check(content, match, name="videocrafter2"):
        path = tmp_path / "model.ckpt"
        if isinstance(content, dict):
            torch.save({"state_dict": content}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=match) as error:
            convert.convert(name, path, tmp_path / "out", videocrafter[1])
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        assert [file.name for file in tmp_path.iterdir()] == ["model.ckpt"]

    return check


def test_wrong_checkpoints_are_one_sentence(videocrafter, checkpoint, refuses):
    tensors = videocrafter[0]
    unet = {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}
    refuses(
        checkpoint.read_bytes()[: checkpoint.stat().st_size // 2], "cut short or not a checkpoint.*download it again"
    )
    refuses(b"<html>not found</html>", "expected VideoCrafter2's model.ckpt")
    refuses(unet, "has no model.diffusion_model, first_stage_model and cond_stage_model")
    refuses(
        {n: t for n, t in tensors.items() if "temopral" not in n}, "is a VideoCrafter1 checkpoint.*miga models fetch"
    )
    missing = "model.diffusion_model.out.2.bias"
    refuses({n: t for n, t in tensors.items() if n != missing}, "1 tensors are missing, such as conv_out.bias")
    refuses(tensors | {"model.diffusion_model.extra.weight": torch.zeros(1)}, "1 tensors are left over, such as extra")
    wide = {"model.diffusion_model.out.2.bias": torch.zeros(5)}
    refuses(tensors | wide, r"conv_out.bias is \(5,\) instead of \(4,\); check")


def test_a_pickle_that_runs_code_is_not_opened(refuses, tmp_path):
    class Malice:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "broken_in", "x"))

    torch.save({"state_dict": Malice()}, tmp_path / "model.ckpt")
    refuses((tmp_path / "model.ckpt").read_bytes(), "holds more than tensors .* and is not opened")


@pytest.fixture
def wan_folder(tmp_path):
    """Wan2.1's folder as published, with the tiny networks of the golden set, and their configuration."""
    golden = GOLDEN / "models"
    folder = tmp_path / "Wan2.1-T2V"
    folder.mkdir()
    tensors = load_file(golden / "wan_dit.safetensors")
    halves = [dict(list(tensors.items())[start::2]) for start in (0, 1)]
    for number, half in enumerate(halves, 1):
        save_file(half, folder / f"diffusion_pytorch_model-0000{number}-of-00002.safetensors")
    (folder / "config.json").write_text(json.dumps(dict(model_type="t2v")))
    torch.save(load_file(golden / "wan_vae.safetensors"), folder / "Wan2.1_VAE.pth")
    torch.save(load_file(golden / "wan_umt5.safetensors"), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    word_tokenizer().save_pretrained(folder / "google" / "umt5-xxl")
    return folder, json.loads((golden / "wan_outputs.json").read_text())["settings"]


def test_wan_runs_after_conversion(wan_folder, tmp_path):
    folder, config = wan_folder
    out = convert.convert("wan2.1-1.3b", folder, tmp_path / "out", config)
    model = models.load(out, height=32, width=48)
    assert (model.name, model.latent_shape) == ("wan2.1-1.3b", (16, 4, 6))
    (text,) = model.encode(["a red circle"])
    assert text.positive.shape == (4, 24) and text.negative.shape[0] > 1
    assert model.denoise(torch.randn(1, 2, *model.latent_shape), torch.tensor([[3, 50]]), text).isfinite().all()
    assert model.decoder().push(torch.zeros(2, *model.latent_shape)).shape == (5, 32, 48, 3)


def test_wrong_wan_folders_are_one_sentence(wan_folder, tmp_path):
    folder, config = wan_folder

    def refuses(match):
        with pytest.raises(ValueError, match=match):
            convert.convert("wan2.1-1.3b", folder, tmp_path / "out", config)
        assert not (tmp_path / "out").exists()

    text = folder / "models_t5_umt5-xxl-enc-bf16.pth"
    content = text.read_bytes()
    text.write_bytes(content[:1000])
    refuses(f"{text.name} is cut short")
    text.unlink()
    refuses(f"{text.name} is missing: expected the UMT5 encoder")
    text.write_bytes((folder / "Wan2.1_VAE.pth").read_bytes())
    refuses(f"{text.name} is not what a UMT5EncoderModel")
    (folder / "config.json").write_text(json.dumps(dict(model_type="i2v")))
    refuses("is a Wan2.1 i2v model: expected a text-to-video one; get it with `miga models fetch wan2.1-1.3b`")
    (folder / "config.json").unlink()
    save_file({"img_emb.proj.0.weight": torch.zeros(1)}, folder / "diffusion_pytorch_model-00003-of-00003.safetensors")
    refuses("image-to-video transformer")
    for shard in folder.glob("*.safetensors"):
        shard.unlink()
    refuses(r"has no diffusion_pytorch_model\*\.safetensors.*needs no conversion")


def count(network, trained=None):
    return len(network.state_dict()), sum(parameter.numel() for parameter in network.parameters())


def test_the_real_configurations():
    """Tensors and parameters of the released networks (specification of the originals)."""
    config = convert.VIDEOCRAFTER2
    assert count(convert.lvdm_unet({}, config["unet"])[0]) == (1480, 1_411_233_860)
    assert count(convert.lvdm_vae({}, config["vae"])[0])[0] == 248
    assert count(convert.open_clip_text({}, config["text"])[0])[0] == 372
    assert count(convert.wan_transformer({}, convert.WAN["wan2.1-1.3b"]["dit"])[0]) == (825, 1_418_996_800)
    assert count(convert.wan_transformer({}, convert.WAN["wan2.1-14b"]["dit"])[0])[1] == 14_288_491_584
    assert count(convert.wan_vae({}, convert.WAN_VAE)[0])[0] == 194
    assert count(convert.umt5({}, convert.UMT5_XXL)[0])[0] == 243  # 242 and the tied embedding
