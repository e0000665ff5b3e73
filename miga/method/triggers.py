"""When self-reflection searches: at every fall of the score as published, or as often as a budget of passes allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar, NamedTuple

import numpy as np

from miga.engine.base_model import BaseModel
from miga.engine.checkpoint import Part


class Verdict(NamedTuple):
    """Whether to search, the score that was expected, and what the trace is told besides."""

    search: bool
    expected: float | None
    facts: dict[str, Any]


class Round(NamedTuple):
    """Part of a search: so many candidates take so many steps side by side."""

    steps: int
    candidates: int


@dataclass
class Fall(Part):
    """As published: search where the score has fallen by more than `delta` since the last one.

    All candidates are denoised to the end. After an adoption the last score is that of the best candidate. Source:
    funcs.py:363-476 of the release.
    """

    saved: ClassVar = ("previous",)

    delta: float
    previous: float | None = field(default=None, init=False)

    def rounds(self, candidates: int, age: int) -> list[Round]:
        return [Round(age, candidates)]

    def ask(self, score: float, price: int, left: int | None) -> Verdict | None:
        expected, self.previous = self.previous, score
        return Verdict(expected is not None and expected - score > self.delta, expected, {})

    def adopted(self, score: float) -> None:
        self.previous = score


@dataclass
class Budget(Part):
    """Ours: so many extra passes of the denoiser as a share of all others, spent on the chunks that fall furthest.

    A score is compared with the median of the recent ones, each of a chunk as it came, never of a candidate. The fall
    that triggers follows from the run: of the falls seen so far, the share that the budget can pay for is above it.
    What the budget has earned is spent before it lapses, so a video costs the same whatever its scores are: a search is
    made at the latest when a second one could be paid for, or when no chunks are left to choose from. Half of the
    candidates go after half of the steps that remain (successive halving, arXiv 1502.07943).

    share: extra passes per pass of everything else.
    model: whose calls are counted.
    """

    saved: ClassVar = ("scores", "falls", "earned", "judged", "spent", "before")
    MEMORY: ClassVar[int] = 32  # judgements that the median and the falls are of

    share: float
    model: BaseModel
    scores: list[float] = field(default_factory=list, init=False)
    falls: list[float] = field(default_factory=list, init=False)
    earned: int = field(default=0, init=False)  # passes of everything else
    judged: int = field(default=0, init=False)
    spent: int = field(default=0, init=False)
    before: int = field(default=0, init=False)  # earned at the last judgement

    def __post_init__(self) -> None:
        self.seen = self.model.calls

    def state(self) -> dict[str, Any]:
        self.count()
        return super().state()

    def count(self) -> None:
        self.earned, self.seen = self.earned + self.model.calls - self.seen, self.model.calls

    def rounds(self, candidates: int, age: int) -> list[Round]:
        found = []
        while age:
            steps = -(-age // 2) if candidates > 1 else age
            found.append(Round(steps, candidates))
            candidates, age = -(-candidates // 2), age - steps
        return found

    def ask(self, score: float, price: int, left: int | None) -> Verdict | None:
        """Whether to search, at so many passes; None where the chunk is not judged.

        `left` is how many chunks will be seen from this one on; None: there is no end.
        """
        self.count()
        if left is not None and left < 1:
            return None
        self.judged += 1
        gain, self.before = self.earned - self.before, self.earned
        funds = self.share * self.earned - self.spent
        coming = self.share * gain * ((left or 1) - 1)  # until the last chunk is judged
        lapsing = funds >= 2 * price or (left is not None and funds + coming >= left * price)
        expected = median(self.scores) if self.scores else None
        threshold = self.threshold(price)
        falls = threshold is not None and expected - score > threshold
        decision = "saves" if funds < price else "lapsing" if lapsing else "falls" if falls else "stays"
        if expected is not None:
            self.falls = [*self.falls, expected - score][-self.MEMORY :]
        self.scores = [*self.scores, score][-self.MEMORY :]
        search = decision in ("lapsing", "falls")
        self.spent += price * search
        self.earned -= price * search  # the search is counted with the rest, and earns nothing
        left_over = round(funds - price * search, 1)
        return Verdict(search, expected, dict(threshold=threshold, budget_left=left_over, decision=decision))

    def threshold(self, price: int) -> float | None:
        """The fall above which lies the share of those seen so far that the budget can pay a search for."""
        affordable = min(self.share * self.earned / self.judged / price, 1)
        return float(np.quantile(self.falls, 1 - affordable)) if self.falls else None

    def adopted(self, score: float) -> None:
        """The next chunk is compared with chunks as they came, not with this one."""
