"""How well a sprites model does what captions say, measured with the reader on clips of its native length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from eval.files import writable
from miga.engine.base_model import BaseModel
from miga.engine.noise import KeyedNoise, key
from miga.sprites import world
from miga.sprites.reader import HEADS, Reader, motion_of, shipped_reader

ATTRIBUTES = ("shape", "colour", "background", "pattern")


def evaluate(
    model: str = "sprites-unet",
    clips: int = 200,
    seed: int = 7,
    *,
    guidance_scale: float | None = None,
    batch: int = 16,
    sheet: Path | None = None,
) -> dict[str, float | dict[str, float]]:
    """Sample native clips of random captions without events, read them back and compare.

    Returns shares in 0..1: `shape`, `colour`, `background`, `pattern` of all frames, `motion` of all clips, and under
    `reader` the reader's own on as many fresh renders. `sheet` is a PNG file of some clips, one per row.
    """
    from miga import models

    if clips < 1:
        raise ValueError(f"--clips {clips}: give a positive number")
    if guidance_scale is not None and not math.isfinite(guidance_scale):
        raise ValueError(f"--guidance-scale {guidance_scale}: give a number")
    if sheet is not None:
        if sheet.suffix.lower() != ".png" or sheet.exists():
            raise ValueError(f"--sheet {sheet}: give the name of a PNG file that is not there yet")
        writable(sheet)
    scenes = world.sample_scenes(clips, 50_000 + seed, events=0.0)
    base = models.load(model)
    if guidance_scale is not None:
        base.guidance_scale = guidance_scale
    videos = torch.stack([frames for part in _batches(scenes, batch) for frames in sample(base, part, seed)])
    if sheet is not None:
        contact_sheet(videos[:24], sheet)
    reader = shipped_reader()
    return agreement(reader, videos, scenes) | {"reader": score_reader(reader, clips, seed)}


def _batches(scenes: list[world.Scene], size: int) -> Iterator[list[world.Scene]]:
    for start in range(0, len(scenes), size):
        yield scenes[start : start + size]


@torch.inference_mode()
def sample(model: BaseModel, scenes: list[world.Scene], seed: int) -> list[torch.Tensor]:
    """One native clip of each caption, uint8 (frames, 64, 64, 3); the clips are denoised together.

    The noise of a clip is keyed by (seed, its caption), so a clip does not depend on the others beside it, up to
    rounding.
    """
    texts = model.encode([world.caption(scene) for scene in scenes])
    noises = [KeyedNoise(key(seed, text.prompt)) for text in texts]
    window, shape = model.window, model.latent_shape

    def draw(purpose: str, level: int) -> torch.Tensor:
        return torch.cat([noise.clip(purpose, window, level, shape) for noise in noises]).to(model.device, model.dtype)

    latents = draw("start", model.solver.num_levels)
    history = model.solver.fresh(latents)
    for level in reversed(range(model.solver.num_levels)):
        # to the solver, the clips are one long row of frames that all sit at one level
        levels = torch.full((len(latents),), level, device=model.device)
        output = model.denoise(latents.unflatten(0, (-1, window)), levels.unflatten(0, (-1, window)), texts)
        noise = draw("sample", level) if model.solver.stochastic else None
        latents, _, history = model.solver.step(output.flatten(0, 1), latents, levels, history, noise, rescale=True)
    return [model.decoder().push(clip) for clip in latents.unflatten(0, (-1, window))]


def agreement(reader: Reader, videos: torch.Tensor, scenes: list[world.Scene]) -> dict[str, float]:
    """Shares in 0..1 of frames (motion: of clips) (N, T, 64, 64, 3) that show what the scenes say."""
    count, frames = videos.shape[:2]
    reading = reader.read(videos.flatten(0, 1))
    scores = {}
    for name in ATTRIBUTES:
        wanted = np.array([HEADS[name].index(getattr(scene, name)) for scene in scenes]).repeat(frames)
        scores[name] = float((getattr(reading, name) == wanted).mean())
    x, y = reading.x.reshape(count, frames), reading.y.reshape(count, frames)
    scores["motion"] = float(np.mean([motion_of(*at) == scene.motion for *at, scene in zip(x, y, scenes, strict=True)]))
    return scores


def score_reader(reader: Reader, clips: int, seed: int) -> dict[str, float]:
    """The reader on fresh renders: shares in 0..1 and the mean distance of positions in pixels."""
    scenes = world.sample_scenes(clips, 60_000 + seed, events=0.0)
    truth = world.render(scenes, world.WINDOW, 60_000 + seed)
    scores = agreement(reader, truth.frames, scenes)
    reading = reader.read(truth.frames.flatten(0, 1))
    distance = np.hypot(reading.x - truth.x.reshape(-1), reading.y - truth.y.reshape(-1))
    return scores | {"position_error": float(distance.mean())}


def contact_sheet(videos: torch.Tensor, path: Path, every: int = 2) -> None:
    """Write every second frame of each clip (N, T, H, W, 3) uint8 as one row of a PNG picture."""
    from PIL import Image

    rows = videos[:, ::every].permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rows.numpy()).save(path)
