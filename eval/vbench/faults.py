"""The scores that a matrix of faults is made of: videos, sound and with each fault, through networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from eval import video
from eval.degrade import FAULTS, Video, degrade
from eval.drift import of_series
from eval.metric import NotDefined
from eval.records import read_beside
from eval.vbench.metrics import measured, parts_of
from eval.vbench.score import WINDOW, Backbones, observe, shown

OVER_TIME = ("sharpness.first_last_15",)  # drift of a series, where the matrix has it


class Clip(NamedTuple):
    """fault: by name, empty for the sound video. video: what it is called; pairs have the same."""

    fault: str
    video: str
    prompt: str | None
    frames: Video
    fps: float


def faulty(videos: Sequence[Path], strength: float = 1.0) -> Iterator[Clip]:
    """Every video, a sidecar beside it, sound and with each fault that files of videos are enough for.

    A cut goes to the next video, so it needs two. No more than two are held at a time.
    """
    for place, path in enumerate(videos):
        frames, fps, said = _frames(path), video.facts(path).fps, read_beside(path)
        about = dict(video=f"{said.prompt_id}/{said.seed}", prompt=shown(said), fps=fps)
        yield Clip("", frames=frames, **about)
        for name, fault in FAULTS.items():
            if not fault.splice:
                yield Clip(name, frames=degrade(frames, name, strength, place), **about)
        if len(videos) > 1:
            following = _frames(videos[(place + 1) % len(videos)])
            yield Clip("cut", frames=degrade(frames, "cut", strength, other=following), **about)


def scores(clips: Iterable[Clip], backbones: Backbones, metrics: Sequence[str], chunk: int = 16) -> pd.DataFrame:
    """What `sensitivity.matrix` reads: fault, video, metric, value (None where it is not defined)."""
    rows = []
    for clip in clips:
        frames = torch.from_numpy(np.ascontiguousarray(clip.frames))
        about = {"window": WINDOW, "fps": clip.fps, "prompt": clip.prompt}
        seen = observe(frames.split(chunk), backbones, parts_of(metrics), **about)
        for metric in metrics:
            try:
                value, series = measured(metric, seen)
            except NotDefined:
                value, series = None, None
            found = {metric: value}
            for name in (name for name in OVER_TIME if name.rpartition(".")[0] == metric):
                found[name] = None if series is None else of_series(name.rpartition(".")[2], series, clip.fps)
            rows += [
                {"fault": clip.fault, "video": clip.video, "metric": name, "value": v} for name, v in found.items()
            ]
    return pd.DataFrame(rows)


def _frames(path: Path) -> Video:
    return np.concatenate([chunk.numpy() for chunk in video.chunks(path)])
