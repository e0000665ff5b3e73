"""Small real videos, features and tables for the tests of eval/."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch

from eval import records
from eval.metric import card
from eval.scores import COLUMNS
from eval.vbench import STANDARD, VBENCH
from eval.vbench.matching import middle
from eval.vbench.score import Backbones

torch.set_num_threads(1)

MAIN = tuple(map(card, (*VBENCH, "overall", "motion", "drift")))  # columns of the tables here


def write_video(path: Path, frames: np.ndarray, fps: int = 8, pix_fmt: str = "yuv444p", codec: str = "libx264") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def moving_square(frames: int = 20, step: int = 2, height: int = 32, width: int = 48) -> np.ndarray:
    """A yellow square that moves `step` pixels to the right per frame over a blue picture."""
    clip = np.full((frames, height, width, 3), (30, 60, 160), np.uint8)
    for t in range(frames):
        left = 2 + (step * t) % (width - 16)
        clip[t, 10:22, left : left + 12] = (240, 220, 40)
    return clip


@pytest.fixture
def backbones() -> Backbones:
    """Coarse pixels as features, block matching as the interpolator."""

    def pixels(frames):
        return torch.nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 4).flatten(1)

    return Backbones("vbench-test", "1", pixels, lambda frames: pixels(frames).sqrt(), middle)


ENTRIES = {  # name: (label, quality, motion, control)
    "miga": ("MIGA", 0.96, 0.012, False),
    "fifo_diffusion": ("FIFO-Diffusion", 0.93, 0.020, False),
    "freelong": ("FreeLong", 0.945, 0.016, False),
    "static": ("Static frame", 1.0, 0.0, True),
    "shuffled": ("Shuffled frames", 0.85, 0.03, True),
}


LABELS = {entry: label for entry, (label, *_) in ENTRIES.items()}


def made_up_scores(prompts: int = 12, seeds: int = 2, bases=("sprites-unet",), frames: int = 48) -> pd.DataFrame:
    """A long table with known differences between entries: made up, deterministic, for tests only."""
    rows = []
    for base in bases:
        for entry, (_, quality, motion, _) in ENTRIES.items():
            for prompt in range(prompts):
                for seed in range(seeds):
                    rng = np.random.default_rng(zlib.crc32(f"{base}/{prompt}/{seed}".encode()))
                    hardness = rng.normal(0, 0.01)
                    own = np.random.default_rng(zlib.crc32(f"{base}/{entry}/{prompt}/{seed}".encode()))
                    identity = ("sprites", base, entry, entry, f"p{prompt:02}", seed)
                    for metric in STANDARD:
                        if metric == "motion":
                            value = abs(motion + own.normal(0, 0.001)) if motion else 0.0
                            series = None
                        elif metric == "drift":
                            slope = 4 * (1 - quality)
                            value = slope * 0.5 + own.normal(0, 0.003)
                            series = list(1 - slope * np.linspace(0, 0.7, frames) + own.normal(0, 0.005, frames))
                        else:
                            value = min(1.0, quality + (1 - quality) * (hardness * 20 + own.normal(0, 0.05)))
                            series = None
                        rows.append((*identity, frames, metric, "vbench-sprites", "1+1", value, None, series))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def made_up_trace(seed: int) -> dict[str, list[dict]]:
    """What MIGA tells about its reflections, as far as figures read it."""
    rng = np.random.default_rng(seed)
    early = 0.9 - np.cumsum(rng.normal(0.004, 0.01, 10))
    fell = np.diff(early, prepend=early[0]) < -0.01
    events = [
        {
            "frame": 4 * i, "score": float(early[i]), "triggered": bool(fell[i]), "adopted": 1 if fell[i] else None,
            "candidates": [float(early[i] + 0.01 * k) for k in range(-1, 2)] if fell[i] else [],
        }
        for i in range(10)
    ]  # fmt: skip
    clean = [{"frame": 4 * i, "score": float(early[i] + rng.normal(0.03, 0.01))} for i in range(10)]
    levels = [{"stage": "zigzag", "lowest": 2, "highest": 9, "windows": 7}]
    return {"reflection": events, "consistency": clean, "levels": levels}


def made_up_facts(root: Path, scores: pd.DataFrame, videos: bool = False, labels=LABELS) -> pd.DataFrame:
    """The table of videos of made-up sidecars."""
    return records.collect(made_up_sidecars(root, scores, videos), labels)


def made_up_sidecars(root: Path, scores: pd.DataFrame, videos: bool = False) -> list[Path]:
    """A sidecar, and if asked for a small video, for every video of the table, laid out as the pipeline does."""
    paths = []
    cost = {"miga": (34.0, 1.3), "fifo_diffusion": (16.0, 0.6), "freelong": (3.0, 0.1)}
    for identity in scores[["suite", "base", "entry", "method", "prompt_id", "seed"]].drop_duplicates().itertuples():
        calls, seconds = cost.get(identity.entry, (2.0, 0.1))
        path = (
            root / identity.suite / identity.base / identity.entry / identity.prompt_id / f"seed-{identity.seed}.json"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(
                {
                    **{k: v for k, v in identity._asdict().items() if k != "Index"},
                    "params": {"lookahead": True},
                    "version": "1",
                    "weights_sha256": "ab" * 32,
                    "prompt": f"a red <b>circle</b> moves left, take {identity.prompt_id} & more",
                    "frames": 48,
                    "fps": 8,
                    "encoder": {"codec": "libx264", "crf": 10, "pix_fmt": "yuv420p"},
                    "frames_sha256": "cd" * 32,
                    "wall_seconds": 48 * seconds + identity.seed,
                    "model_calls": int(48 * calls),
                    "peak_memory_mb": 400.0,
                    "trace": made_up_trace(identity.seed) if identity.entry == "miga" else {},
                    "port": "wan" in identity.base and identity.entry in ("fifo_diffusion", "freelong"),
                    "control": identity.entry in ("static", "shuffled"),
                    "streaming": identity.entry in ("miga", "fifo_diffusion"),
                }
            )
        )
        if videos:
            step = {"miga": 1, "fifo_diffusion": 2, "freelong": 1, "static": 0, "shuffled": 5}[identity.entry]
            write_video(path.with_suffix(".mp4"), moving_square(48, step, 64, 64), pix_fmt="yuv420p")
        paths.append(path)
    return paths


@pytest.fixture
def scores() -> pd.DataFrame:
    return made_up_scores()
