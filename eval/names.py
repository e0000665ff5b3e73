"""What the names of video files say: whether they are videos, of which prompt, and which sample of it."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".wmv", ".flv")
SAMPLE = re.compile(r"(.+)-([0-9]{1,9})", re.DOTALL)  # `<prompt>-<i>`; longer numbers and other digits are names


def is_video(path: Path) -> bool:
    """By its name: hidden files are none, whatever their suffix (macOS's `._x.mp4`, a writer's unfinished file)."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def prompt_and_index(path: Path) -> tuple[str, int]:
    """Of a name `<prompt>-<i>.<suffix>`; a name of another form is a prompt with the one sample 0."""
    stem = readable(path.stem)
    found = SAMPLE.fullmatch(stem)
    return (found[1], int(found[2])) if found else (stem, 0)


def readable(name: str) -> str:
    """A file's name as text: letters composed (macOS and some zips take them apart), bytes of no text escaped."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))
