"""Which metric sees which fault: the same videos without and with it, scored alike.

A metric is two-sided where more is neither better nor worse (motion): its card's direction names what counts as worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from eval.metric import Metric, card, known_card

TABLE = Path(__file__).with_name("faults.csv")  # the matrix of 24 rendered sprites scenes, every fault at full strength
TIE = 1e-9  # a difference of values up to this is none
LARGEST = 10.0  # effect
SURE = 0.85  # share of videos that a metric must put right to see a fault, or wrong to reward it
RESAMPLES = 2000

Verdict = Literal["sees", "blind", "rewards"]


class Effect(NamedTuple):
    """accuracy: share of videos whose faulty copy scores worse, ties half. effect: the mean harm in deviations of the
    scores, > 0 for worse, with its 95 % interval over videos. n: pairs."""

    accuracy: float
    effect: float
    low: float
    high: float
    n: int

    @property
    def verdict(self) -> Verdict:
        """Sees: nearly all faulty copies score worse, and certainly so on average; rewards: better; else blind."""
        if self.accuracy >= SURE and self.low > 0:
            return "sees"
        if self.accuracy <= 1 - SURE and self.high < 0:
            return "rewards"
        return "blind"


def effect(
    original: Sequence[float],
    faulty: Sequence[float],
    higher_is_better: bool,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Effect:
    """Scores of the same videos without and with a fault; needs at least two videos.

    The interval is the percentile bootstrap over videos of the whole ratio.
    """
    pairs = np.array([original, faulty], np.float64)
    count = pairs.shape[1]
    if count < 2:
        raise ValueError(f"{count} pair{'s' * (count != 1)} of videos: an effect needs at least 2")
    harm = (pairs[0] - pairs[1]) * (1 if higher_is_better else -1)
    accuracy = np.where(np.abs(harm) <= TIE, 0.5, harm > 0).mean()
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    low, high = np.quantile(_ratio(harm[drawn], pairs[:, drawn]), (0.025, 0.975))
    return Effect(float(accuracy), float(_ratio(harm, pairs)), float(low), float(high), count)


def matrix(scores: pd.DataFrame, card_of: Callable[[str], Metric] = card, resamples: int = RESAMPLES) -> pd.DataFrame:
    """A row per fault and metric: accuracy, effect, low, high, n, verdict.

    scores: columns fault (empty for the sound video), video, metric, value. Videos without a value on either side do
    not count; where fewer than two are left there is no row.
    """
    sound = scores[scores["fault"] == ""]
    rows = []
    for (fault, metric), part in scores[scores["fault"] != ""].groupby(["fault", "metric"], sort=False):
        pairs = sound[sound["metric"] == metric].merge(part, on="video").dropna(subset=["value_x", "value_y"])
        if len(pairs) > 1:
            found = effect(pairs["value_x"], pairs["value_y"], card_of(metric).higher_is_better, resamples)
            rows.append({"fault": fault, "metric": metric, **found._asdict(), "verdict": found.verdict})
    return pd.DataFrame(rows, columns=["fault", "metric", *Effect._fields, "verdict"])


@lru_cache(maxsize=1)
def recorded() -> pd.DataFrame:
    """The matrix that this project records, as `matrix` returns it: by the sprites networks, on rendered videos."""
    return pd.read_csv(TABLE)


def verdicts(metric: str) -> dict[str, Verdict]:
    """Fault -> what the recorded matrix says of a metric; empty where nobody has tried it.

    A mean of metrics rewards what one of them rewards, and sees what one of them sees.
    """
    table, found, known = recorded(), {}, known_card(metric)
    for part in known.parts if known else ():  # a table may have columns of its own
        for row in table[table["metric"] == part].itertuples():
            if found.get(row.fault, "blind") == "blind" or row.verdict == "rewards":
                found[row.fault] = row.verdict
    return found


def beside_recorded(found: pd.DataFrame) -> pd.DataFrame:
    """A matrix with a column `recorded`: what the recorded one says in each place, empty where it says nothing."""
    known = recorded().rename(columns={"verdict": "recorded"})[["fault", "metric", "recorded"]]
    return found.merge(known, on=["fault", "metric"], how="left")


def write(found: pd.DataFrame, folder: str | Path, name: str = "faults") -> list[Path]:
    """A matrix as <name>.csv, and as <name>.md: accuracy and effect, bold where seen, in italics where rewarded."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.csv", folder / f"{name}.md"]
    found.round(4).to_csv(paths[0], index=False)
    faults = list(dict.fromkeys(found["fault"]))
    lines = [f"| | {' | '.join(faults)} |", "|---" * (len(faults) + 1) + "|"]
    for metric, part in found.groupby("metric", sort=False):
        cells = {row.fault: _cell(row) for row in part.itertuples()}
        lines.append(f"| {card(metric).label} | {' | '.join(cells.get(fault, '–') for fault in faults)} |")
    lines += [
        "",
        "Share of videos that score worse with the fault / mean harm in deviations [95 % interval over videos]; "
        f"{found['n'].min()} to {found['n'].max()} videos.",
    ]
    lines += [
        "",
        "**Sees**: nearly all score worse; *rewards*: nearly all score better; else the metric is blind to it.",
    ]
    if "recorded" in found:
        lines += ["", _agreement(found)]
    paths[1].write_text("\n".join([*lines, ""]), encoding="utf-8")
    return paths


def _agreement(found: pd.DataFrame) -> str:
    """How far a matrix says what the recorded one does."""
    known = found[found["recorded"].notna()]
    same = known["verdict"] == known["recorded"]
    opposite = known[~same & (known["verdict"] != "blind") & (known["recorded"] != "blind")]
    words = ", ".join(f"{row.metric} of {row.fault}" for row in opposite.itertuples()) or "none"
    return (
        f"{same.sum()} of {len(known)} cells say what the recorded matrix says, by which tables set bold. "
        f"The opposite of it: {words}."
    )


def _cell(row) -> str:
    text = f"{row.accuracy:.2f}/{row.effect:.1f} [{row.low:.1f}, {row.high:.1f}]".replace("-", "−")
    mark = {"sees": "**", "rewards": "*", "blind": ""}[row.verdict]
    return f"{mark}{text}{mark}"


def _ratio(harm: Float[np.ndarray, "... n"], pairs: Float[np.ndarray, "2 ... n"]) -> np.ndarray:
    """Mean harm in pooled deviations of both sides, clipped; 0 where there is no harm."""
    mean = harm.mean(-1)
    spread = np.sqrt(pairs.var(-1, ddof=1).mean(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.abs(mean) <= TIE, 0.0, mean / spread)
    return np.clip(ratio, -LARGEST, LARGEST)
