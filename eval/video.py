"""Frames of a video file, streamed in chunks, and the facts that decide whether two videos may be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor


class VideoError(ValueError):
    """Why a file has no frames to score, in one sentence."""


@dataclass(frozen=True)
class Facts:
    """What the container says: `frames` is 0 where it does not say."""

    width: int
    height: int
    fps: float
    frames: int
    codec: str
    pix_fmt: str
    bits: int
    variable_rate: bool


def _open(path: Path) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    if not path.is_file():
        raise VideoError("no such file")
    if path.stat().st_size == 0:
        raise VideoError("empty file")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"unreadable: {error.strerror or error}") from None
    if not container.streams.video:
        container.close()
        raise VideoError("no video stream (audio only)")
    return container, container.streams.video[0]


def facts(path: str | Path) -> Facts:
    """Read the header of a video; `VideoError` says why it cannot be read."""
    container, stream = _open(Path(path))
    with container:
        rate = stream.average_rate or Fraction(0)
        pixel = stream.codec_context.format
        return Facts(
            width=stream.width,
            height=stream.height,
            fps=float(rate),
            frames=stream.frames,
            codec=stream.codec_context.name,
            pix_fmt=pixel.name if pixel else "unknown",
            bits=max((part.bits for part in pixel.components), default=8) if pixel else 8,
            variable_rate=bool(stream.base_rate and rate and abs(stream.base_rate / rate - 1) > Fraction(1, 100)),
        )


def chunks(path: str | Path, size: int = 16) -> Iterator[UInt8[Tensor, "n height width 3"]]:
    """All frames as RGB, `size` at a time (the last chunk may be shorter), decoded once and never held together.

    8-bit video decodes to the same bytes as with OpenCV or decord. `VideoError` for files without a decodable 8-bit
    video stream, for a stream that breaks in the middle and for one that changes its size.
    """
    container, stream = _open(Path(path))
    with container:
        stream.thread_type = "AUTO"
        pixel = stream.codec_context.format
        if pixel and max((part.bits for part in pixel.components), default=8) > 8:
            raise VideoError(f"{pixel.name} has more than 8 bits per channel: decoders disagree on such video")
        held: list[np.ndarray] = []
        count, shape = 0, None
        try:
            for frame in container.decode(stream):
                image = frame.to_ndarray(format="rgb24")
                if shape is not None and image.shape != shape:
                    raise VideoError(f"frame size changes at frame {count}")
                shape = image.shape
                held.append(image)
                count += 1
                if len(held) == size:
                    yield torch.from_numpy(np.stack(held))
                    held = []
        except av.FFmpegError as error:
            raise VideoError(f"unreadable after frame {count}: {error.strerror}") from None
        if count == 0:
            raise VideoError("no frames")
        if held:
            yield torch.from_numpy(np.stack(held))
