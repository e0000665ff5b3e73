"""The videos that generation jobs have made, and what is known of them."""

from collections.abc import Collection, Iterable
from pathlib import Path

from eval import records


def videos_of(shards: Iterable[str], prompts: Collection[str] | None = None) -> list[Path]:
    """All videos, or those of some prompts, which their folders are named after."""
    return [video for video in records.read_shards(shards) if prompts is None or video.parent.name in prompts]


def facts_of(shards: Iterable[str], labels: dict[str, str] | None = None):
    """The table of these videos."""
    return records.collect(map(records.sidecar_of, videos_of(shards)), labels)
