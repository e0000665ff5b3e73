"""The fast scorer's networks against independent ones, and its numbers against the `vbench` package itself.

The comparison with the package runs where VBENCH_PYTHON names the python of its environment
(`python -m eval.vbench.official DIR` builds it); the weights are small random stand-ins in the package's own layout.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from eval.vbench import VBENCH, backbones, networks, official, weights
from eval.vbench.score import score_video
from tests.eval import standin
from tests.eval.conftest import write_video

PYTHON = os.environ.get("VBENCH_PYTHON")
CPU = torch.device("cpu")


@pytest.mark.parametrize("height, width", [(96, 160), (224, 224), (130, 90)])
def test_subject_features_are_those_of_a_plain_dino(tmp_path, height, width):
    path = tmp_path / "dino.pth"
    torch.save(standin.dino(), path)
    scope: dict = {}
    exec(standin.VISION_TRANSFORMER, scope)
    plain = scope["ViT"](96, 2)
    plain.load_state_dict(standin.dino())
    frames = torch.from_numpy(standin.panning(3, height, width))
    images = frames.permute(0, 3, 1, 2).float()
    short = min(height, width)
    size = [int(224 * side / short) for side in (height, width)]
    images = torch.nn.functional.interpolate(images, size=size, mode="bilinear") / 255
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        wanted = plain((images - mean) / std)
    found = backbones.subject_features(path, CPU)(frames)
    assert torch.allclose(found, wanted, atol=2e-5) and wanted.std() > 0.1


def test_background_features_are_those_of_clip(tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    weights = standin.clip()
    path = tmp_path / "clip.pt"
    torch.jit.script(standin.Archive(weights)).save(str(path))
    config = CLIPVisionConfig(
        hidden_size=128, intermediate_size=512, num_hidden_layers=2, num_attention_heads=2, projection_dim=32,
        image_size=224, patch_size=32, hidden_act="quick_gelu",
    )  # fmt: skip
    network = CLIPVisionModelWithProjection(config).eval()
    state = {
        "vision_model.embeddings.class_embedding": weights["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": weights["visual.conv1.weight"].half().float(),
        "vision_model.embeddings.position_embedding.weight": weights["visual.positional_embedding"],
        "visual_projection.weight": weights["visual.proj"].half().float().T,
    }
    for part in ("weight", "bias"):
        state[f"vision_model.pre_layrnorm.{part}"] = weights[f"visual.ln_pre.{part}"]
        state[f"vision_model.post_layernorm.{part}"] = weights[f"visual.ln_post.{part}"]
        for i in range(2):
            ours, theirs = f"visual.transformer.resblocks.{i}", f"vision_model.encoder.layers.{i}"
            qkv = weights[f"{ours}.attn.in_proj_{part}"].half().float().chunk(3)
            state |= {f"{theirs}.self_attn.{n}_proj.{part}": x for n, x in zip("qkv", qkv, strict=True)}
            for name, other in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                state[f"{theirs}.{other}.{part}"] = weights[f"{ours}.{name}.{part}"].half().float()
            for n in (1, 2):
                state[f"{theirs}.layer_norm{n}.{part}"] = weights[f"{ours}.ln_{n}.{part}"]
    lost = network.load_state_dict(state, strict=False)
    assert not lost.unexpected_keys and all("position_ids" in key for key in lost.missing_keys)
    frames = torch.from_numpy(standin.panning(2, 100, 130))
    images = frames.permute(0, 3, 1, 2).float()
    images = torch.nn.functional.interpolate(images, size=[224, 291], mode="bicubic")[..., 34:258] / 255
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in backbones.CLIP)
    with torch.no_grad():
        wanted = network((images - mean) / std).image_embeds
    found = backbones.background_features(path, CPU)(frames)
    assert torch.allclose(found, wanted, atol=2e-5) and wanted.std() > 0.1


def test_features_do_not_depend_on_the_batch(tmp_path):
    torch.save(standin.dino(), tmp_path / "dino.pth")
    features = backbones.subject_features(tmp_path / "dino.pth", CPU)
    frames = torch.from_numpy(standin.panning(11, 64, 64))
    assert torch.allclose(features(frames), torch.cat([features(frame[None]) for frame in frames]), atol=1e-5)


def test_missing_weights_are_all_named_with_their_addresses(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError) as error:
        weights.located(tmp_path)
    for file in weights.FILES:
        assert file.place in str(error.value) and file.url in str(error.value)
    for file in weights.FILES[1:]:
        (tmp_path / file.place).parent.mkdir()
        (tmp_path / file.place).write_bytes(b"x")
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/dino_vitbase16_pretrain.pth").write_bytes(b"x")  # the other place that counts
    assert weights.located(tmp_path)[0].parent.name == "checkpoints"


def test_the_inventory_compares_with_what_is_published(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for file in weights.FILES:
        (tmp_path / file.place).parent.mkdir()
        (tmp_path / file.place).write_bytes(b"x")
    found = {file.place: (path, words) for file, path, words in weights.inventory(tmp_path)}
    here = f"sha256 {hashlib.sha256(b'x').hexdigest()[:12]}"
    assert found[weights.AMT.place][1].startswith(f"{here}, no published sha256")
    assert found[weights.CLIP.place][1].startswith(f"{here}, NOT the published file")
    missing = [place for place, (path, _) in found.items() if path is None]
    assert missing == [file.place for file in (*weights.OFFICIAL, *weights.BETWEEN)]


def test_a_fetched_file_is_compared_and_a_wrong_one_is_not_kept(tmp_path):
    content = b"weights"
    with served(content) as address:
        good = weights.File("a/good.pth", address, (), hashlib.sha256(content).hexdigest())
        wrong = weights.File("a/wrong.pth", address, (), "0" * 64)
        weights.fetch([good], tmp_path, say=lambda words: None)
        with pytest.raises(ValueError, match="the published one 000000000000"):
            weights.fetch([wrong], tmp_path, say=lambda words: None)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["good.pth"]
    with pytest.raises(ValueError, match=r"cannot be fetched .* put the file at .*other\.pth by hand"):
        weights.fetch([weights.File("other.pth", address, ())], tmp_path, say=lambda words: None)


@contextmanager
def served(content: bytes):
    """The address of a server on this machine that gives `content`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/file"
        server.shutdown()


@pytest.mark.parametrize(
    "metrics, loaded",
    [
        (("repetition", "rerun", "sharpness"), set()),
        (("temporal_flickering", "motion"), set()),
        (("subject_consistency", "drift", "lag_mean"), {"dino_vitbase16_pretrain.pth"}),
        (("background_consistency", "vqeval_loop"), {"ViT-B-32.pt"}),
        (("aesthetic_quality",), {"ViT-L-14.pt", "sa_0_4_vit_l_14_linear.pth"}),
    ],
)
def test_a_network_is_loaded_only_where_a_metric_asks_for_it(tmp_path, monkeypatch, metrics, loaded):
    files = {weights.DINO: standin.dino(), weights.AMT: {"a": torch.ones(1)}}
    files |= {weights.LINEAR: {"weight": torch.randn(1, 32), "bias": torch.zeros(1)}}
    for file, state in files.items():
        (tmp_path / file.place).parent.mkdir(parents=True)
        torch.save(state, tmp_path / file.place)
    for file in (weights.CLIP, weights.CLIP_L):
        (tmp_path / file.place).parent.mkdir(exist_ok=True)
        torch.jit.script(standin.Archive(standin.clip())).save(str(tmp_path / file.place))
    read = []
    monkeypatch.setattr(backbones, "checkpoint", lambda path: read.append(path.name) or networks.checkpoint(path))
    loading = backbones.load(tmp_path, CPU, metrics=metrics)
    video = write_video(tmp_path / "a.mp4", standin.panning(33, 32, 40))
    rows = score_video(video, loading, metrics=metrics)
    assert set(read) == loaded and all(row["value"] is not None for row in rows)


class Config:
    """Stands for the training configuration in AMT's file."""

    def __init__(self) -> None:
        self.lr = [1, {"a": 2}]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_files_with_more_than_tensors_load_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.ones(2)}, "config": Config(), "trap": Trap()}, "amt.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load("amt.pth", weights_only=True)
    assert networks.checkpoint(Path("amt.pth"))["a"].tolist() == [1, 1]
    assert not Path("trapped").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_damaged_or_wrong_weights_are_one_sentence(tmp_path, content):
    path = tmp_path / "dino.pth"
    if content is None:
        torch.save({"something": torch.ones(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"dino\.pth: (not a file of weights|has no)"):
        backbones.subject_features(path, CPU)


official_only = pytest.mark.skipif(not PYTHON, reason="VBENCH_PYTHON names no environment with the vbench package")


@official_only
def test_fast_equals_the_package(tmp_path):
    package = official.package(PYTHON)
    torch.manual_seed(0)
    folder = standin.lay_out(tmp_path / "w", backbones.amt(package).state_dict(), standin.dino(), standin.clip())
    shapes = {"wide": (9, 96, 160), "tall": (6, 130, 90), "square": (7, 224, 224)}
    videos = {
        name: write_video(tmp_path / f"{name}.mp4", standin.panning(*shape), pix_fmt="yuv420p")
        for name, shape in shapes.items()
    }
    (tmp_path / "empty.mp4").touch()
    write_video(tmp_path / "small.mp4", standin.panning(5, 48, 64), pix_fmt="yuv420p")
    bad = {name: tmp_path / f"{name}.mp4" for name in ("empty", "small")}
    found = official.score(videos | bad, PYTHON, folder)
    fast = backbones.load(folder, CPU, package)
    tolerance = dict(zip(VBENCH, (1e-7, 1e-6, 1e-6, 1e-7), strict=True))
    for name, path in videos.items():
        for row in score_video(path, fast):
            if row["metric"] in VBENCH:
                wanted = found[name, row["metric"]]
                assert row["value"] == pytest.approx(wanted["value"], abs=tolerance[row["metric"]]), (
                    name,
                    row["metric"],
                )
                assert row["protocol"] == wanted["protocol"] == "vbench" and row["version"] != wanted["version"]
    assert found["empty", "motion_smoothness"]["reason"] == "empty file"
    assert "64x48 pixels" in found["small", "motion_smoothness"]["reason"]
    for row in score_video(bad["small"], fast):
        assert (row["reason"] is None) == (row["metric"] != "motion_smoothness")
        if row["metric"] in VBENCH:
            wanted = found["small", row["metric"]]
            assert row["value"] == pytest.approx(wanted["value"], abs=1e-6) and row["reason"] == wanted["reason"]
    least = write_video(tmp_path / "least.mp4", standin.panning(3, 49, 49))
    assert all(row["reason"] is None for row in score_video(least, fast))


@official_only
def test_the_fast_scorer_equals_the_package_in_the_other_dimensions(tmp_path):
    package = official.package(PYTHON)
    torch.manual_seed(0)
    folder = standin.lay_out(tmp_path / "w", backbones.amt(package).state_dict(), standin.dino(), standin.clip())
    others = ("dynamic_degree", "aesthetic_quality", "imaging_quality")
    video = write_video(tmp_path / "a.mp4", standin.panning(4, 128, 160), pix_fmt="yuv420p")
    with pytest.raises(ValueError, match="musiq_spaq_ckpt"):
        official.score({"a": video}, PYTHON, folder, others)
    standin.lay_out_others(folder, PYTHON)
    found = {dimension: row for (_, dimension), row in official.score({"a": video}, PYTHON, folder, others).items()}
    assert list(found) == list(others) and all(row["reason"] is None for row in found.values())
    assert found["dynamic_degree"]["value"] in (0, 1)
    fast = backbones.load(folder, CPU, package, others)
    assert fast.subject is fast.background is fast.interpolate is None  # networks run only where a metric asks
    rows = score_video(video, fast, metrics=others)
    for row in rows:
        limit = 0 if row["metric"] == "dynamic_degree" else 1e-4
        assert row["value"] == pytest.approx(found[row["metric"]]["value"], abs=limit), row["metric"]
    assert [len(row["series"]) for row in rows] == [3, 4, 4]
