"""Rows of the long table: a row per video and NarrLV metric, with the judge's protocol in the score's name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from eval import metric as registered
from eval.narrlv.answers import PROTOCOL, Answered, Cache, Settings, Video, answer, column
from eval.narrlv.judges.contract import Judge
from eval.narrlv.metric import SCORES, score
from eval.narrlv.suite import Item
from eval.records import IDENTITY, read_beside
from eval.scores import COLUMNS


def score_videos(
    videos: Iterable[str | Path],
    items: Mapping[str, Item],
    judge: Judge,
    cache: Cache,
    settings: Settings = PROTOCOL,
    variant: str = "paper",
    parser: str = "strict",
    aesthetics: Mapping[str, float] | None = None,
) -> tuple[pd.DataFrame, list[Answered]]:
    """The long table of videos with a sidecar beside each, and what the judge said about them.

    `items` by prompt id; `aesthetics` by the video's name in the answers, "<base>/<entry>/<prompt id>/<file's stem>",
    for the variant that mixes it in. A score that does not exist is a row with its reason.
    """
    beside = {path: read_beside(path).model_dump(include={*IDENTITY, "frames"}) for path in map(Path, videos)}
    sidecars = {_name(path, about): (about, path) for path, about in beside.items()}
    unknown = [name for name, (about, _) in sidecars.items() if about["prompt_id"] not in items]
    if unknown:
        raise ValueError(f"no NarrLV item for the video {unknown[0]}: its prompt id must be an item's id")
    tasks = [Video(name, path, items[about["prompt_id"]]) for name, (about, path) in sidecars.items()]
    answered = list(answer(tasks, judge, cache, settings))
    protocol = f"narrlv/{variant}/{parser}/{column(judge, settings, cache.left_out)}"
    rows = []
    for one in answered:
        about = sidecars[one.video.name][0]
        identity = {name: about[name] for name in IDENTITY} | {
            "frames": about["frames"] or 0,
            "protocol": protocol,
        }
        q = (aesthetics or {}).get(one.video.name)
        rows += [{**identity, **row} for row in rows_of(one, variant, parser, q)]
    return pd.DataFrame(rows, columns=list(COLUMNS)), answered


def rows_of(answered: Answered, variant: str, parser: str, q: float | None = None) -> Iterator[dict[str, Any]]:
    """metric, version, value, reason of each metric of one video.

    A question that the judge never answered leaves the video without scores: a mean over the easy questions is another
    quantity. Votes that were given and cannot be read are the parser's business.
    """
    scores, reason = None, answered.error
    silent = [question for questions in answered.questions.values() for question in questions if not question["answer"]]
    if not reason and silent:
        reason = f"{len(silent)} questions without an answer, the first one: {silent[0].get('error', 'no vote')}"
    if not reason:
        scores = score(answered.votes, answered.video.item.tna, q, variant, parser)
    for metric in (*SCORES, "unparsable"):
        value = math.nan if scores is None else getattr(scores, metric)
        missing = math.isnan(value)
        yield {
            "metric": metric,
            "version": registered.METRICS.get(metric).version,
            "value": None if missing else value,
            "reason": (reason or _reason(metric, answered.video.item, variant, q)) if missing else None,
            "series": None,
        }


def _reason(metric: str, item: Item, variant: str, q: float | None) -> str:
    if metric in SCORES and variant == "released" and q is None:
        return "no aesthetic score of the first frame, which the released variant mixes in"
    if metric == "R_coh" and item.tna == 1:
        return "one atom: nothing turns into anything"
    return "a category without a readable vote"


def _name(path: Path, about: Mapping[str, Any]) -> str:
    return "/".join([*(about[part] for part in ("base", "entry", "prompt_id")), path.stem])
