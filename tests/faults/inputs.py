"""Videos as people have them, made by FFmpeg from one small good one: name -> a file that is wrong in its own way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from miga.experiment.video import VideoWriter

FRAMES, RATE = 48, 8


def moving(frames: int = FRAMES, height: int = 64, width: int = 96) -> np.ndarray:
    """A bright square on a texture that moves right, uint8 RGB."""
    y, x = np.mgrid[:height, :width]
    clip = np.stack([np.stack([(x * 3 + y * 2 + t) % 256, (y * 4) % 256, (x + t) % 256], -1) for t in range(frames)])
    for t, frame in enumerate(clip):
        frame[20:40, t % width : t % width + 20] = 250
    return clip.astype(np.uint8)


def good(path: Path, frames: int = FRAMES) -> Path:
    with VideoWriter(path, RATE) as writer:
        writer.push(moving(frames))
    return path


def ffmpeg(*words: object) -> None:
    subprocess.run([get_ffmpeg_exe(), "-y", "-v", "error", *map(str, words)], check=True)


def cut(path: Path, share: float) -> Path:
    """The file without its end."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def _picture(folder: Path) -> Path:
    Image.new("RGB", (200, 200), "red").save(folder / "cover.png")
    return folder / "cover.png"


def cover_first(source: Path, out: Path) -> None:
    picture = _picture(out.parent)
    ffmpeg("-i", picture, "-i", source, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "attached_pic", out)
    picture.unlink()


def cover_only(source: Path, out: Path) -> None:
    picture = _picture(out.parent)
    sound = ["-f", "lavfi", "-i", "sine=d=1"]
    ffmpeg("-i", picture, *sound, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v:0", "attached_pic", out)
    picture.unlink()


def turned(source: Path, out: Path) -> None:
    ffmpeg("-display_rotation", 90, "-i", source, "-c", "copy", out)


def remuxed(source: Path, out: Path) -> None:
    ffmpeg("-i", source, "-c", "copy", out)


def recoded(source: Path, out: Path) -> None:
    ffmpeg("-i", source, "-c:v", "mpeg4", out)


def trimmed(source: Path, out: Path) -> None:
    """Its first frames are hidden by an edit list."""
    ffmpeg("-ss", 1.5, "-i", source, "-c", "copy", out)


def fragmented(source: Path, out: Path) -> None:
    ffmpeg("-i", source, "-g", 8, "-c:v", "libx264", "-movflags", "frag_keyframe+empty_moov", out)


def live(source: Path, out: Path) -> None:
    """Written to a pipe, as browsers record: no duration."""
    content = subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-i", source, "-c", "copy", "-f", "matroska", "-live", "1", "-"],
        check=True,
        capture_output=True,
    ).stdout
    out.write_bytes(content)


def two_videos(source: Path, out: Path) -> None:
    short = out.with_name("short.mp4")
    ffmpeg("-i", source, "-frames:v", 5, short)
    ffmpeg("-i", short, "-i", source, "-map", 0, "-map", 1, "-c", "copy", out)
    short.unlink()


def ten_bit(source: Path, out: Path) -> None:
    ffmpeg("-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p10le", out)


def dirty(source: Path, out: Path) -> None:
    """Bytes in the middle are overwritten, as a bad disk or network does."""
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(range(256)) + bytes(range(144))
    out.write_bytes(content)


def text(source: Path, out: Path) -> None:
    out.write_text("<html>404</html>")


def empty(source: Path, out: Path) -> None:
    out.touch()


def gone(source: Path, out: Path) -> None:
    out.symlink_to(out.parent / "nowhere")


def sound(source: Path, out: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", out)


def patched(atom: bytes, offset: int, number: int):
    """With a number in a box of the container that is not the truth."""

    def made(source: Path, out: Path) -> None:
        content = bytearray(source.read_bytes())
        place = content.index(atom) + offset
        content[place : place + 4] = number.to_bytes(4, "big")
        out.write_bytes(content)

    return made


def two_sizes(source: Path, out: Path) -> None:
    parts = []
    for width in (96, 64):
        part = out.with_name(f"{width}.mpg")
        ffmpeg("-i", source, "-vf", f"scale={width}:64", "-c:v", "mpeg2video", "-r", 25, part)
        parts.append(part.read_bytes())
        part.unlink()
    out.write_bytes(b"".join(parts))


def half(make):
    def made(source: Path, out: Path) -> None:
        make(source, out)
        cut(out, 0.6)

    return made
