"""Every metric from one streaming pass over a video, and the long table of many videos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval import video
from eval import metric as registered
from eval.metric import Metric, NotDefined
from eval.scores import COLUMNS, identity
from eval.vbench import METRICS
from eval.vbench.matching import displacement
from eval.vbench.metrics import PARTS, Observation, Part, measured

SUFFIXES = (".mp4", ".gif", ".webm", ".mkv", ".mov")


@dataclass(frozen=True)
class Backbones:
    """The networks that a protocol looks through, as functions on uint8 RGB frames on `device`.

    subject, background: frames (n, height, width, 3) -> features (n, d), floating point, one row per frame and
        independent of the others in the batch. The same object for both is called once.
    interpolate: (before, after), each (n, height, width, 3) -> the frames half-way between, uint8, same shape.
        A network that no metric asks for may be None.
    protocol: what the scores are called. "vbench" is reserved for VBench's own networks and weights.
    version: changes with the weights or the preprocessing.
    """

    protocol: str
    version: str
    subject: Callable[[UInt8[Tensor, "n height width 3"]], Float[Tensor, "n d"]] | None
    background: Callable[[UInt8[Tensor, "n height width 3"]], Float[Tensor, "n e"]] | None
    interpolate: (
        Callable[
            [UInt8[Tensor, "n height width 3"], UInt8[Tensor, "n height width 3"]], UInt8[Tensor, "n height width 3"]
        ]
        | None
    )
    device: str | torch.device = "cpu"


def score_video(
    path: str | Path,
    backbones: Backbones,
    chunk: int = 16,
    metrics: Collection[str] = METRICS,
) -> list[dict[str, Any]]:
    """One row per metric, registered ones by name: frames, metric, protocol, version, value, reason, series.

    Networks that none of the metrics looks through are not run.
    `value` is None exactly where `reason` says why: an unreadable file, no video stream, too few frames for this
    metric, or features that are not finite. Memory depends on `chunk`, the frames decoded and embedded at a time, and
    on the frame size, not on the length.
    """
    wanted = [registered.METRICS.get(name) for name in metrics]
    try:
        seen = observe(video.chunks(path, chunk), backbones, {metric.part for metric in wanted})
    except video.VideoError as error:
        return [row(metric.name, backbones, 0, reason=str(error)) for metric in wanted]
    return [_measured(metric, seen, backbones) for metric in wanted]


@torch.inference_mode()
def observe(
    frames: Iterable[UInt8[Tensor, "n height width 3"]], backbones: Backbones, parts: Collection[Part] = PARTS
) -> Observation:
    """The one pass: chunks of frames in, a few numbers per frame out, of the parts that are asked for."""
    others = [part for part in parts if part not in PARTS]  # what metrics bring with them
    rows = {part: _Rows() for part in (*PARTS, *others)}
    networks = {part: getattr(backbones, part) for part in ("subject", "background") if part in parts}
    count, undefined = 0, {}
    last = waiting = None  # the frame before this chunk; the frames whose right neighbour is still to come
    for chunk in frames:
        count += len(chunk)
        chunk = chunk.to(backbones.device)
        features = {network: network(chunk).float() for network in set(networks.values())}
        for part, network in networks.items():
            rows[part].append(features[network])
        for part in others:
            rows[part].append(part(chunk))

        joined = chunk if last is None else torch.cat([last, chunk])
        last = chunk[-1:]
        if len(joined) > 1 and "change" in parts:
            rows["change"].append(_difference(joined[:-1], joined[1:]))
        if len(joined) > 1 and "displacement" in parts:
            rows["displacement"].append(displacement(joined))

        waiting = chunk if waiting is None else torch.cat([waiting, chunk])
        pairs = (len(waiting) - 1) // 2
        ends, middles = waiting[: 2 * pairs + 1 : 2], waiting[1 : 2 * pairs : 2]
        waiting = waiting[2 * pairs :]
        if pairs and "interpolation" in parts:
            try:
                rows["interpolation"].append(_difference(backbones.interpolate(ends[:-1], ends[1:]), middles))
            except video.VideoError as error:  # frames too small for the interpolator are fine for the rest
                undefined["interpolation"] = str(error)
    kept = {part: found.tensor() for part, found in rows.items()}
    return Observation(
        **{part: kept[part] for part in PARTS},
        frames=count,
        undefined=undefined,
        others={part: kept[part] for part in others},
    )


class _Rows:
    """Rows copied into one growing buffer: small tensors kept between large ones would pin the heap and let it grow."""

    def __init__(self) -> None:
        self.buffer, self.shape, self.dtype = bytearray(), (), torch.float32

    def append(self, rows: Float[Tensor, "n ..."]) -> None:
        self.shape, self.dtype = rows.shape[1:], rows.dtype
        self.buffer += rows.cpu().numpy().tobytes()

    def tensor(self) -> Tensor:
        return (
            torch.frombuffer(self.buffer, dtype=self.dtype).reshape(-1, *self.shape) if self.buffer else torch.empty(0)
        )


def score_videos(
    videos: Iterable[str | Path],
    backbones: Backbones,
    chunk: int = 16,
    metrics: Mapping[str, Collection[str]] | None = None,
) -> pd.DataFrame:
    """The long table of videos with a sidecar beside each (`x.mp4`, `x.json`): a row per video and metric.

    A video without a sidecar is an error: rows need to know which method made them. A sidecar without its video gives
    rows with a reason. metrics: those of each prompt by its id, default all of every prompt.
    """
    rows = []
    for path, about in ((Path(path), identity(path)) for path in videos):
        chosen = METRICS if metrics is None else metrics[about["prompt_id"]]
        rows += [about | found for found in score_video(path, backbones, chunk, chosen)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measured(metric: Metric, seen: Observation, backbones: Backbones) -> dict[str, Any]:
    frames = seen.frames
    if frames < metric.frames:
        reason = f"{frames} frame{'s' * (frames != 1)}: {metric.name} needs at least {metric.frames}"
        return row(metric.name, backbones, frames, reason=reason)
    try:
        value, series = measured(metric, seen)
    except NotDefined as error:
        return row(metric.name, backbones, frames, reason=str(error))
    return row(metric.name, backbones, frames, value=value, series=series)


def row(metric: str, backbones: Backbones, frames: int, value=None, reason=None, series=None) -> dict[str, Any]:
    """A row without its video's identity."""
    version = f"{registered.METRICS.get(metric).version}+{backbones.version}"
    return {
        "frames": frames, "metric": metric, "protocol": backbones.protocol, "version": version,
        "value": value, "reason": reason, "series": series,
    }  # fmt: skip


def _difference(
    first: UInt8[Tensor, "n height width 3"], second: UInt8[Tensor, "n height width 3"]
) -> Float[Tensor, " n"]:
    """Mean absolute difference in grey levels, exact: integers until the division."""
    total = (first.to(torch.int16) - second.to(torch.int16)).abs().flatten(1).sum(1, dtype=torch.int64)
    return total.double() / first[0].numel()
