"""From videos to votes: frames, a cache by content, concurrency, and what is written down.

Each vote that a judge ever gave is kept under the digest of all that led to it: the frames, the question, the judge's
protocol and the seed. An interrupted run resumes, a second run asks nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import only_ours, writable, write_json
from eval.narrlv.judges.contract import Frames, Judge, JudgeError
from eval.narrlv.speech import spoken
from eval.narrlv.suite import FIRST_FRAME, Item, read_json
from eval.video import VideoError, chunks, facts

NO_FRAMES = np.empty((0, 0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Settings:
    """How a video is shown and how often a question is asked; the defaults are the released protocol's, which has no
    seed. Questions on the first frame get that frame alone."""

    frames: int = 10
    votes: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.votes < 1 or not 0 <= self.seed < 2**62:
            raise ValueError(
                f"a judge needs at least one frame, one vote and a seed of 0 to 2**62: not {self.frames} frames, "
                f"{self.votes} votes, seed {self.seed}"
            )


PROTOCOL = Settings()


@dataclass(frozen=True)
class Video:
    """A video file and the item that it should tell; `name` is its key in the answers of the item's suite."""

    name: str
    path: Path
    item: Item


@dataclass
class Answered:
    """What was said about a video: category -> [{"question", "answer": votes, "error"?}], and why there is nothing."""

    video: Video
    questions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    error: str | None = None

    @property
    def votes(self) -> dict[str, list[list[str]]]:
        return {category: [q["answer"] for q in questions] for category, questions in self.questions.items()}

    @property
    def failures(self) -> list[str]:
        """Reasons of the questions that have fewer votes than they should."""
        return [q["error"] for questions in self.questions.values() for q in questions if "error" in q]


class Cache:
    """Votes by key, a small file each: safe for several processes, and half a file is never seen.

    left_out: settings that judges left out of what their protocol says, for any of the votes that went through here.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.left_out: set[str] = set()

    def get(self, key: str) -> list[str]:
        """The votes that have a text."""
        try:
            record = json.loads(self._path(key).read_text())
            votes, left_out = (
                [spoken(vote) for vote in record["votes"]],
                [str(name) for name in record.get("left_out", [])],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []
        self.left_out.update(left_out)
        return [vote for vote in votes if vote]

    def put(self, key: str, votes: Sequence[str], left_out: Sequence[str] = (), **facts: Any) -> None:
        """Keep the votes, with facts for whoever reads the file."""
        self.left_out.update(left_out)
        write_json(self._path(key), {**facts, **({"left_out": [*left_out]} if left_out else {}), "votes": list(votes)})

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def column(judge: Judge, settings: Settings, left_out: Iterable[str] = ()) -> str:
    """The protocol's short name: part of every score's name, another one for whatever may change a vote.

    left_out: what the judge did without of its protocol (`Cache.left_out`).
    """
    asked = {**judge.protocol, "frames": settings.frames, "votes": settings.votes, "seed": settings.seed}
    everything = _digest({**asked, **dict.fromkeys(left_out)})
    return f"{judge.protocol['judge']}-{everything[:6]}"


def answer(
    videos: Iterable[Video],
    judge: Judge,
    cache: Cache,
    settings: Settings = PROTOCOL,
    give_up: int = 20,
) -> Iterator[Answered]:
    """Ask every question of every video, in order; nothing that fails stops the rest, and all that was said is kept.

    After `give_up` questions in a row without an answer, or when the judge says that it is pointless, the others are
    not asked any more but say so. Memory holds the frames of the few videos that are being asked about.
    """
    judge = Patience(judge, give_up)
    pool = ThreadPoolExecutor(max(1, judge.concurrency))
    flying: deque[tuple[Answered, list[tuple[dict, Future]]]] = deque()
    try:
        for video in videos:
            flying.append(_submit(video, judge, cache, settings, pool))
            while len(flying) > 1 and sum(len(futures) for _, futures in flying) > 4 * judge.concurrency:
                yield _finish(*flying.popleft())
        while flying:
            yield _finish(*flying.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def sample_frames(path: str | Path, count: int) -> Frames:
    """`count` frames at equal distances from the first to the last of a video; some repeat in a shorter one.

    `VideoError` says why there are none.
    """
    total = facts(path).frames
    while True:
        wanted = np.linspace(0, max(total, 1) - 1, count).astype(int)
        kept, seen = {}, 0
        for chunk in chunks(path):
            here = {i for i in wanted.tolist() if seen <= i < seen + len(chunk)}
            kept |= {i: chunk[i - seen].numpy().copy() for i in here}
            seen += len(chunk)
        if seen == total:
            return np.stack([kept[i] for i in wanted.tolist()])
        total = seen  # the header was wrong, or silent


def released_layout(answered: Iterable[Answered]) -> dict[str, dict[str, Any]]:
    """{suite: {video: entry}} as the released answering step writes it, which the metric reads."""
    suites: dict[str, dict[str, Any]] = {}
    for one in answered:
        entry = {"prompt_gen": one.video.item.prompt, "qa_infor": one.questions}
        if one.error:
            entry["error"] = one.error
        suites.setdefault(one.video.item.suite, {})[one.video.name] = entry
    return suites


def check_place(videos: Iterable[Video], folder: Path) -> None:
    """Before anybody is asked: `ValueError` where the answers would go over those of others, or about other videos.

    The folder of the cache is made: where it is, answers are those of a run.
    """
    cache, named = folder / "cache", {}
    for video in videos:
        named.setdefault(video.item.suite, set()).add(video.name)
    for suite, names in named.items():
        path = folder / "answers" / f"{suite}.json"
        only_ours(path, lambda path: cache.is_dir(), "a file of answers of ours (there is no cache of votes)")
        if path.exists() and (others := sorted(read_json(path).keys() - names)):
            raise ValueError(f"{path} is about other videos too ({others[0]} the first): give another --out")
    cache.mkdir(parents=True, exist_ok=True)
    writable(cache / "x")


def write_answers(answered: Iterable[Answered], folder: str | Path) -> None:
    """One `answers/<suite>.json` a suite in `folder`."""
    for suite, videos in released_layout(answered).items():
        write_json(Path(folder) / "answers" / f"{suite}.json", videos)


@dataclass(frozen=True)
class Seen:
    """Frames and the digest of their bytes."""

    frames: Frames
    digest: str

    @classmethod
    def of(cls, frames: Frames) -> Seen:
        return cls(frames, hashlib.sha256(repr(frames.shape).encode() + frames.tobytes()).hexdigest())


def ask_cached(judge: Judge, cache: Cache, seen: Seen, question: str, votes: int, seed: int) -> list[str]:
    """Votes from the cache, the missing ones from the judge. `JudgeError` holds all votes that there are.

    A vote is what was said, without what was thought; where nothing was said there is none.
    """
    key = _digest({"judge": dict(judge.protocol), "frames": seen.digest, "question": question, "seed": seed})
    given = cache.get(key)
    if len(given) >= votes:
        return given[:votes]
    try:
        new, failure = list(judge.ask(seen.frames, question, votes - len(given), seed + len(given))), None
    except JudgeError as error:
        new, failure = error.votes, error
    new = [text for text in map(spoken, new) if text]
    given = given + new
    if new:
        left_out = getattr(judge, "left_out", ())
        cache.put(key, given, left_out, judge=judge.protocol["judge"], question=question)
    if len(given) < votes:
        reason = str(failure or f"the judge gave {len(given)} of {votes} votes")
        raise JudgeError(reason, given, stop=failure is not None and failure.stop)
    return given[:votes]


class Patience:
    """A judge that is asked no more once it has failed so many times in a row, or has said that it is pointless."""

    def __init__(self, judge: Judge, failures: int) -> None:
        self.judge, self.failures = judge, failures
        self.protocol, self.concurrency = judge.protocol, judge.concurrency
        self._in_a_row, self._lost = 0, ""
        self._lock = threading.Lock()

    @property
    def left_out(self) -> Sequence[str]:
        return getattr(self.judge, "left_out", ())

    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> Sequence[str]:
        if self._lost:
            raise JudgeError(self._lost, stop=True)
        try:
            given, failure = self.judge.ask(frames, question, votes, seed), None
        except JudgeError as error:
            given, failure = error.votes, error
        with self._lock:
            self._in_a_row = 0 if given else self._in_a_row + 1
            if failure and (failure.stop or self._in_a_row >= self.failures):
                self._lost = self._lost or f"not asked, since the judge does not answer: {failure}"
        if failure:
            raise failure
        return given


def _submit(
    video: Video, judge: Judge, cache: Cache, settings: Settings, pool: ThreadPoolExecutor
) -> tuple[Answered, list[tuple[dict, Future]]]:
    """Put all questions of a video to the judge -> what will be filled in, and by what."""
    answered = Answered(video)
    try:
        frames = sample_frames(video.path, settings.frames)
    except VideoError as error:
        answered.error = str(error)
        return answered, []
    first, whole = Seen.of(frames[:1]), Seen.of(frames)
    futures = []
    for category, questions in video.item.questions.items():
        answered.questions[category] = [{"question": question, "answer": []} for question in questions]
        for record in answered.questions[category]:
            seen = first if category in FIRST_FRAME else whole
            question = record["question"]
            futures.append(
                (record, pool.submit(ask_cached, judge, cache, seen, question, settings.votes, settings.seed))
            )
    return answered, futures


def _finish(answered: Answered, futures: list[tuple[dict, Future]]) -> Answered:
    """Wait for the votes of a video and write them in."""
    for record, future in futures:
        try:
            record["answer"] = future.result()
        except JudgeError as error:
            record |= {"answer": error.votes, "error": str(error)}
    return answered


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
