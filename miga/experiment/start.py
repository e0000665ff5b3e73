"""Where a video goes on from: an image, or the end of another video, as the clean latents that its clips begin with."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from eval import video

if TYPE_CHECKING:
    from PIL.Image import Image

    from miga.models.pretrained import Pretrained

SHARE = 3  # of a window: as much of it as the end of a video takes, one in so many


def latents_of(path: Path, model: Pretrained) -> Float[Tensor, "k c h w"]:
    """An image, or the last frames of a video (a third of a window), encoded.

    `ValueError` of one sentence where the file is neither.
    """
    return model.encode_frames(frames_of(path, model))


def frames_of(path: Path, model: Pretrained) -> UInt8[Tensor, "n height width 3"]:
    """The frames of the file at the size of the model's video: scaled to cover it, and cut around the centre."""
    from PIL import Image, ImageOps

    height, width = model.size
    pictures = map(Image.fromarray, last_frames(path, model)) if is_video(path) else [picture(path)]
    fitted = [np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)) for picture in pictures]
    return torch.from_numpy(np.stack(fitted))


def check(path: Path) -> None:
    """`ValueError` where a file is neither an image nor a video, before a model is loaded for it."""
    if not is_video(path):
        picture(path)
        return
    try:
        video.facts(path)
    except video.VideoError as error:
        raise ValueError(f"{path} cannot be gone on from: {error}") from None


def is_video(path: Path) -> bool:
    return path.suffix.lower() in (".mp4", ".mkv", ".webm", ".mov")


def picture(path: Path) -> Image:
    """An image as it is to be looked at."""
    from PIL import Image, ImageOps

    try:
        return ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # a cut, a hostile or no image
        raise ValueError(f"{path} is not an image that can be read: give a PNG or JPEG file") from None


def last_frames(path: Path, model: Pretrained) -> Sequence[np.ndarray]:
    """The last frames of a video, as many as a third of the model's window decodes to."""
    wanted = model.video_frames(max(model.window // SHARE, 1))
    frames: deque[np.ndarray] = deque(maxlen=wanted)
    try:
        for chunk in video.chunks(path):
            frames.extend(chunk.numpy())
    except video.VideoError as error:
        raise ValueError(f"{path} cannot be gone on from: {error}") from None
    if len(frames) < wanted:
        raise ValueError(f"{path} has {len(frames)} frames; going on from it takes {wanted} on {model.name}")
    return frames


def identity(path: Path | None) -> str | None:
    """sha256 of the file, as it reads in a request."""
    if path is None:
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
