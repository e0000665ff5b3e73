"""Training of everything that this project ships weights for: the reader, the interpolator and the base models."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, UNet3DConditionModel
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from eval.files import replacing, writable
from eval.parsing import device_of
from miga.sprites import reader, wan, world
from miga.sprites.bases import SPRITES_WAN21
from miga.sprites.fitting import Schedule, fit, kept
from miga.sprites.networks import (
    WEIGHTS,
    ddim_config,
    for_training,
    new_clip_text,
    new_unet,
    new_vae,
    save_folder,
    whiten_vae,
)
from miga.sprites.probes import Probes, asked, cells
from miga.sprites.reader import HEADS, ReaderNetwork, damage
from miga.sprites.text import clip_ids, loosen, new_clip_tokenizer


def to_model_range(frames: torch.Tensor) -> torch.Tensor:
    """uint8 frames (..., 64, 64, 3) -> float32 (..., 3, 64, 64) in -1..1."""
    return frames.movedim(-1, -3).float().div_(127.5).sub_(1)


def _vae_images(count: int, seed: int) -> torch.Tensor:
    """Half frames of the world, half crowded with shapes, (count, 64, 64, 3) uint8.

    A shape covers less than a tenth of a frame; crowding the frames makes the VAE learn shapes several times faster.
    """
    clips = world.render(world.sample_scenes(count // 32, seed), 16, seed)
    return torch.cat([clips.frames.flatten(0, 1), world.crowded_frames(count - count // 32 * 16, seed)])


# From this timestep on, inputs are pure noise. The schedule leaves some signal at its noisy end, enough to see the mean
# colour of a clip: a network that was trained on it looks there, not at the caption, and finds nothing when sampling.
START = 968
UNET_STEPS = 9000
ENCODED = 64  # clips that are rendered and encoded together; the randomness of a clip depends on its place among them
WAN_STEPS = 15_000
WAN_CLIPS = 12_000
DF_STEPS = 4500  # after those of sprites-wan
WAN21_STEPS, WAN21_CLIPS, WAN21_BATCH = 3000, 2000, 8  # after those too; a clip is 3.5 times as long
LONG_DECAY = 0.75  # of the rate, when continuing: a high one harms weights that are good already
ROOM = {  # MB: checkpoints twice, and clips
    "reader": 60,
    "sprites-unet": 200,
    "sprites-wan": 400,
    "sprites-df": 400,
    "sprites-wan21": 400,
}
LATENT_NOISE = 0.1  # what the decoder learns to bear, and the standard deviation that the encoder learns to report


def train_vae(folder: Path, schedule: Schedule, *, images: int = 48_000, batch: int = 32, device: str = "cpu"):
    """Reconstruction, first of 32x32 crops (several times faster), in the last 30 % of the steps of whole frames.

    The latents carry a fixed small noise and are lightly pulled towards zero, which keeps them easy to diffuse.
    """
    torch.manual_seed(schedule.seed)
    frames = _vae_images(images, schedule.seed + 11)
    vae = new_vae().to(device, memory_format=torch.channels_last)

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        whole = step >= 0.7 * schedule.steps
        picked = frames[torch.randint(len(frames), (batch // 2 if whole else batch,), generator=generator)]
        if not whole:
            top, left = (8 * torch.randint(5, (2,), generator=generator)).tolist()
            picked = picked[:, top : top + 32, left : left + 32]
        images = to_model_range(picked).to(device, memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
            decoded = vae.decode(posterior.mean + LATENT_NOISE * noise).sample
        error = decoded.float() - images
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        pull = 1e-4 * mean.square().mean() + 1e-4 * (logvar - 2 * math.log(LATENT_NOISE)).square().mean()
        return error.square().mean() + 0.2 * error.abs().mean() + pull

    return fit(vae, loss_of, schedule, folder)


@torch.no_grad()
def encode_clips(vae, scenes: list[world.Scene], seed: int, *, frames: int = world.WINDOW) -> torch.Tensor:
    """Render the scenes and encode them -> (N, frames, 4, 8, 8) float16, not yet scaled."""
    device = next(vae.parameters()).device
    latents = torch.empty(len(scenes), frames, 4, world.SIZE // 8, world.SIZE // 8, dtype=torch.float16)
    for start in range(0, len(scenes), ENCODED):
        part = slice(start, start + ENCODED)
        images = to_model_range(world.render(scenes[part], frames, seed + start).frames.flatten(0, 1))
        with torch.autocast(device.type, torch.bfloat16):
            mean = vae.encode(images.to(device, memory_format=torch.channels_last)).latent_dist.mean
        latents[part] = mean.unflatten(0, (-1, frames)).to(latents)
    return latents


def _latent_cache(encode: Callable[[list[world.Scene], int], torch.Tensor], folder: Path, clips: int, seed: int):
    """The latents of `clips` training scenes, encoded once and kept in parts of 1,000 clips."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number in range(-(-clips // 1000)):
        path = folder / f"latents-{number:03d}.pt"
        if not path.exists():
            latents = encode(training_scenes(number, seed), seed + 1000 * number)
            with replacing(path) as partial:
                torch.save(latents, partial)
        parts.append(kept(path))
    return torch.cat(parts)


def training_scenes(part: int, seed: int) -> list[world.Scene]:
    """Scenes of one part (1,000 clips) of the training set of a base model."""
    return world.sample_scenes(1000, 1_000_000 + 1000 * seed + part)


def training_places(clips: int, seed: int, frames: int = world.WINDOW, batch: int = ENCODED) -> np.ndarray:
    """Where the shapes of the training set are, (clips, frames, 2) in pixels; `batch` clips are encoded at a time."""
    return np.concatenate(
        [
            world.places(scenes[start : start + batch], frames, seed + 1000 * part + start)
            for part in range(-(-clips // 1000))
            for scenes in [training_scenes(part, seed)]
            for start in range(0, len(scenes), batch)
        ]
    )


def _all_scenes(clips: int, seed: int) -> list[world.Scene]:
    return [scene for part in range(-(-clips // 1000)) for scene in training_scenes(part, seed)]


class CaptionSampler:
    """Captions of picked training clips: loosened, and one in ten dropped for guidance."""

    def __init__(self, scenes: list[world.Scene]) -> None:
        self.captions = [world.caption(scene) for scene in scenes]

    def __call__(self, picked: torch.Tensor, generator: torch.Generator) -> list[str]:
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        return ["" if rng.random() < 0.1 else loosen(self.captions[i], rng) for i in picked.tolist()]


class UNetAndText(nn.Module):
    """What is trained together: the denoiser, the text tower that it listens to, and the probes."""

    def __init__(self, unet: UNet3DConditionModel, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text = unet, text
        outer, inner = unet.config.block_out_channels
        self.probes = Probes(inner, outer, world.WINDOW, unet.config.sample_size // 2)
        self.seen: dict[str, torch.Tensor] = {}
        unet.mid_block.register_forward_hook(lambda module, inputs, output: self.seen.update(inside=output))
        unet.conv_norm_out.register_forward_pre_hook(lambda module, inputs: self.seen.update(end=inputs[0]))

    def forward(self, latents: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """latents (B, F, C, h, w), timesteps (B,), ids (B, 32) -> predicted noise, shaped like the latents."""
        context = self.text(ids).last_hidden_state
        return self.unet(latents.transpose(1, 2), timesteps, context, return_dict=False)[0].transpose(1, 2)

    def probe(self, wanted: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """What the probes add to the loss, after `forward`: what is `asked` (B, 2), cells of the shapes (B, F)."""
        inside, end = (self.seen[name].unflatten(0, cells.shape).movedim(2, -1) for name in ("inside", "end"))
        return self.probes(inside, end.flatten(2, 3), wanted, cells)


def noise_weights(alphas: torch.Tensor, power: float) -> torch.Tensor:
    """Weight of the noise-prediction loss at each timestep (1000,), from the signal-to-noise ratio r.

    5 / r where r > 5 (min-SNR), so that fine detail does not rule the loss, and r ** -power where r < 1: what a
    caption decides is decided there, and hardly shows in the error of the noise. Power 1 is the error of the predicted
    clip.
    """
    ratio = alphas / (1 - alphas)
    return ratio.clamp(max=5) / ratio * ratio.clamp(max=1) ** -power


def train_unet(
    vae,
    tokenizer,
    folder: Path,
    schedule: Schedule,
    *,
    clips: int = 6000,
    batch: int = 8,
    device: str = "cpu",
    until: int | None = None,
    start: Path | None = None,
) -> UNetAndText:
    """Noise prediction on cached latents, one noise level per clip, the text tower and the probes trained along.

    What moves where is learned first, then what it looks like. `start` is a folder of weights to start from; they know
    the former.
    """
    latents = _latent_cache(partial(encode_clips, vae), folder / "latents", clips, schedule.seed)
    latents = latents * vae.config.scaling_factor
    captions_of = CaptionSampler(_all_scenes(clips, schedule.seed))
    places = cells(training_places(clips, schedule.seed), latents.shape[-1])
    torch.manual_seed(schedule.seed)
    if start is None:
        unet, text = new_unet(), new_clip_text(tokenizer)
    else:
        unet = UNet3DConditionModel.from_pretrained(start, subfolder="unet", torch_dtype=torch.float32)
        text = CLIPTextModel.from_pretrained(start, subfolder="text_encoder", dtype=torch.float32)
    network = UNetAndText(for_training(unet), text).to(device)
    alphas = ddim_config().alphas_cumprod
    composition, appearance = (noise_weights(alphas, power) for power in (1.0, 0.5))
    composed = 0.8 * schedule.steps if start is None else 0

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        picked = torch.randint(len(latents), (batch,), generator=generator)
        captions = captions_of(picked, generator)
        timesteps = stratified_timesteps(batch, generator)
        clean = latents[picked].float()
        noise = torch.randn(clean.shape, generator=generator)
        alpha = alphas[timesteps].view(-1, 1, 1, 1, 1)
        signal = alpha.sqrt() * (timesteps < START).view(-1, 1, 1, 1, 1)
        noisy = signal * clean + (1 - alpha).sqrt() * noise
        target = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()  # the noise itself wherever there is a signal
        with torch.autocast(device, torch.bfloat16):
            output = network(noisy.to(device), timesteps.to(device), clip_ids(tokenizer, captions).to(device))
        error = (output.float() - target.to(device)).square().mean(dim=(1, 2, 3, 4))
        probed = network.probe(asked(captions).to(device), places[picked].to(device))
        weights, share = (composition, 1.0) if step < composed else (appearance, 0.1)
        return (error * weights[timesteps].to(device)).mean() + share * probed

    return fit(network, loss_of, schedule, folder, until=until)


def stratified_timesteps(count: int, generator: torch.Generator) -> torch.Tensor:
    """Timesteps (count,) in 0..999, one from each part of the range; every fourth is replaced by one of the start.

    More of the high noise levels, where what the caption says is decided.
    """
    strata = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    timesteps = (1000 * strata**0.7).long().clamp(max=999)
    timesteps[::4] = torch.randint(START, 1000, (len(timesteps[::4]),), generator=generator)
    return timesteps


def save_small(network: nn.Module, path: Path) -> None:
    """Write one network as half-precision safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, path)


@torch.no_grad()
def round_trip(vae, frames: torch.Tensor) -> torch.Tensor:
    """Frames (N, 64, 64, 3) uint8 through the VAE, with noisy latents, and back to uint8."""
    parts = []
    generator = torch.Generator().manual_seed(len(frames))
    for part in frames.split(64):
        latents = vae.encode(to_model_range(part)).latent_dist.mean
        noise = torch.randn(latents.shape, generator=generator)
        parts.append(vae.decode(latents + 0.15 * noise).sample.clamp(-1, 1))
    return (torch.cat(parts) * 127.5 + 127.5).round().to(torch.uint8).movedim(1, -1)


def train_reader(folder: Path, schedule: Schedule, vae=None, *, clips: int = 4000, batch: int = 64) -> ReaderNetwork:
    """Classification of shape, colour, background and pattern, and regression of the position.

    Four frames of each clip, damaged anew at every step; with `vae`, a quarter of them went through it.
    """
    torch.manual_seed(schedule.seed)
    truth = world.render(world.sample_scenes(clips, schedule.seed + 21), world.WINDOW, schedule.seed + 21)
    every = slice(None, None, 4)
    frames = truth.frames[:, every].flatten(0, 1)
    if vae is not None:
        frames[::4] = round_trip(vae, frames[::4])
    labels = {name: torch.from_numpy(getattr(truth, name)[:, every].reshape(-1).copy()) for name in HEADS}
    places = torch.from_numpy(np.stack([truth.x[:, every], truth.y[:, every]], axis=-1).reshape(-1, 2))
    network = ReaderNetwork()

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        network.train()
        picked = torch.randint(len(frames), (batch,), generator=generator)
        images = damage(to_model_range(frames[picked]), generator)
        _, logits, position = network(images)
        wrong = sum(F.cross_entropy(logits[name], labels[name][picked]) for name in HEADS)
        return wrong + 0.1 * F.smooth_l1_loss(position, places[picked])

    return fit(network, loss_of, schedule, folder).eval()


DDIM_PIPELINE = "TextToVideoSDPipeline"


def export_unet(network: UNetAndText, vae, tokenizer, weights: Path, curves: dict[str, Path]) -> None:
    """Write the diffusers-style folder of `sprites-unet`, with the loss curves of its stages."""
    parts = {
        "unet": network.unet,
        "vae": vae,
        "text_encoder": network.text,
        "tokenizer": tokenizer,
        "scheduler": ddim_config(),
    }
    save_folder(weights, parts, DDIM_PIPELINE)
    copy_curves(weights, curves)


def copy_curves(weights: Path, curves: dict[str, Path]) -> None:
    """Copy loss curves beside the weights, as loss_<stage>.csv."""
    for stage, folder in curves.items():
        if (folder / "loss.csv").exists():
            shutil.copyfile(folder / "loss.csv", weights / f"loss_{stage}.csv")


def finished_vae(folder: Path, seed: int, device: str) -> AutoencoderKL:
    """The autoencoder of `sprites-unet`: trained and whitened, or read back where that has been done."""
    path = folder / "vae.pt"
    if path.exists():
        vae = new_vae()
        vae.load_state_dict(kept(path))
        vae.register_to_config(scaling_factor=1.0)
    else:
        vae = train_vae(folder / "vae", Schedule(2600, rate=2e-3, warmup=100, seed=seed), device=device).cpu()
        scenes = world.sample_scenes(100, seed + 77)
        vae = whiten_vae(vae, to_model_range(world.render(scenes, 16, seed + 77).frames[:, ::3].flatten(0, 1)))
        with replacing(path) as partial:
            torch.save(vae.state_dict(), partial)
    return vae.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def shipped_vae(weights: Path, device: str) -> AutoencoderKL:
    """The autoencoder of a folder of weights."""
    vae = AutoencoderKL.from_pretrained(weights, subfolder="vae", torch_dtype=torch.float32)
    return vae.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def train(
    model: str,
    folder: Path,
    *,
    steps: int | None = None,
    device: str = "auto",
    seed: int = 0,
    threads: int = 0,
    shipped: bool = False,
) -> None:
    """Train `model` and write its weights into the package; `ValueError` names the models where it is none of them.

    The reader sees decoded frames too, so the autoencoder of `sprites-unet` comes first. `shipped` starts from the
    weights in the package instead of from scratch.
    """
    stages = {
        "reader": _train_reader,
        "sprites-unet": _train_sprites_unet,
        "sprites-wan": _train_sprites_wan,
        "sprites-df": _train_sprites_df,
        "sprites-wan21": _train_sprites_wan21,
    }
    if model not in stages:
        raise ValueError(f"nothing to train by the name of {model!r}; known: {', '.join(stages)}")
    if threads:
        torch.set_num_threads(threads)
    device = str(device_of(None if device == "auto" else device))
    there = sum(path.stat().st_size for path in (folder / model).rglob("*") if path.is_file())
    for place in (folder / model / "checkpoint.pt", WEIGHTS / model):
        writable(place)
    _room(folder / model, ROOM[model] * 1_000_000 - there)
    stages[model](folder, steps, device, seed, shipped)


def _room(folder: Path, needed: int) -> None:
    """`OSError` that names the folder where its disk has no room for so many bytes: asked before work is spent."""
    if (free := shutil.disk_usage(folder).free) < needed:
        said = f"{os.strerror(errno.ENOSPC)}: {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        raise OSError(errno.ENOSPC, said, str(folder))


def _train_reader(folder: Path, steps: int | None, device: str, seed: int, shipped: bool) -> None:
    vae = finished_vae(folder / "sprites-unet", seed, "cpu")
    schedule = Schedule(steps or 1500, rate=2e-3, warmup=100, average=0.99, seed=seed)
    save_small(train_reader(folder / "reader", schedule, vae), reader.WEIGHTS)
    copy_curves(WEIGHTS, {"reader": folder / "reader"})


def _train_sprites_unet(folder: Path, steps: int | None, device: str, seed: int, shipped: bool) -> None:
    folder, weights = folder / "sprites-unet", WEIGHTS / "sprites-unet"
    tokenizer = CLIPTokenizer.from_pretrained(weights, subfolder="tokenizer") if shipped else new_clip_tokenizer()
    folder.mkdir(exist_ok=True)
    vae = shipped_vae(weights, device) if shipped else finished_vae(folder, seed, device)
    decay = LONG_DECAY if shipped else 0.25
    schedule = Schedule(steps or UNET_STEPS, rate=1e-3, warmup=100, decay=decay, average=0.998, seed=seed)
    network = train_unet(vae, tokenizer, folder, schedule, device=device, start=weights if shipped else None)
    export_unet(network, vae, tokenizer, weights, {"unet": folder, "vae": folder / "vae"})


def _train_sprites_wan(folder: Path, steps: int | None, device: str, seed: int, shipped: bool) -> None:
    folder, weights = folder / "sprites-wan", WEIGHTS / "sprites-wan"
    folder.mkdir(exist_ok=True)
    vae = wan.shipped_vae(weights, device) if shipped else wan.finished_vae(folder, seed, device)
    schedule = _wan_schedule(steps or WAN_STEPS, seed, LONG_DECAY if shipped else 0.25)
    _train_on_clips(folder, weights, vae, schedule, device, start=weights if shipped else None)
    copy_curves(weights, {"vae_images": folder / "vae-images", "vae": folder / "vae"})


def _train_sprites_df(folder: Path, steps: int | None, device: str, seed: int, shipped: bool) -> None:
    """Goes on from the shipped sprites-wan: what a caption looks like is known, a level per frame is what is new."""
    folder, weights = folder / "sprites-df", WEIGHTS / "sprites-df"
    folder.mkdir(exist_ok=True)
    start = weights if shipped else WEIGHTS / "sprites-wan"
    schedule = _wan_schedule(steps or DF_STEPS, seed, LONG_DECAY)
    _train_on_clips(folder, weights, wan.shipped_vae(start, device), schedule, device, start=start, levels="frame")


def _train_sprites_wan21(folder: Path, steps: int | None, device: str, seed: int, shipped: bool) -> None:
    """Goes on from the shipped sprites-wan, on clips of Wan2.1's 21 latent frames: its positions are what is new."""
    folder, weights = folder / "sprites-wan21", WEIGHTS / "sprites-wan21"
    folder.mkdir(exist_ok=True)
    start = weights if shipped else WEIGHTS / "sprites-wan"
    schedule = _wan_schedule(steps or WAN21_STEPS, seed, LONG_DECAY)
    vae, window = wan.shipped_vae(start, device), SPRITES_WAN21.options.window
    how = dict(start=start, batch=WAN21_BATCH)
    _train_on_clips(folder, weights, vae, schedule, device, window=window, clips=WAN21_CLIPS, **how)


def _wan_schedule(steps: int, seed: int, decay: float) -> Schedule:
    return Schedule(steps, rate=1e-3, warmup=200, decay=decay, average=0.998, seed=seed)


def _train_on_clips(
    folder: Path,
    weights: Path,
    vae: AutoencoderKLWan,
    schedule: Schedule,
    device: str,
    window: int = wan.OPTIONS.window,
    clips: int = WAN_CLIPS,
    **how: Any,
) -> None:
    """Train a transformer of Wan's kind on the clips of the world and export it; `how`: of `wan.train_transformer`."""
    tokenizer = wan.new_tokenizer()
    latents = _latent_cache(partial(wan.encode_clips, vae, window), folder / "latents", clips, schedule.seed)
    captions_of = CaptionSampler(_all_scenes(clips, schedule.seed))
    # a latent holds four frames (the first one holds one); the last of them stands for it
    places = training_places(clips, schedule.seed, wan.clip_frames(window), wan.ENCODED)[:, ::4]
    network = wan.train_transformer(latents, captions_of, places, tokenizer, folder, schedule, device=device, **how)
    wan.export(network, vae, tokenizer, weights)
    copy_curves(weights, {"transformer": folder})
