"""Training and the shipped base models: tokenizers, folders, resuming."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from torch import nn
from transformers import AutoTokenizer, CLIPTextModel, CLIPTokenizer

from miga.sprites import networks, probes, train, wan, world
from miga.sprites.fitting import Schedule, fit
from miga.sprites.text import MAX_TOKENS, clip_ids, loosen, new_clip_tokenizer, vocabulary

FOLDER = networks.WEIGHTS / "sprites-unet"


@pytest.fixture(scope="module")
def tokenizer():
    return CLIPTokenizer.from_pretrained(FOLDER, subfolder="tokenizer")


def test_every_word_is_one_token(tokenizer):
    ids = [tokenizer(word).input_ids for word in vocabulary()]
    assert all(len(row) == 3 for row in ids)
    assert len({row[1] for row in ids}) == len(ids)
    fresh = new_clip_tokenizer()
    assert all(len(fresh(word).input_ids) == 3 for word in vocabulary())
    assert fresh("a red circle").input_ids == fresh("A  red circle").input_ids


def test_captions_fit_and_any_text_is_taken(tokenizer):
    longest = max(len(tokenizer(world.caption(scene)).input_ids) for scene in world.sample_scenes(500, 1, events=1.0))
    assert longest <= MAX_TOKENS
    texts = ["", "x" * 10_000, "emoji 😀 日本 $(ls) \n 'quoted' <|endoftext|>", "!"]
    assert clip_ids(tokenizer, texts).shape == (4, MAX_TOKENS)


def test_loosened_captions_keep_the_subject():
    rng = np.random.default_rng(0)
    text = world.caption(world.Scene("circle", "red", "left", "grey", "plain"))
    variants = {loosen(text, rng) for _ in range(300)}
    assert {text, "a red circle over a plain grey background", "a red circle moves left"} <= variants


def test_weights_load_with_the_plain_classes(tokenizer):
    unet = UNet3DConditionModel.from_pretrained(FOLDER, subfolder="unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(FOLDER, subfolder="vae", torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(FOLDER, subfolder="text_encoder", dtype=torch.float32)
    scheduler = DDIMScheduler.from_pretrained(FOLDER, subfolder="scheduler")
    assert scheduler.config.beta_schedule == "scaled_linear"
    context = text(clip_ids(tokenizer, ["a red circle"])).last_hidden_state
    with torch.no_grad():
        assert unet(torch.randn(1, 4, 16, 8, 8), 500, context).sample.shape == (1, 4, 16, 8, 8)
        frames = train.to_model_range(world.render(world.sample_scenes(20, 8), 2, 8).frames[:, 0])
        latents = vae.encode(frames).latent_dist.mean * vae.config.scaling_factor
        assert latents.shape == (20, 4, 8, 8)
        assert 0.7 < latents.std() < 1.3
        assert (vae.decode(latents / vae.config.scaling_factor).sample - frames).abs().mean() < 0.03


def test_shipped_weights_tell_no_paths():
    found = [path for path in networks.WEIGHTS.rglob("*.json") if "_name_or_path" in path.read_text()]
    assert not found


def test_shipped_weights_are_small():
    for folder in (path.parent for path in networks.WEIGHTS.glob("*/model_index.json")):
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6
        assert list(folder.glob("loss_*.csv"))


def test_training_resumes_bit_equal(tmp_path):
    schedule = Schedule(steps=6, rate=1e-2, warmup=2, seed=3)

    def run(folder, stops):
        for until in stops:
            torch.manual_seed(1)
            network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

            def loss_of(generator, step, network=network):
                return (network(torch.randn(16, 4, generator=generator)) - step / 10).square().mean()

            fit(network, loss_of, schedule, folder, until=until)
        return network.state_dict()

    whole, parts = run(tmp_path / "whole", [None]), run(tmp_path / "parts", [2, 5, None])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (tmp_path / "parts" / "loss.csv").read_text().startswith("step,loss,seconds\n2,")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(networks, "UNET_CHANNELS", (8, 8))
    monkeypatch.setattr(train, "training_scenes", lambda part, seed: world.sample_scenes(8, seed + part))
    torch.manual_seed(0)
    return networks.new_vae().eval().requires_grad_(False)


def test_base_model_trains_one_step_and_resumes_bit_equal(tmp_path, tiny, tokenizer):
    schedule = Schedule(steps=2, warmup=1)

    def run(folder, stops):
        for until in stops:
            network = train.train_unet(tiny, tokenizer, folder, schedule, clips=8, batch=2, until=until)
        return network.state_dict()

    whole, parts = run(tmp_path / "whole", [None]), run(tmp_path / "parts", [1, None])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_whitening_leaves_decoded_images_as_they_are(tiny):
    images = train.to_model_range(world.render(world.sample_scenes(8, 2), 2, 2).frames.flatten(0, 1))
    before = tiny.decode(tiny.encode(images).latent_dist.mean).sample
    networks.whiten_vae(tiny, images)
    latents = tiny.encode(images).latent_dist.mean
    torch.testing.assert_close(tiny.decode(latents).sample, before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)


def test_timesteps_cover_the_range():
    timesteps = train.stratified_timesteps(1000, torch.Generator().manual_seed(0))
    assert timesteps.min() >= 0 and timesteps.max() <= 999
    assert timesteps.float().mean() > 500


def test_probes_ask_for_motion_shape_and_place():
    scenes = world.sample_scenes(6, 4)
    asked = probes.asked([world.caption(scene) for scene in scenes] + ["", "a red circle past a tiny green square"])
    wanted = [[world.MOTIONS.index(scene.motion), world.SHAPES.index(scene.shape)] for scene in scenes]
    assert asked.tolist() == [*wanted, [6, 4], [6, 0]]
    truth, places = world.render(scenes, 5, 9), world.places(scenes, 5, 9)
    np.testing.assert_array_equal(places, np.stack([truth.x, truth.y], axis=-1))
    assert probes.cells(np.array([[[0.0, 63.9], [20.0, 9.0]]]), 8).tolist() == [[56, 10]]


def test_probes_are_satisfied_by_what_they_ask_for():
    network = probes.Probes(inside=2 + 3 + 3 + 7 + 5, end=1, frames=2, side=3)
    wanted, cells = torch.tensor([[0, 3], [5, 4]]), torch.tensor([[4, 8], [0, 1]])
    grid = torch.meshgrid(*(torch.arange(n) for n in (2, 2, 3, 3)), indexing="ij")
    right = zip((*grid[1:], *wanted[grid[0]].unbind(-1)), network.classes, strict=True)
    inside = torch.cat([nn.functional.one_hot(truth, classes) for truth, classes in right], dim=-1).float()
    end = nn.functional.one_hot(cells, 9)[..., None].float()
    with torch.no_grad():
        for linear in (network.inside, network.end):
            linear.weight.copy_(20 * torch.eye(len(linear.weight)))
            linear.bias.zero_()
        assert network(inside, end, wanted, cells) < 1e-6 < network(inside.roll(1, dims=1), end, wanted, cells)


def test_sprites_wan_trains_and_resumes_bit_equal(tmp_path):
    tokenizer = wan.new_tokenizer()
    prompts = ["a red circle moves left", "日本 " * 5000, "", "a RED circle, then 😀"]
    tokens = wan.tokens_of(tokenizer, prompts)
    assert tokens.shape == (4, 2, wan.OPTIONS.text_tokens)
    latents = torch.randn(4, wan.OPTIONS.window, wan.CHANNELS, 8, 8, generator=torch.Generator().manual_seed(0))
    places = np.random.default_rng(0).uniform(0, world.SIZE, (4, wan.OPTIONS.window, 2))
    schedule = Schedule(steps=2, warmup=1)

    def captions_of(picked, generator):
        return [prompts[i] for i in picked.tolist()]

    def run(folder, stops):
        for until in stops:
            network = wan.train_transformer(
                latents, captions_of, places, tokenizer, folder, schedule, batch=2, until=until
            )
        return network.state_dict()

    whole, parts = run(tmp_path / "whole", [None]), run(tmp_path / "parts", [1, None])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_levels_per_frame_cover_the_range_and_some_clips_keep_one():
    clips, frames = 4000, wan.OPTIONS.window
    generator = torch.Generator().manual_seed(0)
    strata = (torch.arange(clips) + 0.5) / clips
    levels = wan.frame_levels(strata, frames, generator)
    assert levels.shape == (clips, frames)
    whole = (levels == levels[:, :1]).all(1)
    assert abs(whole.float().mean() - 0.25) < 0.03
    assert torch.equal(levels[whole, 0], strata[whole])
    apart = levels[~whole]
    assert 0 <= apart.min() < 0.01 and 0.99 < apart.max() <= 1 and abs(apart.mean() - 0.5) < 0.02
    assert torch.corrcoef(apart.T).fill_diagonal_(0).abs().max() < 0.1  # each frame its own


def test_a_new_autoencoder_can_look_at_single_frames():
    vae = wan.look_at_single_frames(wan.new_vae()).eval()
    images = torch.rand(1, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        once, still = (vae.encode(images.repeat(1, 1, t, 1, 1)).latent_dist.mean for t in (1, 9))
        torch.testing.assert_close(still, once.expand_as(still))
        torch.testing.assert_close(vae.decode(still).sample, vae.decode(once).sample.expand(-1, -1, 9, -1, -1))


def test_images_glide_by():
    images = world.crowded_frames(20, 3)
    clips = wan.glide(images, 9, 0)
    assert clips.shape == (20, 9, 32, 32, 3)
    moves = [[(r, c) for r in range(-2, 3) for c in range(-2, 3) if _moved(clip[0], r, c, clip[1])] for clip in clips]
    assert all(moves) and len({ways[0] for ways in moves}) > 5


def _moved(first, rows, columns, second):
    """Whether the second picture is the first one seen so many pixels further down and to the right."""
    seen = first[max(rows, 0) : 32 + min(rows, 0), max(columns, 0) : 32 + min(columns, 0)]
    there = second[max(-rows, 0) : 32 + min(-rows, 0), max(-columns, 0) : 32 + min(-columns, 0)]
    return torch.equal(seen, there)


def test_sprites_wan_encodes_whole_windows():
    vae = wan.new_vae().eval()
    latents = wan.encode_clips(vae, wan.OPTIONS.window, world.sample_scenes(2, 0), 0)
    assert latents.shape == (2, wan.OPTIONS.window, wan.CHANNELS, 8, 8)


def test_sprites_wan_tokenizer_is_read_back(tmp_path):
    tokenizer = wan.new_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    text = "A red circle moves left, then it turns blue"
    again = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert again(text).input_ids == tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in tokenizer(text).input_ids


def test_unknown_training_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to train"):
        train.train("sprites-moon", tmp_path)


def test_evaluate_reports_every_share():
    from miga.sprites.evaluate import evaluate

    scores = evaluate("sprites-unet", clips=2, seed=1)
    for shares in (scores, scores["reader"]):
        assert all(0 <= shares[name] <= 1 for name in ("colour", "background", "shape", "motion", "pattern"))
