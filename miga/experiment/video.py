"""Videos: written with imageio-ffmpeg as frames come, read with decord (PyAV where it is missing), and hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from miga.experiment.suite import Encoder

Frames = UInt8[np.ndarray, "n height width 3"]


class VideoWriter:
    """Writes frames as they come and shows the file under its name only when it is whole.

    Use as a context manager. While it is open, the video grows in `.<name>.partial.mp4` beside `path`; leaving the
    block closes it and moves it to `path`, an error inside the block removes it. x264 runs with one thread, so the
    same frames give the same file on any number of cores.

    Raises `ValueError` for frames of odd size (4:2:0 cannot hold them) or of another size than the first, `OSError` for
    a folder that cannot be written.
    """

    def __init__(self, path: Path, fps: float, encoder: Encoder | None = None) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.stem}.partial.mp4")
        self.fps, self.encoder = fps, encoder or Encoder()
        self.frames, self.size, self._pipe = 0, None, None

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.partial.unlink(missing_ok=True)  # the encoder of a run that was killed may still be closing it
        self.partial.touch()  # an unwritable folder is found before any work
        return self

    def push(self, frames: Frames) -> None:
        """Append frames, uint8 RGB."""
        frames = np.ascontiguousarray(frames, dtype=np.uint8)
        for frame in frames:
            if self._pipe is None:
                self._open(frame.shape)
            if frame.shape != (*self.size, 3):
                raise ValueError(f"{self.path}: a frame of shape {frame.shape} in a video of {self.size}")
            self._pipe.send(frame)
        self.frames += len(frames)

    def _open(self, shape: tuple[int, int, int]) -> None:
        from imageio_ffmpeg import write_frames

        height, width, _ = shape
        if height % 2 or width % 2:
            raise ValueError(f"{self.path}: 4:2:0 video needs even sizes, not {width}x{height}")
        self.size = (height, width)
        options = ["-crf", self.encoder.crf, "-preset", self.encoder.preset, "-threads", 1, "-map_metadata", -1]
        self._pipe = write_frames(
            str(self.partial.absolute()),
            (width, height),
            fps=self.fps,
            codec=self.encoder.codec,
            pix_fmt_out=self.encoder.pix_fmt,
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="error",
            output_params=[*map(str, options), "-movflags", "+faststart"],
        )
        self._pipe.send(None)

    def __exit__(self, kind, error, trace) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if kind is None and self.frames:
            os.replace(self.partial, self.path)
        else:
            self.partial.unlink(missing_ok=True)


def read(path: Path, batch: int = 64) -> Iterator[Frames]:
    """Frames of a video in batches, uint8 RGB, in order; memory does not grow with its length.

    Raises `ValueError` naming the file where it is missing or not a video.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such video")
    try:
        yield from (_read_decord if _has_decord() else _read_av)(path, batch)
    except ValueError:
        raise
    except Exception as error:  # decoders raise errors of their own kinds
        raise ValueError(f"{path}: cannot be read as a video: {' '.join(str(error).split())[:200]}") from None


def _has_decord() -> bool:
    try:
        import decord  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def _read_decord(path: Path, batch: int) -> Iterator[Frames]:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    for start in range(0, len(reader), batch):
        yield reader.get_batch(range(start, min(start + batch, len(reader)))).asnumpy()


def _read_av(path: Path, batch: int) -> Iterator[Frames]:
    import av

    with av.open(str(path)) as container:
        held = []
        for frame in container.decode(video=0):
            held.append(frame.to_ndarray(format="rgb24"))
            if len(held) == batch:
                yield np.stack(held)
                held = []
        if held:
            yield np.stack(held)


def hash_frames(path: Path) -> str:
    """sha256 of the decoded frames and their size: what a viewer and a scorer see, whatever the container says."""
    digest, size = hashlib.sha256(), None
    for frames in read(path):
        if size is None:
            size = frames.shape[1:]
            digest.update(repr(size).encode())
        digest.update(np.ascontiguousarray(frames))
    return digest.hexdigest()
