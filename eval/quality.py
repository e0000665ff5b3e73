"""Grade a run before anybody reads its numbers: each finding says what is wrong, where, and how bad it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from eval.files import write_json
from eval.metric import ROUNDING, known_card

Severity = Literal["error", "warning", "note"]

MISSING_SHARE = 0.1  # of a metric's videos: more missing values than that is an error
FIRST = 3  # findings of a kind that are shown at once
FEW_PROMPTS = 8  # fewer make an interval rough
FROZEN_SHARE = 0.1  # of the motion of a sound control: less than that is a picture rather than a video


@dataclass(frozen=True)
class Finding:
    severity: Severity
    check: str
    where: str
    sentence: str


def grade(scores: pd.DataFrame, facts: pd.DataFrame) -> list[Finding]:
    """All findings about a suite, the worst first. Nothing found means nothing was found, not that nothing is wrong."""
    found = [finding for check in CHECKS for finding in check(scores, facts)]
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def verdict(findings: list[Finding]) -> str:
    """The worst severity, or "pass"."""
    return next(
        (severity for severity in ("error", "warning") if any(f.severity == severity for f in findings)), "pass"
    )


@dataclass(frozen=True)
class Group:
    """Findings of one kind: how many there are, and the first of them."""

    severity: Severity
    check: str
    count: int
    first: tuple[Finding, ...]


def groups(findings: list[Finding]) -> list[Group]:
    """The findings by severity and kind, in their order: a reader sees how many there are, and what they are like."""
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.check), []).append(finding)
    return [Group(*kind, len(found), tuple(found[:FIRST])) for kind, found in kinds.items()]


def write(findings: list[Finding], path: str | Path) -> None:
    """Write <path> as JSON: {"verdict", "groups", "findings"}."""
    data = {
        "verdict": verdict(findings),
        "groups": [asdict(group) for group in groups(findings)],
        "findings": [asdict(finding) for finding in findings],
    }
    write_json(Path(path), data)


def _missing(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    controls = set(facts.loc[facts["control"].eq(True), "entry"])
    for (base, entry, metric), part in scores.groupby(["base", "entry", "metric"], sort=False):
        lost = part[part["value"].isna()]
        if len(lost):
            reasons = ", ".join(f"{reason} ({count})" for reason, count in lost["reason"].value_counts().items())
            severity = "error" if len(lost) > MISSING_SHARE * len(part) else "warning"
            if entry in controls and len(lost) == len(part) and lost["frames"].all():
                severity = "note"  # its videos are read, and not long enough: the base model's own clip repeats nothing
            sentence = f"{len(lost)} of {len(part)} videos have no value: {reasons}"
            yield Finding(severity, "missing values", f"{base} / {entry} / {metric}", sentence)


def _out_of_range(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    for metric, part in scores.groupby("metric", sort=False):
        if (known := known_card(metric)) is None:
            continue
        outside = part[(part["value"] < known.low - ROUNDING) | (part["value"] > known.high + ROUNDING)]
        if len(outside):
            worst = outside["value"].loc[(outside["value"] - (known.low + known.high) / 2).abs().idxmax()]
            sentence = f"{len(outside)} values outside {known.low} to {known.high}, such as {worst:g}"
            yield Finding("error", "range", metric, sentence)


def _beyond_controls(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    controls = set(facts.loc[facts["control"].eq(True), "entry"])
    means = scores.groupby(["base", "metric", "entry"], sort=False)["value"].mean().dropna()
    for (base, metric), part in means.groupby(["base", "metric"], sort=False):
        known = known_card(metric)
        part = part.droplevel([0, 1])
        bracket = part[part.index.isin(controls)]
        if known is None or not known.ranked or len(bracket) < 2:
            continue
        sign = 1 if known.higher_is_better else -1
        worst, best = (sign * bracket).idxmin(), (sign * bracket).idxmax()
        for entry, value in part[~part.index.isin(controls)].items():
            for control, beyond, word in (
                (worst, sign * value < sign * bracket[worst], "worse than the worst"),
                (best, sign * value > sign * bracket[best] + 1e-9, "better than the best"),
            ):
                if beyond:
                    sentence = (
                        f"{value * known.scale:.{known.digits}f} is {word} control "
                        f"({control}: {bracket[control] * known.scale:.{known.digits}f})"
                    )
                    yield Finding("warning", "controls", f"{base} / {entry} / {metric}", sentence)


def _unequal_videos(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    for base, part in facts.groupby("base", sort=False):
        for name in ("fps", "encoder", "frames", "weights_sha256"):
            part = part[part["origin"].isna() | part[name].notna()]  # of videos of others some of it is unknown
            texts = part[name].map(lambda value: json.dumps(value, sort_keys=True, default=str))
            by_value = part.groupby(texts, sort=False)["entry"].unique()
            if len(by_value) > 1:
                listed = "; ".join(f"{value}: {_some(entries)}" for value, entries in by_value.items())
                only_controls = name == "frames" and part.loc[~part["control"].eq(True), "frames"].nunique() == 1
                yield Finding(
                    "note" if only_controls else "warning", "unequal videos", base, f"{name} differs: {listed}"
                )


def _cut_prompts(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    if "prompt_tokens" not in facts:
        return
    counts = facts["prompt_tokens"].map(
        lambda tokens: [one for one in tokens if one] if isinstance(tokens, list) else []
    )
    cut = facts[counts.map(lambda tokens: any(one["had"] > one["used"] for one in tokens))]
    for base, part in cut.groupby("base", sort=False):
        prompts = part["prompt_id"].unique()
        sentence = (
            f"the text tower reads {len(prompts)} prompt{'s' * (len(prompts) != 1)} in part only: {_some(prompts)}"
        )
        yield Finding("warning", "cut prompts", base, sentence)


def _few_prompts(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    for base, part in scores.groupby("base", sort=False):
        count = part.loc[part["value"].notna()].groupby("metric")["prompt_id"].nunique()
        for prompts, metrics in count.groupby(count):
            if prompts < FEW_PROMPTS:
                severity = "error" if prompts < 2 else "warning"
                sentence = f"{prompts} prompt{'s' * (prompts != 1)} for {_some(metrics.index)}: intervals need more"
                yield Finding(severity, "few prompts", base, sentence)


def _unpaired(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    # a protocol has its own prompts, and not every entry need be scored by each
    for (base, _), part in scores.groupby(["base", "protocol"], sort=False):
        videos = part.groupby("entry", sort=False)[["prompt_id", "seed"]].apply(
            lambda rows: set(map(tuple, rows.values))
        )
        everything = set().union(*videos)
        for entry, own in videos.items():
            if own != everything:
                sentence = f"lacks {len(everything - own)} of the {len(everything)} videos that other entries have"
                yield Finding("warning", "unpaired", f"{base} / {entry}", sentence)


def _mixed(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    # several benchmarks may score one metric, each by its own protocol, as long as entries share one
    for metric, part in scores.groupby("metric", sort=False):
        alike = set.intersection(*part.groupby(["base", "entry"])["protocol"].agg(set))
        several = {"suite": part["suite"].unique(), "protocol": () if alike else part["protocol"].unique()}
        by_protocol = part.groupby("protocol", sort=False)["version"].unique()
        several["version"] = next((versions for versions in by_protocol if len(versions) > 1), ())
        for column, values in several.items():
            if len(values) > 1:
                yield Finding("error", "mixed scores", metric, f"several {column}s: {_some(values)}")


def _frozen(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    means = scores[scores["metric"] == "motion"].groupby(["base", "entry"], sort=False)["value"].mean()
    controls = set(facts.loc[facts["control"].eq(True), "entry"])
    sound = facts.loc[facts["sound"].eq(True), "entry"]
    least = means[means.index.isin(sound, level="entry")].groupby("base").min()
    for (base, entry), value in means.items():
        moves = least.get(base, np.nan)
        if entry not in controls and value < FROZEN_SHARE * moves:
            sentence = f"moves {value / moves:.0%} of what a video that nothing is wrong with does: a picture, nearly"
            yield Finding("warning", "frozen", f"{base} / {entry}", sentence)


def _doubles(scores: pd.DataFrame, facts: pd.DataFrame) -> Iterator[Finding]:
    known = facts[facts["frames_sha256"].notna()]
    for (base, entry), part in known.groupby(["base", "entry"], sort=False):
        same = part[part.duplicated("frames_sha256", keep=False)]
        if len(same):
            sentence = f"{len(same)} videos share their frames with another prompt or seed"
            yield Finding("warning", "doubles", f"{base} / {entry}", sentence)


CHECKS = (
    _missing, _out_of_range, _beyond_controls, _unequal_videos, _few_prompts, _unpaired, _mixed, _frozen, _doubles,
    _cut_prompts,
)  # fmt: skip


def _some(names, limit: int = 6) -> str:
    names = sorted(set(map(str, names)))
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
