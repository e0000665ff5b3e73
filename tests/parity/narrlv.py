"""The set `narrlv`: the released metric on answers in the released layout. A case is a suite."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from eval.narrlv.metric import Scores, score_folder, score_suite
from eval.narrlv.suite import read_json
from tests.parity.check import Check, compare

TOLERANCE = 1e-12


def cases(folder: Path) -> list[str]:
    """Suites with recorded scores, and answers of which nobody recorded any (they fail rather than hide)."""
    return sorted({*read_json(folder / "released_metric.json"), *(path.stem for path in folder.glob("answers/*.json"))})


def replay(case: str, folder: Path) -> Iterator[Check]:
    expected = read_json(folder / "released_metric.json")[case]
    actual = score_suite(_scores(folder)[case])
    for quantity, value in expected.items():
        yield compare(quantity, actual[quantity], value, TOLERANCE)


@cache
def _scores(folder: Path) -> dict[str, dict[str, Scores]]:
    return score_folder(folder, "released")
