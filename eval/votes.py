"""Votes of readers: which of two videos of the same prompt and seed is better, seen without the methods' names.

The report's page (`eval/report/votes.js`) exports them as CSV, a line per vote with the fields of `Vote`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import AwareDatetime, ValidationInfo, field_validator

from eval import records
from eval.parsing import Strict, parse
from eval.statistics import Estimate, estimate

WORTH = {"left": (1.0, 0.0), "right": (0.0, 1.0), "tie": (0.5, 0.5)}  # of a vote, to the left and to the right

WRITTEN = {"seed": "-?[0-9]{1,19}", "time": "[0-9]{4}-[0-9]{2}-[0-9]{2}T.+"}


class Vote(Strict, frozen=True):
    """A vote. `left_frames`, `right_frames`: sha256 of the frames that were seen, empty where it is not known."""

    suite: str
    base: str
    prompt_id: str
    seed: int
    left: str
    right: str
    left_frames: str
    right_frames: str
    choice: Literal["left", "right", "tie"]
    voter: str
    time: AwareDatetime

    @field_validator("seed", "time", mode="before")
    @classmethod
    def _as_exported(cls, said: object, field: ValidationInfo) -> object:
        """A spreadsheet's day number is no time, and 1_0 no ten."""
        if isinstance(said, str) and not re.fullmatch(WRITTEN[field.field_name], said):
            raise ValueError("must be as the page exports it")
        return said


def read(paths: Iterable[str | Path], suite: str | Path | None = None) -> list[Vote]:
    """The votes of all files, one that is in two of them once.

    suite: the folder of the suite that was voted on; a vote on other frames than it has is refused.
    `ValueError` names the file and line that is no vote, or votes on different suites.
    """
    seen = None if suite is None else _frames(Path(suite))
    found: dict[Vote, None] = {}
    for path in paths:
        for line, vote in _votes(Path(path)):
            if vote.left == vote.right:
                raise ValueError(f"{path}, line {line}: {vote.left} cannot win against itself")
            if seen is not None:
                _same_frames(vote, seen, f"{path}, line {line}", suite)
            found[vote] = None
    if len(suites := {vote.suite for vote in found}) > 1:
        raise ValueError(f"votes on different suites do not belong together: {', '.join(sorted(suites))}")
    return list(found)


def wins(votes: Sequence[Vote]) -> pd.DataFrame:
    """Per base and entry: votes, won, lost, ties, prompts, and the share of its votes that it won, ties half.

    The share is the mean over prompts of the means over votes, with the 95 % bootstrap interval over prompts that all
    tables here have (`low`, `high`; None with fewer than two prompts). The best first.
    """
    cast = pd.DataFrame(
        (vote.base, entry, vote.prompt_id, vote.seed, "won", worth)
        for vote in votes
        for entry, worth in zip((vote.left, vote.right), WORTH[vote.choice], strict=True)
    )
    cast.columns = ["base", "entry", "prompt_id", "seed", "metric", "value"]
    rows = []
    for (base, entry), part in cast.groupby(["base", "entry"], sort=False):
        share: Estimate = estimate(part, ["won"])
        counts = {name: int((part["value"] == worth).sum()) for name, worth in (("won", 1), ("lost", 0), ("ties", 0.5))}
        found = {"share": share.mean, "low": share.low, "high": share.high}
        rows.append({"base": base, "entry": entry, "votes": len(part), **counts, "prompts": share.prompts, **found})
    return pd.DataFrame(rows).sort_values(["base", "share"], ascending=[True, False], ignore_index=True)


def _votes(path: Path):
    """(line, vote) of a file."""
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True)
        rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file of votes ({error})") from None
    header = list(Vote.model_fields)
    if not rows or rows[0][1] != header:
        raise ValueError(f"{path}: not votes as the page exports them; its first line must be {','.join(header)}")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise ValueError(f"{path}, line {line}: {len(row)} cells where there must be {len(header)}")
        yield line, parse(Vote, dict(zip(header, row, strict=True)), f"{path}, line {line}")


def _frames(suite: Path) -> dict[tuple[str, str, str, int], str | None]:
    """sha256 of the frames of the videos of a suite, by their place."""
    videos = records.found(suite)
    return dict(
        zip(videos[list(records.PLACE)].itertuples(index=False, name=None), videos["frames_sha256"], strict=True)
    )


def _same_frames(vote: Vote, seen: dict, where: str, suite: str | Path) -> None:
    for entry, frames in ((vote.left, vote.left_frames), (vote.right, vote.right_frames)):
        place = (vote.base, entry, vote.prompt_id, vote.seed)
        if place not in seen:
            raise ValueError(f"{where}: {suite} has no video {records.place(*place)}")
        if frames and seen[place] and frames != seen[place]:
            raise ValueError(f"{where}: the vote is on other frames than {suite} has in {records.place(*place)}")
