"""The videos that generation jobs have made, and what is known of them."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from eval import records
from miga.engine.method import METHODS


def videos_of(shards: Iterable[str], prompts: Collection[str]) -> list[Path]:
    """The videos of some prompts, which their folders are named after."""
    return [video for video in records.read_shards(shards) if video.parent.name in prompts]


def facts_of(shards: Iterable[str], named: Mapping[str, Mapping[str, Any]]):
    """The table of all videos. An entry is called as `named` says, by its label or by that of its method's card."""
    labels = {entry: said["label"] or METHODS.get(said["method"]).card.label for entry, said in named.items()}
    return records.collect(map(records.sidecar_of, records.read_shards(shards)), labels)
