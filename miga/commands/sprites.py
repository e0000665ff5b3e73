"""`miga sprites train`, `miga sprites evaluate` and `miga sprites faults`."""

from __future__ import annotations

import json as encoder
from pathlib import Path
from typing import Literal


def train(
    model: Literal["sprites-unet", "sprites-wan", "sprites-df", "sprites-wan21", "reader"] = "sprites-unet",
    folder: Path = Path("results/training"),
    steps: int | None = None,
    device: str = "auto",
    seed: int = 0,
    threads: int = 0,
    shipped: bool = False,
    replace: bool = False,
) -> None:
    """Train one of the models that this project ships; run again, it resumes where it was stopped.

    Example: miga sprites train --model sprites-wan --steps 1000

    Args:
        model: What to train. A base model trains its autoencoder first, unless the folder has it already; sprites-df
            and sprites-wan21 start from the shipped sprites-wan.
        folder: Checkpoints and loss curves; the finished weights go to miga/sprites/weights.
        steps: Training steps of the last stage (default: as the shipped weights were trained).
        device: "cpu", "cuda", or "auto" for the GPU where there is one.
        seed: Seeds the weights, the clips and the noise.
        threads: CPU threads (0: all).
        shipped: Start from the shipped weights of a base model, not from scratch.
        replace: Write the finished weights over those that are there.
    """
    from miga.sprites.networks import WEIGHTS
    from miga.sprites.train import train as run

    there = [path for path in (WEIGHTS / model, WEIGHTS / f"{model}.safetensors") if path.exists()]
    if there and not replace:
        raise ValueError(f"{there[0]} is there already: give --replace to write the finished weights over it")
    run(model, folder, steps=steps, device=device, seed=seed, threads=threads, shipped=shipped)


def evaluate(
    model: str = "sprites-unet",
    clips: int = 200,
    seed: int = 7,
    guidance_scale: float | None = None,
    sheet: Path | None = None,
    json: bool = False,
) -> None:
    """Measure with the reader how often native clips of a sprites model show what their captions say.

    Example: miga sprites evaluate --clips 24 --sheet clips.png

    Args:
        model: A sprites model.
        clips: How many clips to sample.
        seed: Draws captions and noise.
        guidance_scale: Of classifier-free guidance (default: the model's).
        sheet: A PNG file for a sheet of the first clips.
        json: Print JSON.
    """
    from miga.sprites.evaluate import evaluate as run

    scores = run(model, clips, seed, guidance_scale=guidance_scale, sheet=sheet)
    if json:
        print(encoder.dumps(scores, indent=1))
        return
    for name, share in scores.items():
        if isinstance(share, dict):
            print(f"{name} on fresh renders: " + ", ".join(f"{key} {value:.4f}" for key, value in share.items()))
        else:
            print(f"{name:<12} {share:.3f}")


def faults(out: Path, scenes: int = 24, frames: int = 48, strength: float = 1.0) -> None:
    """Make the matrix of which metric sees which fault, on rendered videos: faults.csv, .md, .svg and .png.

    Example: miga sprites faults --out faults

    Args:
        out: The folder that they go to.
        scenes: Rendered scenes, each scored sound and with every fault.
        frames: Of each video, at least 32.
        strength: Of the faults, 0 to 1.
    """
    from eval import plots, sensitivity
    from eval.files import writable
    from miga.sprites.faults import matrix

    writable(out / "faults.csv")
    found = matrix(scenes, frames, strength)
    for path in [*sensitivity.write(found, out), *plots.faults(found, out / "faults")]:
        print(path)
