"""The commands `miga narrlv ...`."""

from __future__ import annotations

import json as _json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from eval.narrlv.metric import score_folder, score_suite
from eval.narrlv.suite import factor_and_tna, load, read_json, write_suite
from eval.narrlv.suite import fetch as fetch_suites


def metric(
    dir: tyro.conf.Positional[Path],
    variant: Literal["released", "paper"] = "released",
    parser: Literal["released", "strict"] = "released",
    json: bool = False,
) -> None:
    """R_fid, R_cov and R_coh of answers in the released layout, a line a suite.

    Args:
        dir: Folder with answers/<suite>.json and, for the released variant, aesthetics/<suite>.json.
        variant: As the released code computes it (with the aesthetic score), or as the paper states it.
        parser: How votes are read: the released substring rule, or whole words.
        json: Print JSON, unrounded; NaN where a score does not exist.
    """
    scores = {suite: score_suite(videos) for suite, videos in score_folder(dir, variant, parser).items()}
    if json:
        print(_json.dumps(scores, indent=1))
        return
    names = list(next(iter(scores.values())))
    width = max(map(len, scores))
    print(" " * width, *(f"{name:>10}" for name in names))
    for suite, values in scores.items():
        print(f"{suite:<{width}}", *(f"{value:>10.4f}" if isinstance(value, float) else f"{value:>10}"
                                     for value in values.values()))  # fmt: skip


def fetch(dir: tyro.conf.Positional[Path]) -> None:
    """Fetch the benchmark's prompt suites (Apache-2.0) at the pinned commit and compare their checksums.

    Args:
        dir: Where they go; what is already there is checked and left alone.
    """
    paths = fetch_suites(dir)
    print(f"{len(paths)} files in {dir}, as published")


def answer(
    videos: tyro.conf.Positional[Path],
    suites: Path,
    out: Path,
    url: str,
    model: str = "Qwen/Qwen2.5-VL-72B-Instruct",
    frames: int = 10,
    votes: int = 5,
    seed: int = 0,
    concurrency: int = 8,
    limit: int | None = None,
) -> None:
    """Have a server answer the questions about a folder of videos; run again, it asks only what is missing.

    Args:
        videos: Folder with <item id>.mp4, or as published with <suite>/<scene>_<index>_<anything>.mp4.
        suites: Folder of suite files (`miga narrlv fetch`).
        out: Where answers/<suite>.json go, for `miga narrlv metric`, and the cache.
        url: An OpenAI-compatible server, such as http://localhost:8000/v1; the key comes from OPENAI_API_KEY.
        model: The model's name on that server.
        frames: Frames of each video that are shown.
        votes: Times that each question is asked.
        seed: Of the votes.
        concurrency: Questions at a time.
        limit: Only the first so many prompts of each suite.
    """
    from eval.narrlv import answers, judges

    judge = judges.Server(url, model, concurrency=concurrency)
    tasks = find_videos(videos, load(suites, limit=limit))
    found = list(answers.answer(tasks, judge, answers.Cache(out / "cache"), answers.Settings(frames, votes, seed)))
    answers.write_answers(found, out)
    failures = [reason for one in found for reason in [one.error, *one.failures] if reason]
    print(f"{len(found)} videos, {len(failures)} problems, {judge.usage}")
    if failures:
        raise ValueError(
            f"{len(failures)} questions or videos have no answer, the first one: {failures[0]}; run it again"
        )


def questions(
    prompts: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    url: str,
    model: str,
    name: str = "own",
) -> None:
    """Have a language model write NarrLV's questions for prompts of your own, as suite files to review.

    Args:
        prompts: JSON list of {"prompt", "factor", "tna"}.
        out: Folder of the suite files, <name>_<factor>_tna_<n>.json, and the cache.
        url: An OpenAI-compatible server; the key comes from OPENAI_API_KEY.
        model: The model's name on that server.
        name: Start of the files' names.
    """
    from eval.narrlv import judges
    from eval.narrlv.answers import Cache
    from eval.narrlv.questions import SAMPLING, Told, generate

    rows = read_json(prompts)
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and row.keys() == {"prompt", "factor", "tna"} for row in rows
    ):
        raise ValueError(f'{prompts}: must be a list of {{"prompt", "factor", "tna"}}')
    items = generate([Told(**row) for row in rows], judges.Server(url, model, SAMPLING), Cache(out / "cache"), name)
    for suite in sorted({item.suite for item in items}):
        write_suite([item for item in items if item.suite == suite], out / f"{suite}.json")
        print(out / f"{suite}.json")


def find_videos(folder: Path, items: Sequence) -> list:
    """The video of each item that has one, by its id or as the benchmark names it; `ValueError` when there is none."""
    from eval.narrlv.answers import Video

    published = {}
    for path in sorted(folder.glob("*_tna_*/*.mp4")):
        published[(*factor_and_tna(path.parent.name), *path.stem.split("_")[:2])] = path
    found = []
    for item in items:
        path = folder / f"{item.id}.mp4"
        if not path.is_file():
            path = published.get((item.factor, item.tna, item.scene, str(item.index)))
        if path:
            found.append(Video(item.key, path, item))
    if not found:
        raise ValueError(
            f"{folder}: no video of any item, such as {items[0].id}.mp4 or {items[0].suite}/{items[0].key}_x.mp4"
        )
    return found
