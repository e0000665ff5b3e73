"""Scores that were computed before: rows of a video, kept under the digest of all that decides them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval import scores
from eval.benchmark import Benchmark, Prompt, Settings
from eval.files import file_digest
from eval.records import place, read_beside

DECIDED = "decided by"  # under which name a kept table says its digest


def score(
    benchmark: Benchmark,
    videos: Sequence[Path],
    prompts: Mapping[str, Prompt],
    settings: Settings,
    folder: Path,
    cache: Path,
    deciding: Any,
) -> pd.DataFrame:
    """The rows of `benchmark.score`; computed are only those of videos whose rows are not kept in `cache`, and those of
    each are kept at once, so that a job that is killed loses one video at most.

    deciding: what decides scores besides the videos, their prompts and the settings, as plain data: code and weights.
    """
    if not benchmark.by_video:
        return benchmark.score(videos, prompts, settings, folder, cache)
    asked = [deciding, settings.of_scores() | {"prompts": None}]  # what they say, and not where they stand
    records = {video: read_beside(video) for video in videos}
    stands = {video: place(said.base, said.entry, said.prompt_id, said.seed) for video, said in records.items()}
    kept = {video: (cache / where).with_suffix(".parquet") for video, where in stands.items()}
    digests = {
        video: _digest([asked, _content(video), prompts[said.prompt_id].model_dump(), said.suite, said.method])
        for video, said in records.items()
    }
    missing = [video for video in videos if _decided(kept[video]) != digests[video]]
    print(f"{len(missing)} of {len(videos)} videos to score")
    for video, rows in zip(missing, benchmark.score_each(missing, prompts, settings, folder, cache), strict=True):
        scores.write(rows, kept[video], {DECIDED: digests[video]})
    return scores.read(kept.values())


def _decided(path: Path) -> str | None:
    """Digest of what decided the rows that are kept; None where there are none."""
    try:
        return scores.scored_files(path).get(DECIDED)
    except (OSError, ValueError):  # none, or half a file of another machine
        return None


def _content(video: Path) -> str | None:
    """sha256 of a file; None where it cannot be read, which is a row with a reason."""
    try:
        return file_digest(video)
    except OSError:
        return None


def _digest(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
