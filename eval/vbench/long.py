"""VBench-Long's clips, without its second lossy encoding: protocols of their own names.

A video is cut into clips of two seconds, int(fps) x 2 frames each; the last one reaches back to be full, a video
shorter than one clip is one clip. Every clip is scored as a video of its own ("in-clip"), and a video's value is the
mean of its clips; the mean over all clips of all videos, which papers quote, is `statistics.pooled` of the series. The
first frames of the clips, compared like neighbouring frames, give what VBench-Long calls clip-to-clip.

Two protocols have the name of VBench-Long. The bare command weighs clip-to-clip by zero: that is "vbench-long" here,
where it has rows of its own, <dimension>_clip_to_clip, by the protocol's own networks. Every command that VBench's
README and scripts give weighs both by half (`--dev_flag`): clip-to-clip by DINOv2 (subject) and DreamSim (background),
mapped to the range of in-clip scores by published tables. That is "vbench-long-fused", for those networks and no
others (`between.py`).

Differences from the package, all deliberate: clips are cut from decoded frames and not encoded again, and a video's
value is the mean of its own clips. Videos of prompts that name dimensions of VBench's standard suite have the clips
that the package cuts there, of ten seconds for some (`seconds`); all others two, as its custom videos.
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
from eval.vbench.between import Fused
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


def protocol(backbones: Backbones) -> str:
    """What the scores of clips through these networks are called."""
    return f"{backbones.protocol}-long" + "-fused" * isinstance(backbones, Fused)


def score_video(
    path: str | Path,
    backbones: Backbones,
    chunk: int = 16,
    metrics: Collection[str] = VBENCH,
    seconds: int = SECONDS,
    decoded: Iterable[video.Frames] | None = None,
) -> list[dict[str, Any]]:
    """Rows of VBench's dimensions and of clip-to-clip consistency under this protocol of the backbones.

    The series are the values of the clips, fused with their video's clip-to-clip consistency where the backbones are
    `Fused`. Memory depends on the frames of a clip, not on the length of the video. decoded: as in
    `eval.vbench.score.score_video`.
    """
    long = replace(backbones, protocol=protocol(backbones))
    try:
        fps = video.facts(path).fps
        length = int(fps) * seconds
        if length < 4:
            raise video.VideoError("less than 2 frames per second: the clips are too short to score")
        parts = parts_of(metrics)
        compared = [part for part in ("subject", "background") if part in parts]
        seen, firsts, frames = [], {part: [] for part in compared}, 0
        for start, clip in clips(decoded or video.chunks(path, chunk), length):
            seen.append(observe(clip.split(chunk), long, parts, window=length, fps=fps))
            for part in compared:
                firsts[part].append(_first(part, clip, seen[-1], long))
            frames = start + len(clip)
    except video.VideoError as error:
        return [row(metric, long, 0, reason=str(error)) for metric in metrics]
    rows = {metric: _in_clip(metric, long, seen, frames) for metric in metrics}
    for part in compared:
        metric = f"{part}_consistency"
        other = _clip_to_clip(metric, long, torch.stack(firsts[part]), frames)
        if isinstance(long, Fused):
            rows[metric] = _fused(rows[metric], other, part)
        rows[other["metric"]] = other
    return list(rows.values())


def _first(part: str, clip: UInt8[Tensor, "n h w 3"], seen: Observation, long: Backbones) -> Float[Tensor, " d"]:
    """The features of a clip's first frame that are compared with those of other clips."""
    return long.between[part](clip[:1].to(long.device))[0].cpu() if isinstance(long, Fused) else seen[part][0]


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


def _fused(in_clip: dict[str, Any], clip_to_clip: dict[str, Any], part: str) -> dict[str, Any]:
    """The row of a dimension with its clips' values fused; as it is for a video of one clip."""
    if in_clip["value"] is None or len(in_clip["series"]) == 1:
        return in_clip
    if clip_to_clip["value"] is None:
        return in_clip | {"value": None, "series": None, "reason": clip_to_clip["reason"]}
    series = [fused(value, clip_to_clip["value"], part) for value in in_clip["series"]]
    return in_clip | {"value": sum(series) / len(series), "series": series}
