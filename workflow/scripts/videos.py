"""The videos that manifests list, and the facts in their sidecars."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path


def videos_of(manifests: Iterable[str], prompts: Collection[str] | None = None) -> list[Path]:
    """All videos, or those of some prompts, which their folders are named after."""
    videos = [Path(video) for manifest in manifests for video in json.loads(Path(manifest).read_text())]
    return [video for video in videos if prompts is None or video.parent.name in prompts]


def facts_of(manifests: Iterable[str]):
    from eval.scores import read_sidecars

    return read_sidecars(video.with_suffix(".json") for video in videos_of(manifests))
