"""The fused VBench-Long: DINOv2 and DreamSim against independent networks, its rule, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from eval.benchmark import BENCHMARKS
from eval.vbench import between, long, weights
from eval.vbench.backbones import CLIP, IMAGENET
from eval.vbench.networks import quick_gelu
from eval.vbench.score import Backbones
from miga.commands import scores as cli
from tests.eval import standin
from tests.eval.conftest import moving_square, write_video

CPU = torch.device("cpu")
WIDTH, RANK, ALPHA = 128, 4, 0.5


def squares(frames, size, mean, std):
    images = frames.permute(0, 3, 1, 2).float()
    images = F.interpolate(images, size, mode="bicubic", antialias=True)
    top, left = ((side - 224) // 2 for side in size)
    images = images[..., top : top + 224, left : left + 224] / 255
    return (images - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)


def test_dinov2_is_that_of_transformers(tmp_path):
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=14, mlp_ratio=4
    )
    state = standin.dino(WIDTH)
    state |= {"pos_embed": torch.randn(1, 257, WIDTH), "patch_embed.proj.weight": torch.randn(WIDTH, 3, 14, 14) / 24}
    state |= {f"blocks.{i}.ls{n}.gamma": torch.rand(WIDTH) for i in range(2) for n in (1, 2)}
    torch.save(state, tmp_path / "dinov2.pth")
    frames = torch.from_numpy(standin.panning(3, 100, 130))
    with torch.no_grad():
        wanted = _of_transformers(Dinov2Model(config).eval(), state)(squares(frames, (256, 332), *IMAGENET))
    found = between.dinov2(tmp_path / "dinov2.pth", CPU)(frames)
    assert torch.allclose(found, wanted, atol=5e-5) and wanted.std() > 0.1
    torch.save(standin.dino(WIDTH), tmp_path / "dino.pth")
    with pytest.raises(ValueError, match=r"dino\.pth: has no blocks\.0\.ls1\.gamma: this is not DINOv2"):
        between.dinov2(tmp_path / "dino.pth", CPU)


def _of_transformers(network, state):
    names = {
        "embeddings.cls_token": "cls_token", "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection": "patch_embed.proj", "layernorm": "norm",
    }  # fmt: skip
    for i in range(2):
        own = {"attention.o_proj": "attn.proj", "norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1"}
        own |= {"mlp.fc2": "mlp.fc2", "layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma"}
        names |= {f"encoder.layer.{i}.{theirs}": f"blocks.{i}.{ours}" for theirs, ours in own.items()}
    found = {}
    for theirs, ours in names.items():
        for part in ("", ".weight", ".bias"):
            if f"{ours}{part}" in state:
                found[f"{theirs}{part}"] = state[f"{ours}{part}"]
    for i in range(2):
        for part in ("weight", "bias"):
            qkv = state[f"blocks.{i}.attn.qkv.{part}"].chunk(3)
            found |= {f"encoder.layer.{i}.attention.{n}_proj.{part}": one for n, one in zip("qkv", qkv, strict=True)}
    lost = network.load_state_dict(found, strict=False)
    assert not lost.unexpected_keys and all("mask_token" in name for name in lost.missing_keys)
    return lambda images: network(images).pooler_output


class Adapted(nn.Module):
    """A layer and its adapter, side by side."""

    def __init__(self, layer, down, up):
        super().__init__()
        self.layer, self.down, self.up = layer, down, up

    def forward(self, x):
        return self.layer(x) + ALPHA / RANK * (x @ self.down.T @ self.up.T)


@pytest.fixture
def ensemble(tmp_path):
    """DreamSim's files at a small width, laid out as they are unpacked; with the same networks, written plainly."""
    scope: dict = {}
    exec(standin.VISION_TRANSFORMER, scope)
    folder, draw = tmp_path / "dreamsim_model", torch.Generator().manual_seed(3)
    (folder / "ensemble_lora").mkdir(parents=True)
    (folder / "ensemble_lora/adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    plain, adapters = [], {}
    for number, name in enumerate(("", "clip_vitb16", "open_clip_vitb16")):
        state = {key: value * (1 + 0.1 * number) for key, value in standin.dino(WIDTH).items()}
        network = scope["ViT"](WIDTH, 2, 2).eval()
        network.load_state_dict(state)
        if name:
            state |= {"pos_drop.weight": 1 + torch.rand(WIDTH), "pos_drop.bias": torch.rand(WIDTH)}
            state["proj"] = torch.randn(WIDTH, 32, generator=draw) / WIDTH**0.5
            torch.save({"state_dict": state}, folder / f"{name}_pretrain.pth.tar")
        else:
            (tmp_path / weights.DINO.place).parent.mkdir()
            torch.save(state, tmp_path / weights.DINO.place)
        for i, block in enumerate(network.blocks):
            down, up = (torch.randn(shape, generator=draw) for shape in ((RANK, WIDTH), (3 * WIDTH, RANK)))
            block.attn.qkv = Adapted(block.attn.qkv, down, up)
            layer = f"base_model.model.extractor_list.{number}.model.blocks.{i}.attn.qkv"
            adapters |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
        plain.append((network, state))
    save_file(adapters, folder / "ensemble_lora/adapter_model.safetensors")
    return tmp_path, plain


@torch.no_grad()
def like_dreamsim(plain, frames):
    dino, *clips = plain
    tokens = []
    dino[0].blocks[-1].register_forward_hook(lambda module, given, found: tokens.append(found[:, 0]))
    dino[0](squares(frames, (224, 224), *IMAGENET))
    for (network, state), activation in zip(clips, (quick_gelu, F.gelu), strict=True):
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5
        images = squares(frames, (224, 224), *CLIP)
        patches = network.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([network.cls_token.expand(len(images), -1, -1), patches], 1) + network.pos_embed
        x = F.layer_norm(x, (WIDTH,), state["pos_drop.weight"], state["pos_drop.bias"], 1e-5)
        for block in network.blocks:
            block.mlp.act.forward = activation
            x = block(x)
        tokens.append(network.norm(x)[:, 0] @ state["proj"])
    joined = torch.cat(tokens, 1)
    joined = joined / joined.norm(dim=1, keepdim=True)
    return joined - joined.mean(1, keepdim=True)


def test_dreamsim_is_its_three_networks_with_their_adapters(ensemble):
    folder, plain = ensemble
    frames = torch.from_numpy(standin.panning(3, 60, 90))
    paths = weights.located(folder, [weights.DINO, *weights.DREAMSIM])
    found, wanted = between.dreamsim(*paths, CPU)(frames), like_dreamsim(plain, frames)
    assert torch.allclose(F.normalize(found, dim=1), F.normalize(wanted, dim=1), atol=1e-5)
    assert (wanted[0] - wanted[1]).abs().max() > 0.01
    adapters = folder / weights.DREAMSIM[2].place
    save_file({"other": torch.ones(1)}, adapters)
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors: has no base_model\..*: this is not DreamSim's"):
        between.dreamsim(*paths, CPU)
    adapters.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors: not a file of weights, or a damaged one"):
        between.dreamsim(*paths, CPU)
    (folder / weights.DREAMSIM[3].place).write_text("[]")
    with pytest.raises(ValueError, match=r"adapter_config\.json: says no lora_alpha"):
        between.dreamsim(*paths, CPU)


def looks(seed):
    projection = torch.randn(3 * 32 * 48, 8, generator=torch.Generator().manual_seed(seed))
    return lambda frames: frames.flatten(1).float() @ projection


@pytest.fixture
def networks():
    own = Backbones("vbench", "1", looks(1), looks(2), None)
    return between.Fused(**vars(own), between={"subject": looks(3), "background": looks(4)})


CONSISTENCIES = ("subject_consistency", "background_consistency")


def test_a_clip_is_half_its_own_and_half_its_videos(tmp_path, networks):
    path = write_video(tmp_path / "a.mp4", moving_square(45))
    plain = {row["metric"]: row for row in long.score_video(path, _own(networks), metrics=CONSISTENCIES)}
    fused = {row["metric"]: row for row in long.score_video(path, networks, metrics=CONSISTENCIES)}
    assert {row["protocol"] for row in fused.values()} == {"vbench-long-fused"}
    for metric, part in zip(CONSISTENCIES, ("subject", "background"), strict=True):
        other = fused[f"{metric}_clip_to_clip"]["value"]
        assert other != plain[f"{metric}_clip_to_clip"]["value"]
        wanted = [0.5 * value + 0.5 * long.mapped(other, part) for value in plain[metric]["series"]]
        assert fused[metric]["series"] == pytest.approx(wanted, abs=1e-12) and len(wanted) == 3
        assert fused[metric]["value"] == pytest.approx(sum(wanted) / 3, abs=1e-12)


def test_a_video_of_one_clip_is_as_it_is(tmp_path, networks):
    path = write_video(tmp_path / "a.mp4", moving_square(14))
    plain = long.score_video(path, _own(networks), metrics=CONSISTENCIES)
    fused = long.score_video(path, networks, metrics=CONSISTENCIES)
    assert [row["value"] for row in fused] == [row["value"] for row in plain]
    assert fused[-1]["reason"] == "1 clip: clip-to-clip consistency needs at least 2"


def test_what_cannot_be_compared_has_no_value(tmp_path, networks):
    broken = replace(networks, between=networks.between | {"subject": lambda frames: frames[:, :, 0, 0] * torch.nan})
    path = write_video(tmp_path / "a.mp4", moving_square(40))
    found = {row["metric"]: row for row in long.score_video(path, broken, metrics=CONSISTENCIES)}
    assert found["subject_consistency"]["value"] is None and "not finite" in found["subject_consistency"]["reason"]
    assert found["background_consistency"]["value"] is not None


def _own(networks):
    return Backbones(**{name: value for name, value in vars(networks).items() if name != "between"})


def test_without_its_files_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for file, state in ((weights.DINO, standin.dino()), (weights.AMT, {"a": torch.ones(1)})):
        (tmp_path / file.place).parent.mkdir()
        torch.save(state, tmp_path / file.place)
    (tmp_path / weights.CLIP.place).parent.mkdir()
    torch.jit.script(standin.Archive(standin.clip())).save(str(tmp_path / weights.CLIP.place))
    write_video(tmp_path / "v/a dog-0.mp4", moving_square(20))
    asked = dict(protocol="vbench-long-fused", weights=tmp_path, out=tmp_path / "s.parquet", device="cpu")
    with pytest.raises(ValueError, match=r"missing: .*dinov2_vitb14_pretrain\.pth from https"):
        cli.score(tmp_path / "v", **asked, dimensions=("subject_consistency",))
    with pytest.raises(ValueError, match=r"missing: .*clip_vitb16.*adapter_config\.json from https"):
        cli.score(tmp_path / "v", **asked, dimensions=("background_consistency",))
    assert cli.score(tmp_path / "v", **asked, dimensions=("temporal_flickering",)) == 0


def test_as_a_benchmark_it_takes_no_other_networks(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    benchmark = BENCHMARKS.get("vbench-long-fused")
    settings = benchmark.settings(prompts="p.yaml")
    benchmark.check(settings)
    assert benchmark.protocol(settings) == "vbench-long-fused"
    with pytest.raises(ValueError, match="backbones 'sprites': its tables hold for VBench's own networks alone"):
        benchmark.check(settings.model_copy(update={"backbones": "sprites"}))
    lacking = [need.name for need in benchmark.needs(settings, tmp_path) if not need.present]
    assert "dinov2_vitb14_pretrain.pth" in lacking and "adapter_model.safetensors" in lacking
