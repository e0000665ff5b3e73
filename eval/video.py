"""Frames of a video file, streamed in chunks, and the facts that decide whether two videos may be compared.

The one decoder of this project: whoever writes, hashes, scores or shows a video reads it here. A file that does not
give all that it promises gives nothing: `VideoError` says what is wrong with it.

PyAV rather than decord, by which VBench reads: of a file cut in half decord gives the first half without a word, it
shows frames that an edit list hides, and it opens neither GIFs nor recordings without a duration. Where both read a
file they give the same bytes, which a test compares.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

PICTURES = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails  # streams that are no videos
STILLS = ("png", "mjpeg", "bmp", "webp")  # codecs of pictures: beside a video of another codec they are its cover
CUT = 0.9  # a smaller share of the promised duration is a cut, where the number of frames is not said


T = TypeVar("T")
Frames = UInt8[Tensor, "n height width 3"]


class VideoError(ValueError):
    """Why a file has no frames to score, in one sentence."""


@dataclass(frozen=True)
class Facts:
    """What the container says: `frames` and `seconds` are 0 where it does not say.

    rotation: degrees, counter-clockwise, by which players turn the frames; `width` and `height` are those shown.
    streams: videos in the container, cover pictures not among them; the longest is read, the first of equal ones.
    """

    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    container: str  # by the name's suffix
    codec: str
    pix_fmt: str
    bits: int
    variable_rate: bool
    rotation: int
    streams: int


def _open(path: Path) -> tuple[av.container.InputContainer, av.video.stream.VideoStream]:
    if path.is_dir():
        raise VideoError("a folder, not a file")
    if not path.is_file():
        raise VideoError("no such file")
    if path.stat().st_size == 0:
        raise VideoError("empty file")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"unreadable: {getattr(error, 'strerror', None) or error}") from None
    if container.format.name == "gif" and not _ends_with(path, b";"):  # its frames are counted nowhere
        container.close()
        raise VideoError("cut: the mark that ends a GIF is missing")
    if not container.streams.video:
        others = "audio only" if container.streams.audio else "nor any other"
        container.close()
        raise VideoError(f"no video stream ({others})")
    videos = _videos(container)
    if not videos:
        container.close()
        raise VideoError("no video stream (a cover picture only)")
    return container, max(videos, key=lambda stream: (stream.codec_context.name not in STILLS, stream.frames))


def _ends_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 64, 0))
        return file.read().rstrip(b"\0").endswith(mark)


def _videos(container: av.container.InputContainer) -> list[av.video.stream.VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & PICTURES]


def facts(path: str | Path) -> Facts:
    """Read the header of a video and its first frame; `VideoError` says why it cannot be read."""
    container, stream = _open(Path(path))
    with container:
        rate = stream.average_rate or Fraction(0)
        pixel = stream.codec_context.format
        rotation = _rotation(container, stream)
        sides = (stream.width, stream.height)
        return Facts(
            *(sides[::-1] if rotation % 180 else sides),
            fps=float(rate),
            frames=_promised(stream),
            seconds=_seconds(container, stream),
            container=Path(path).suffix.lower(),
            codec=stream.codec_context.name,
            pix_fmt=pixel.name if pixel else "unknown",
            bits=_bits(pixel),
            variable_rate=bool(stream.base_rate and rate and abs(stream.base_rate / rate - 1) > Fraction(1, 100)),
            rotation=rotation,
            streams=len(_videos(container)),
        )


def _bits(pixel: av.VideoFormat | None) -> int:
    return max((part.bits for part in pixel.components), default=8) if pixel else 8


def _rotation(container, stream) -> int:
    """Of the first frame; 0 where there is none."""
    try:
        return next((frame.rotation for frame in container.decode(stream)), 0)
    except (av.FFmpegError, ValueError):
        return 0


def _promised(stream) -> int:
    """Frames that the container says it holds, without those that its edit list hides; 0 where it does not say."""
    if stream.frames and _has_edits(stream.container):
        return sum(not entry.is_discard for entry in stream.index_entries)
    return stream.frames


def _has_edits(container) -> bool:
    """Whether it is of the formats that have edit lists: one that disagrees with itself hides frames of its own."""
    return "mov" in container.format.name


def _seconds(container, stream) -> float:
    """Duration of the video by its own stream, or by the container where that holds nothing else; 0: not said."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration and len(container.streams) == 1 else 0.0


def chunks(path: str | Path, size: int = 16) -> Iterator[Frames]:
    """All frames as RGB, `size` at a time (the last chunk may be shorter), decoded once and never held together.

    Frames are those that a player shows, turned as the container asks. 8-bit video decodes to the same bytes as with
    OpenCV or decord. `VideoError` for files without a decodable 8-bit video stream, for one that breaks in the middle,
    changes its size, has a damaged frame, or fewer frames than the container promises.
    """
    container, stream = _open(Path(path))
    with container:
        stream.thread_type = "AUTO"
        pixel = stream.codec_context.format
        if _bits(pixel) > 8:
            raise VideoError(f"{pixel.name} has more than 8 bits per channel: decoders disagree on such video")
        promised, seconds, rate = _promised(stream), _seconds(container, stream), stream.average_rate
        held: list[np.ndarray] = []
        count, shape = 0, None
        try:
            for frame in _decoded(container, stream):
                if frame.is_corrupt:
                    raise VideoError(f"damaged: frame {count} is broken")
                image = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
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
        if count < promised:
            raise VideoError(f"cut or damaged: {count} of the {promised} frames that the container promises")
        if rate and (not promised or _has_edits(container)) and count < CUT * seconds * rate - 1:
            shown = float(count / rate)
            raise VideoError(f"cut or damaged: {shown:.1f} of the {seconds:.1f} seconds that the container promises")
        if held:
            yield torch.from_numpy(np.stack(held))


def ahead(paths: Iterable[str | Path], size: int = 16) -> Iterator[tuple[Path, Iterator[Frames]]]:
    """Each path with its frames as `chunks` gives them, decoded in a thread: beside the work on the chunks before, also
    on the last ones of the video before. Two chunks wait at most; what is not taken of a video is passed over."""
    paths = [*map(Path, paths)]
    waiting = _in_a_thread(_joined(paths, size), held=2)
    for path in paths:
        frames = _until_its_end(waiting)
        yield path, frames
        with suppress(VideoError):
            deque(frames, 0)


def _joined(paths: Iterable[Path], size: int) -> Iterator[Frames | VideoError | None]:
    """The chunks of all videos; after those of each None, or why there are no more."""
    for path in paths:
        try:
            yield from chunks(path, size)
            yield None
        except VideoError as error:
            yield error


def _until_its_end(waiting: Iterator[Frames | VideoError | None]) -> Iterator[Frames]:
    for chunk in waiting:
        if isinstance(chunk, VideoError):
            raise chunk
        if chunk is None:
            return
        yield chunk


def _in_a_thread(items: Iterator[T], held: int) -> Iterator[T]:
    """The items, each made while those before it are used; so many wait at most."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, items, end) for _ in range(held))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item


def _decoded(container, stream) -> Iterator[av.VideoFrame]:
    for number, packet in enumerate(container.demux(stream)):
        if packet.is_corrupt:
            raise VideoError(f"cut or damaged: the data of frame {number} are not whole")
        yield from packet.decode()


def fingerprint(path: str | Path) -> tuple[str, int]:
    """sha256 of the frame size and the decoded frames, and their number: what a viewer and a scorer see, whatever the
    container and its metadata say."""
    digest, count = hashlib.sha256(), 0
    for chunk in chunks(path):
        if not count:
            digest.update(repr(tuple(chunk.shape[1:])).encode())
        digest.update(chunk.numpy())
        count += len(chunk)
    return digest.hexdigest(), count


def frames_digest(path: str | Path) -> str:
    """The sha256 of `fingerprint`."""
    return fingerprint(path)[0]
