"""VBench-Long's clips, without its second lossy encoding: a protocol of its own name.

A video is cut into clips of two seconds, int(fps) x 2 frames each; the last one reaches back to be full, a video
shorter than one clip is one clip. Every clip is scored as a video of its own ("in-clip"), and a video's value is the
mean of its clips. The first frames of the clips, compared like neighbouring frames, give what VBench-Long calls
clip-to-clip; its published default gives that a weight of zero, so it has rows of its own: <dimension>_clip_to_clip.

Differences from the package, all deliberate: clips are cut from decoded frames and not encoded again, the mean is over
the clips of each video (the package's grouping makes long videos weigh more), and clip-to-clip uses the protocol's own
networks, not DINOv2 and DreamSim with their mapping tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval import video
from eval.cards import VBENCH, card
from eval.vbench.metrics import NotDefined, Observation, consistency, measured, parts_of
from eval.vbench.score import Backbones, observe, row

SECONDS = 2


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
    path: str | Path, backbones: Backbones, chunk: int = 16, metrics: Collection[str] = VBENCH
) -> list[dict[str, Any]]:
    """Rows of VBench's dimensions and of clip-to-clip consistency under the protocol "<protocol>-long".

    The series are the values of the clips. Memory depends on the frames of a clip, not on the length of the video.
    """
    long = replace(backbones, protocol=f"{backbones.protocol}-long")
    try:
        fps = video.facts(path).fps
        length = int(fps) * SECONDS
        if length < 4:
            raise video.VideoError("less than 2 frames per second: the clips are too short to score")
        parts = parts_of(metrics)
        seen, frames = [], 0
        for start, clip in clips(video.chunks(path, chunk), length):
            seen.append(observe(clip.split(chunk), long, parts, window=length, fps=fps))
            frames = start + len(clip)
    except video.VideoError as error:
        return [row(metric, long, 0, reason=str(error)) for metric in metrics]
    rows = [_in_clip(metric, long, seen, frames) for metric in metrics]
    for part in ("subject", "background"):
        if part in parts:
            first = torch.stack([clip[part][0] for clip in seen])
            rows.append(_clip_to_clip(f"{part}_consistency", long, first, frames))
    return rows


def _in_clip(metric: str, long: Backbones, seen: list[Observation], frames: int) -> dict[str, Any]:
    if frames < card(metric).frames:
        return row(metric, long, frames, reason=f"{frames} frames: {metric} needs at least {card(metric).frames}")
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
