"""Every metric from one streaming pass over a video, and the long table of many videos."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval import video
from eval.metric import METRICS, NotDefined
from eval.records import IDENTITY, Sidecar, read_beside
from eval.repetition import thumbnails
from eval.scores import COLUMNS
from eval.vbench import STANDARD
from eval.vbench.dynamics import pair_scores, step
from eval.vbench.matching import displacement
from eval.vbench.metrics import PARTS, Observation, Part, measured, parts_of

WINDOW = 16  # frames: the native length of the base models that the paper extends


@dataclass(frozen=True)
class Backbones:
    """The networks that a protocol looks through, as functions on uint8 RGB frames on `device`.

    subject, background: frames (n, height, width, 3) -> features (n, d), floating point, one row per frame and
        independent of the others in the batch. The same object for both is called once.
    interpolate: (before, after), each (n, height, width, 3) -> the frames half-way between, uint8, same shape.
        A network that no metric asks for may be None.
    protocol: what the scores are called. "vbench" is reserved for VBench's own networks and weights.
    version: changes with the weights or the preprocessing.
    looks: further parts that look at each frame by itself, by name: frames -> (n, k).
    flow: (before, after) as above -> how far each pixel moves, (n, 2, height, width) in pixels, perhaps padded.
    versions: of parts whose networks are not in `version`, by the part's name.
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
    looks: Mapping[str, Callable[[UInt8[Tensor, "n height width 3"]], Float[Tensor, "n k"]]] = field(
        default_factory=dict
    )
    flow: Callable[..., Float[Tensor, "n 2 h w"]] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def has(self, part: Part) -> bool:
        """Whether a video can be looked at through this part; those that metrics bring with them need no network."""
        needs = {"subject": self.subject, "background": self.background, "interpolation": self.interpolate}
        return bool((needs | {"flow": self.flow}).get(part, callable(part) or part in PARTS or part in self.looks))


def score_video(
    path: str | Path,
    backbones: Backbones,
    window: int = WINDOW,
    chunk: int = 16,
    metrics: Collection[str] = STANDARD,
    prompt: str | None = None,
    decoded: Iterable[video.Frames] | None = None,
) -> list[dict[str, Any]]:
    """One row per metric: frames, metric, protocol, version, value, reason, series.

    Networks that none of the metrics looks through are not run. prompt: for metrics that compare with it. decoded: the
    frames of `path`, where somebody decodes them already (`video.ahead`).
    `value` is None exactly where `reason` says why: an unreadable file, no video stream, too few frames for this
    metric, or features that are not finite. Memory depends on `chunk`, the frames decoded and embedded at a time, and
    on the frame size, not on the length.
    """
    try:
        about = {"window": window, "fps": video.facts(path).fps, "prompt": prompt}
        seen = observe(decoded or video.chunks(path, chunk), backbones, parts_of(metrics), **about)
    except video.VideoError as error:
        return [row(metric, backbones, 0, reason=str(error)) for metric in metrics]
    return [_measured(metric, seen, backbones) for metric in metrics]


@torch.inference_mode()
def observe(
    frames: Iterable[UInt8[Tensor, "n height width 3"]],
    backbones: Backbones,
    parts: Collection[Part] | None = None,
    **about: Any,
) -> Observation:
    """The one pass: chunks of frames in, a few numbers per frame out, of the parts that are asked for.

    parts: default all that the backbones have. about: what an `Observation` holds of the video beside its frames.
    """
    parts = [part for part in (*PARTS, *backbones.looks) if backbones.has(part)] if parts is None else parts
    rows = {part: _Rows() for part in parts}
    lacking = [part for part in parts if not backbones.has(part)]
    undefined = {part: f"the networks of {backbones.protocol} have no {part}" for part in lacking}
    looks = {part: look for part, look in (_EACH_FRAME | dict(backbones.looks)).items() if part in parts}
    looks |= {part: part for part in parts if callable(part)}
    networks = {part: getattr(backbones, part) for part in ("subject", "background") if part in rows.keys() - undefined}
    every = step(about.get("fps") or 0)
    count, size = 0, (0, 0)
    last = waiting = sampled = None  # the frame before this chunk; those whose right neighbour, or next one, is to come
    for chunk in frames:
        chunk = chunk.to(backbones.device)
        now, size = chunk[-count % every :: every], tuple(chunk.shape[1:3])
        count += len(chunk)
        for part, look in looks.items():
            rows[part].append(look(chunk))
        if "flow" in rows.keys() - undefined and len(now):
            sampled = now if sampled is None else torch.cat([sampled, now])
            if len(sampled) > 1:
                try:
                    rows["flow"].append(pair_scores(backbones.flow(sampled[:-1], sampled[1:])))
                except video.VideoError as error:  # too small for this network, and fine for the rest
                    undefined["flow"] = str(error)
            sampled = sampled[-1:]
        features = {network: network(chunk).float() for network in set(networks.values())}
        for part, network in networks.items():
            rows[part].append(features[network])

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
        if pairs and "interpolation" in rows.keys() - undefined:
            try:
                rows["interpolation"].append(_difference(backbones.interpolate(ends[:-1], ends[1:]), middles))
            except video.VideoError as error:  # frames too small for the interpolator are fine for the rest
                undefined["interpolation"] = str(error)
    kept = {part: found.tensor() for part, found in rows.items()}
    return Observation(kept, count, size=size, undefined=undefined, **about)


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
    window: int = WINDOW,
    chunk: int = 16,
    metrics: Mapping[str, Collection[str]] | None = None,
) -> pd.DataFrame:
    """The long table of videos with a sidecar beside each (`x.mp4`, `x.json`): a row per video and metric.

    A video without a sidecar is an error: rows need to know which method made them. A sidecar without its video gives
    rows with a reason. metrics: those of each prompt by its id, default the standard ones of every prompt.
    """
    found = []
    for path, frames in video.ahead(videos, chunk):
        said = read_beside(path)
        chosen = STANDARD if metrics is None else metrics[said.prompt_id]
        found.append((said, score_video(path, backbones, window, chunk, chosen, shown(said), frames)))
    return table_of(found)


def shown(said: Sidecar) -> str | None:
    """The prompt that a whole video follows; None for a story, since no metric follows one from part to part."""
    return None if getattr(said, "then", ()) else said.prompt


def table_of(found: Iterable[tuple[Sidecar, Iterable[dict[str, Any]]]]) -> pd.DataFrame:
    """The long table of videos, from the sidecar of each and its rows, which have no identity."""
    rows = [said.model_dump(include=set(IDENTITY)) | row for said, rows in found for row in rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _measured(metric: str, seen: Observation, backbones: Backbones) -> dict[str, Any]:
    frames, needed = seen.frames, METRICS.get(metric).frames
    if frames < needed:
        reason = f"{frames} frame{'s' * (frames != 1)}: {metric} needs at least {needed}"
        return row(metric, backbones, frames, reason=reason)
    try:
        value, series = measured(metric, seen)
    except NotDefined as error:
        return row(metric, backbones, frames, reason=str(error))
    return row(metric, backbones, frames, value=value, series=series)


def row(metric: str, backbones: Backbones, frames: int, value=None, reason=None, series=None) -> dict[str, Any]:
    """A row without its video's identity."""
    about = METRICS.get(metric)
    pixels = about.part in PIXELS or callable(about.part)
    networks = "pixels" if pixels else backbones.versions.get(about.part, backbones.version)
    version = f"{about.version}+{networks}"
    return {
        "frames": frames, "metric": metric, "protocol": backbones.protocol, "version": version,
        "value": value, "reason": reason, "series": series,
    }  # fmt: skip


def _sharpness(frames: UInt8[Tensor, "n height width 3"]) -> Float[Tensor, " n"]:
    """Variance of the Laplacian (four neighbours, inside the border) of the mean of the colours."""
    grey = frames.float().mean(-1)
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * inner
    return laplacian.flatten(1).var(1, correction=0)


_EACH_FRAME = {"thumbnail": thumbnails, "sharpness": _sharpness}  # no network, frame by frame
PIXELS = frozenset([*_EACH_FRAME, "change", "displacement"])  # parts whose scores no network decides


def _difference(
    first: UInt8[Tensor, "n height width 3"], second: UInt8[Tensor, "n height width 3"]
) -> Float[Tensor, " n"]:
    """Mean absolute difference in grey levels, exact: integers until the division."""
    total = (first.to(torch.int16) - second.to(torch.int16)).abs().flatten(1).sum(1, dtype=torch.int64)
    return total.double() / first[0].numel()
