"""One compared quantity of a golden case."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

NOT_STORED = "not stored"


@dataclass(frozen=True)
class Check:
    quantity: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance  # nan is not

    @property
    def verdict(self) -> str:
        return ("PASS" if self.passed else "FAIL") + (f"  {self.note}" if self.note else "")

    @classmethod
    def failed(cls, reason: str) -> Check:
        return cls("-", math.nan, 0.0, reason)


class Absent:
    """An array that a case does not hold: whatever is made of it, by torch and numpy too, is absent, and nothing is
    compared with it. What is stored and would have to be compared with it is a failure."""

    __array_priority__ = 1000

    def __getattr__(self, name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args, **options) -> Absent:
        return self

    def __iter__(self) -> Iterator:
        return iter(())

    def __len__(self) -> int:
        return 0

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None) -> Absent:
        return ABSENT

    def __array_ufunc__(self, *args, **options) -> Absent:
        return ABSENT

    def __array_function__(self, *args) -> Absent:
        return ABSENT

    __getitem__ = __add__ = __sub__ = __mul__ = __truediv__ = __matmul__ = __pow__ = __ne__ = __gt__ = __lt__ = __call__
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rmatmul__ = __neg__ = __call__
    __hash__ = object.__hash__


ABSENT = Absent()


def compare(quantity: str, actual, expected, tolerance: float | Mapping[str, float] = 0.0) -> Check:
    """Max absolute error; nan equals nan, another shape is a failure. What is `ABSENT` is no failure and no check.

    tolerance: of this quantity, or by name; where none has its name the least of them holds.
    """
    if isinstance(tolerance, Mapping):
        tolerance = tolerance.get(quantity, tolerance.get(quantity.rsplit(".")[-1], min(tolerance.values())))
    if expected is ABSENT:
        return Check(quantity, 0.0, 0.0, NOT_STORED)
    if actual is ABSENT:
        return Check(quantity, math.nan, 0.0, "what it follows from is not stored")
    a, b = (np.asarray(x.detach().double() if torch.is_tensor(x) else x, dtype=np.float64) for x in (actual, expected))
    if a.shape != b.shape:
        return Check(quantity, math.nan, tolerance, f"shape {a.shape} instead of {b.shape}")
    if not a.size:
        return Check(quantity, 0.0, tolerance, "empty on both sides")
    with np.errstate(invalid="ignore"):
        error = np.where((np.isnan(a) & np.isnan(b)) | (a == b), 0.0, np.abs(a - b))
    return Check(quantity, float(np.max(error)), tolerance)


def compare_lists(quantity: str, actual: Sequence[Sequence], expected: Sequence[Sequence]) -> Check:
    """Lists of lists of numbers: equal lengths, equal entries."""
    lengths = compare(quantity, *([len(row) for row in rows] for rows in (actual, expected)))
    return compare(quantity, *([*chain(*rows)] for rows in (actual, expected))) if lengths.passed else lengths


class Stored(dict):
    """The arrays of a case by name; `ABSENT` where it holds none.

    Knows which of them nobody has looked at: those are failures, not silence.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        super().__init__(arrays)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name) if name in self else ABSENT

    def rows(self, index: str, *names: str) -> Iterator[tuple]:
        """Rows of arrays beside the numbers of an index; none where one of them is not stored: then what is stored of
        the others stays unread."""
        numbers = self[index]
        if numbers is ABSENT or not self.keys() >= set(names):
            return iter(())
        return zip(numbers.tolist(), *(self[name] for name in names), strict=True)

    def unread(self) -> Iterator[Check]:
        for name in self.keys() - self.read:
            yield Check(name, math.nan, 0.0, "nothing was compared with it")
