"""VBench-Long's clips, without its second lossy encoding: protocols of their own names.

A video is cut into clips of two seconds, int(fps) x 2 frames each; the last one reaches back to be full, a video
shorter than one clip is one clip. Every clip is scored as a video of its own ("in-clip"), and a video's value is the
mean of its clips; the mean over all clips of all videos, which papers quote, is `statistics.pooled` of the series. The
first frames of the clips, compared like neighbouring frames, give what VBench-Long calls clip-to-clip.

Two protocols have the name of VBench-Long. The bare command weighs clip-to-clip by zero: that is "vbench-long" here,
where it has rows of its own, <dimension>_clip_to_clip, by the protocol's own networks. Every command that VBench's
README and scripts give weighs both by half (`--dev_flag`): clip-to-clip by DINOv2 (subject) and DreamSim (background),
mapped to the range of in-clip scores by published tables. `fused` is that rule, for those networks and no others.

Differences from the package, all deliberate: clips are cut from decoded frames and not encoded again, and a video's
value is the mean of its own clips. The package cuts prompts of some dimensions of its standard suite into ten seconds
(`seconds`); here clips have two, as for custom videos.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval import video
from eval.metric import METRICS, NotDefined
from eval.vbench import VBENCH
from eval.vbench.metrics import Observation, consistency, measured, parts_of
from eval.vbench.score import Backbones, observe, row

SECONDS = 2
LONG_SECONDS = 10
LONG = {"human_action", "temporal_style", "overall_consistency", "aesthetic_quality", "imaging_quality"}
WEIGHT = 0.5  # of in-clip and of clip-to-clip, fused
MAPPING = json.loads(Path(__file__).with_name("long_mapping.json").read_text())  # clip-to-clip 0, 0.01 .. 1 -> in-clip


def seconds(dimensions: Collection[str]) -> int | None:
    """How long the package's clips of a prompt of these dimensions are in its standard suite; None: it is no prompt."""
    return max((LONG_SECONDS if name in LONG else SECONDS for name in dimensions), default=None)


def spans(frames: int, fps: float, length: int = SECONDS) -> list[tuple[int, int]]:
    """[first, end) of the clips of `length` seconds; `ValueError` where a clip would have no frame."""
    size = int(fps) * int(length)
    if size < 1:
        raise ValueError(f"clips of {length} s at {fps:g} fps have no frame")
    if frames <= size:
        return [(0, frames)]
    whole = [(start, start + size) for start in range(0, frames - size + 1, size)]
    return whole if whole[-1][1] == frames else [*whole, (frames - size, frames)]


def mapped(clip_to_clip: float, part: str) -> float:
    """Clip-to-clip consistency (by DINOv2, of the background by DreamSim) in the range of in-clip scores."""
    return float(np.interp(clip_to_clip, np.linspace(0, 1, len(MAPPING[part])), MAPPING[part]))


def fused(in_clip: float, clip_to_clip: float, part: str) -> float:
    """A clip's value: half its own, half its video's clip-to-clip, mapped; its own alone where that is 0 or missing."""
    other = mapped(clip_to_clip, part)
    return WEIGHT * in_clip + (1 - WEIGHT) * other if other else in_clip


def clips(
    chunks: Iterable[UInt8[Tensor, "n height width 3"]], length: int
) -> Iterator[tuple[int, UInt8[Tensor, "length height width 3"]]]:
    """(first frame, frames) of consecutive clips of `length` frames; the last one reaches back over the one before."""
    start, held, previous = 0, None, None
    for chunk in chunks:
        held = chunk if held is None else torch.cat([held, chunk])
        while len(held) >= length:
            previous, held = held[:length], held[length:]
            yield start, previous
            start += length
    if held is not None and len(held):
        clip = held if previous is None else torch.cat([previous, held])[-length:]
        yield start + len(held) - len(clip), clip


def score_video(
    path: str | Path,
    backbones: Backbones,
    chunk: int = 16,
    metrics: Collection[str] = VBENCH,
    frames: Iterable[video.Frames] | None = None,
) -> list[dict[str, Any]]:
    """Rows of VBench's dimensions and of clip-to-clip consistency under the protocol "<protocol>-long".

    The series are the values of the clips. Memory depends on the frames of a clip, not on the length of the video.
    frames: as in `eval.vbench.score.score_video`.
    """
    long = replace(backbones, protocol=f"{backbones.protocol}-long")
    try:
        fps = video.facts(path).fps
        length = int(fps) * SECONDS
        if length < 4:
            raise video.VideoError("less than 2 frames per second: the clips are too short to score")
        parts = parts_of(metrics)
        seen, count = [], 0
        for start, clip in clips(frames or video.chunks(path, chunk), length):
            seen.append(observe(clip.split(chunk), long, parts, window=length, fps=fps))
            count = start + len(clip)
    except video.VideoError as error:
        return [row(metric, long, 0, reason=str(error)) for metric in metrics]
    rows = [_in_clip(metric, long, seen, count) for metric in metrics]
    for part in ("subject", "background"):
        if part in parts:
            first = torch.stack([clip[part][0] for clip in seen])
            rows.append(_clip_to_clip(f"{part}_consistency", long, first, count))
    return rows


def _in_clip(metric: str, long: Backbones, seen: list[Observation], frames: int) -> dict[str, Any]:
    if frames < METRICS.get(metric).frames:
        return row(
            metric, long, frames, reason=f"{frames} frames: {metric} needs at least {METRICS.get(metric).frames}"
        )
    try:
        values = [measured(metric, clip)[0] for clip in seen]
    except NotDefined as error:
        return row(metric, long, frames, reason=str(error))
    return row(metric, long, frames, value=sum(values) / len(values), series=values)


def _clip_to_clip(metric: str, long: Backbones, first: Float[Tensor, "clips d"], frames: int) -> dict[str, Any]:
    base = row(metric, long, frames)
    name = f"{metric}_clip_to_clip"
    if len(first) < 2:
        return base | {"metric": name, "reason": "1 clip: clip-to-clip consistency needs at least 2"}
    try:
        value, series = consistency(first)
    except NotDefined as error:
        return base | {"metric": name, "reason": str(error)}
    return base | {"metric": name, "value": value, "series": series}
