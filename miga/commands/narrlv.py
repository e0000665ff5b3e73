"""The commands `miga narrlv ...`."""

from __future__ import annotations

import json as _json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from eval.names import SUFFIXES
from eval.narrlv.judges.contract import RELEASED, Sampling
from eval.narrlv.metric import score_folder, score_suite
from eval.narrlv.suite import Item, factor_and_tna, load, read_json, write_suite
from eval.narrlv.suite import fetch as fetch_suites

if TYPE_CHECKING:
    from eval.narrlv.answers import Video


HEADS = {"unparsable": "unread", "unanswered": "silent"}  # share of votes; questions


def metric(
    dir: tyro.conf.Positional[Path],
    variant: Literal["released", "paper"] = "released",
    parser: Literal["released", "strict"] = "released",
    json: bool = False,
) -> None:
    """R_fid, R_cov and R_coh of answers in the released layout, a line per suite.

    Example: miga narrlv metric answers --variant paper

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
    width = max(map(len, scores))
    print(" " * width, *(f"{HEADS.get(name, name):>10}" for name in next(iter(scores.values()))))
    for suite, values in scores.items():
        print(f"{suite:<{width}}", *(f"{value:>10.4f}" if isinstance(value, float) else f"{value:>10}"
                                     for value in values.values()))  # fmt: skip


def fetch(dir: tyro.conf.Positional[Path]) -> None:
    """Fetch the benchmark's prompt suites (Apache-2.0) at the pinned commit and compare their checksums.

    Example: miga narrlv fetch .cache/narrlv

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
    sampling: Sampling = RELEASED,
) -> None:
    """Have a server answer the questions about a folder of videos; run again, it asks only what is missing.

    Example: miga narrlv answer videos --suites .cache/narrlv --out answers --url http://localhost:8000/v1

    Args:
        videos: Folder with <item id>.mp4, or as published with <suite>/<scene>_<index>_<anything>.mp4. Where an item
            has several, such as <item id>_seed1.mp4, each is asked about.
        suites: Folder of suite files (`miga narrlv fetch`).
        out: Where answers/<suite>.json go, for `miga narrlv metric`, and the cache.
        url: An OpenAI-compatible server, such as http://localhost:8000/v1; the key comes from OPENAI_API_KEY.
        model: The model's name on that server.
        frames: Frames of each video that are shown.
        votes: Times that each question is asked.
        seed: Of the votes.
        concurrency: Questions at a time.
        limit: Only the first so many prompts of each suite.
        sampling: How the model answers; None leaves a setting out, as does a server that refuses it.
    """
    from eval.narrlv import answers, judges

    settings = answers.Settings(frames, votes, seed)
    judge = judges.Server(url, model, sampling, concurrency=concurrency)
    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: at least one prompt")
    items, cache = load(suites, limit=limit), answers.Cache(out / "cache")
    tasks, left = find_videos(videos, items)
    if left:
        print(f"{len(left)} files are left out, as no item is asked about that they belong to: {some(left)}")
    if silent := sorted({item.id for item in items} - {task.item.id for task in tasks}):
        print(f"{len(silent)} of {len(items)} items have no video: {some(silent)}")
    answers.check_place(tasks, out)
    found = list(answers.answer(tasks, judge, cache, settings))
    answers.write_answers(found, out)
    if cache.left_out:
        print(f"votes were given without what the server refuses: {', '.join(sorted(cache.left_out))}")
    failures = [f"{one.video.path.name}: {reason}" for one in found for reason in [one.error, *one.failures] if reason]
    print(f"{len(found)} videos, {len(failures)} problems, {judge.usage}")
    if failures:
        raise ValueError(f"{len(failures)} questions or videos have no answer, the first one: {failures[0]}")


def questions(
    prompts: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    url: str,
    model: str,
    name: str = "own",
) -> None:
    """Have a language model write NarrLV's questions for prompts of your own, as suite files to review.

    Example: miga narrlv questions prompts.json suite.json --url http://localhost:8000/v1 --model NAME

    Args:
        prompts: JSON list of {"prompt", "factor", "tna"}.
        out: Folder of the suite files, <name>_<factor>_tna_<n>.json, and the cache.
        url: An OpenAI-compatible server; the key comes from OPENAI_API_KEY.
        model: The model's name on that server.
        name: Start of the files' names.
    """
    from eval.files import writable
    from eval.narrlv import judges
    from eval.narrlv.answers import Cache
    from eval.narrlv.questions import SAMPLING, Told, generate, suite_of

    rows = read_json(prompts)
    if (
        not rows
        or not isinstance(rows, list)
        or not all(isinstance(row, dict) and row.keys() == {"prompt", "factor", "tna"} for row in rows)
    ):
        raise ValueError(f'{prompts}: must be a list of {{"prompt", "factor", "tna"}}')
    if Path(name).name != name:
        raise ValueError(f"--name {name!r}: files are called so: give a name without slashes")
    asked = [Told(**row) for row in rows]
    for path in (out / f"{suite_of(name, told)}.json" for told in asked):
        if path.exists():
            raise ValueError(f"{path} is there already, perhaps corrected by hand: move it away, or give a --name")
    writable(out / "cache")
    items = generate(asked, judges.Server(url, model, SAMPLING), Cache(out / "cache"), name)
    for suite in sorted({item.suite for item in items}):
        write_suite([item for item in items if item.suite == suite], out / f"{suite}.json")
        print(out / f"{suite}.json")


def find_videos(folder: Path, items: Sequence[Item]) -> tuple[list[Video], list[str]]:
    """The videos of each item, by its id or as the benchmark names them, and the names of what belongs to none.

    A video is called in the answers as its item is (`Item.key`), with the rest of its name where an item has several.
    `ValueError` when there is none.
    """
    from eval.narrlv.answers import Video

    if not folder.is_dir():
        raise ValueError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    by_id = {item.id: item for item in items}
    by_key = {(item.factor, item.tna, item.key): item for item in items}
    samples: dict[str, list[tuple[str, Path]]] = {}
    left = []
    for path in sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if is_video(path)):
        stem = unicodedata.normalize("NFC", path.stem)
        item = by_id.get(stem) or by_id.get(_start(stem, r"[a-z_]+_tna_\d+-[^_-]+_\d+"))
        name = stem.partition("-")[2]
        if path.parent != folder:
            cell = _cell(path.parent.name)
            item, name = by_key.get((*cell, _start(stem, r"[^_]+_\d+"))) if cell else None, stem
        if item is None:
            left.append(str(path.relative_to(folder)))
        else:
            samples.setdefault(item.id, []).append((name, path))
    if not samples:
        raise ValueError(
            f"{folder}: no video of any item, such as {items[0].id}.mp4 or {items[0].suite}/{items[0].key}_x.mp4"
            + (f"; there are {some(left)}" if left else "")
        )
    found = []
    for item in items:
        several = samples.get(item.id, [])
        for name, path in several:
            found.append(Video(name if len(several) > 1 else item.key, path, item))
    names = Counter((video.item.suite, video.name) for video in found)
    if twice := [video.path.name for video in found if names[video.item.suite, video.name] > 1]:
        raise ValueError(f"{folder}: two videos would be one in the answers: {some(twice)}; rename one")
    return found, left


def some(names: Sequence[str], count: int = 5) -> str:
    """The first few names, and how many there are besides."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _cell(name: str) -> tuple[str, int] | None:
    try:
        return factor_and_tna(name)
    except ValueError:
        return None


def _start(stem: str, pattern: str) -> str:
    """What a name starts with, of the form of `pattern`, where a separator or nothing follows."""
    found = re.match(rf"({pattern})(?=[_-]|$)", stem, re.ASCII)
    return found[1] if found else ""
