"""Video files, encoded by FFmpeg as their frames come; `eval.video` reads them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from eval.files import alone, hidden, leftovers, naming
from eval.video import VideoError, fingerprint
from miga.experiment.suite import Encoder

Frames = UInt8[np.ndarray, "n height width 3"]


class VideoWriter:
    """Writes frames as they come and shows the file under its name only when it is whole.

    Use as a context manager. While it is open, the video grows in a hidden folder beside `path`; leaving the block
    finishes it and moves it to `path`, an error inside the block removes it: until then the video that stood at `path`
    still does. One process at a time writes to a path. x264 runs with one thread, so the same frames give the same file
    on any number of cores.

    Raises `ValueError` for frames of odd size (4:2:0 cannot hold them) or of another size than the first, and while
    another process writes to `path`; `OSError` for a folder that cannot be written and an encoder that fails.
    """

    def __init__(self, path: Path, fps: float, encoder: Encoder | None = None) -> None:
        self.path = Path(path)
        # a folder, since the encoder of a run that was killed lives on and cannot open a file in one that is gone
        self.folder = hidden(self.path, f"{os.getpid()}.partial")
        self.partial = self.folder / "video.mp4"
        self.fps, self.encoder = fps, encoder or Encoder()
        self.frames, self.size, self.digest = 0, None, None
        self._process = self._errors = None

    def __enter__(self) -> VideoWriter:
        with ExitStack() as stack, naming(self.path, self.folder):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone(self.path))
            for left in leftovers(self.path):
                shutil.rmtree(left, ignore_errors=True)
            self.folder.mkdir()  # an unwritable folder is found before any work
            self._errors = stack.enter_context(tempfile.TemporaryFile())
            self._held = stack.pop_all()
        return self

    def push(self, frames: Frames) -> None:
        """Append frames, uint8 RGB."""
        frames = np.ascontiguousarray(frames, dtype=np.uint8)
        for frame in frames:
            if self._process is None:
                self._open(frame.shape)
            if frame.shape != (*self.size, 3):
                raise ValueError(f"{self.path}: a frame of shape {frame.shape} in a video of {self.size}")
            try:
                self._process.stdin.write(frame)
            except BrokenPipeError:
                raise self._failure() from None
        self.frames += len(frames)

    def _open(self, shape: tuple[int, int, int]) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe

        height, width, _ = shape
        if height % 2 or width % 2:
            raise ValueError(f"{self.path}: 4:2:0 video needs even sizes, not {width}x{height}")
        self.size = (height, width)
        rate, encoder = Fraction(self.fps).limit_denominator(), self.encoder
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]
        target = ["-an", "-vcodec", encoder.codec, "-pix_fmt", encoder.pix_fmt, "-crf", encoder.crf]
        target += ["-preset", encoder.preset, "-threads", 1, "-map_metadata", -1, "-movflags", "+faststart"]
        command = [get_ffmpeg_exe(), "-y", "-v", "error", *source, *target, self.partial.absolute()]
        self._process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            process_group=0,  # Ctrl-C is ours to deal with
        )

    def finish(self) -> str:
        """Close the video and read it back: the digest of its frames. It is whole then, but not yet under its name.

        `OSError` where the encoder failed or the file does not hold the frames that were pushed, `ValueError` for none.
        """
        if not self.frames:
            raise ValueError(f"{self.path}: no frames were made")
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            raise self._failure() from None
        if self._process.wait():
            raise self._failure()
        try:
            self.digest, count = fingerprint(self.partial)
        except VideoError as error:
            raise self._failure(f"it reads back as: {error}") from None
        if count != self.frames:
            raise self._failure(f"{count} of {self.frames} frames can be read back")
        return self.digest

    def _failure(self, found: str = "") -> OSError:
        """What the encoder said, else how it ended."""
        status = self._process.wait()
        self._errors.seek(0)
        said = " ".join(self._errors.read().decode(errors="replace").split())[-300:]
        ended = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return OSError(
            f"{self.path}: the video could not be written ({found or said or 'the encoder: ' + ended}); is the disk "
            "full? What stood there before still does"
        )

    def __exit__(self, kind, error, trace) -> None:
        with self._held:
            try:
                if kind is None and self.frames:
                    if self.digest is None:
                        self.finish()
                    with naming(self.path, self.partial):
                        os.replace(self.partial, self.path)
            finally:
                self._stop()
                shutil.rmtree(self.folder, ignore_errors=True)

    def _stop(self) -> None:
        """End an encoder that is still there."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            self._process.stdin.close()
