"""Replays the set vbench_long: clips, their lengths, and the aggregates with and without clip-to-clip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np

from eval.vbench import long
from tests.parity.check import Check, compare

LIMIT = 1e-12
KNOWN = {"source", "clips", "zero_seconds", "durations", "fusion", "reorganise", "mapping"}


def replay(case: str, folder: Path) -> Iterator[Check]:
    facts = json.loads((folder / f"{case}.json").read_text())
    for name in facts.keys() - KNOWN:
        yield Check(name, np.nan, 0.0, "nothing was compared with it")
    for one in facts.get("clips", ()):
        name = f"{one['frames']} frames, {one['fps']} fps, {one['seconds']} s"
        yield compare(name, long.spans(one["frames"], one["fps"], one["seconds"]), one["clips"])
    if "zero_seconds" in facts:
        yield compare("no seconds are refused", _refused(), True)
    for one in facts.get("durations", ()):
        found = long.seconds(one["dimensions"])
        yield compare(f"seconds of {one['dimensions']}", _number(found), _number(one["seconds"]))
    for part, table in facts.get("mapping", {}).items():
        yield compare(f"mapping {part}", [long.mapped(float(k), part) for k in table], list(table.values()), LIMIT)
    for one in facts.get("fusion", ()):
        yield from _fusion(one)
    for one in facts.get("reorganise", ()):
        yield from _reorganise(one)


def _refused() -> bool:
    try:
        long.spans(48, 8, 0)
    except ValueError:
        return True
    return False


def _fusion(case: dict) -> Iterator[Check]:
    part = case["dimension"].removesuffix("_consistency")
    name = f"{part} of {len(case['in_clip'])} clips"
    between = {PurePath(item["video_path"]).stem: item["video_results"] for item in case["clip_to_clip"]}
    clips = [(PurePath(item["video_path"]).parent.name, item["video_results"]) for item in case["in_clip"]]
    values = [value for _, value in clips]
    other = [between.get(video, 0.0) for video, _ in clips]
    both = [long.fused(value, score, part) for value, score in zip(values, other, strict=True)]
    yield from _against(f"{name}, in-clip", values, case["reorganised"])
    for kind, found in (("dev_flag", both), ("default", values)):
        if kind in case["fused"]:
            wanted = case["fused"][kind]
            yield from _against(f"{name}, {kind}", found, wanted)
            scores = [item["mapped_clip2clip_score"] for item in wanted["items"]]
            yield compare(f"{name}, {kind}: mapped", [long.mapped(score, part) for score in other], scores, LIMIT)


def _against(name: str, values: list[float], wanted: dict) -> Iterator[Check]:
    yield compare(name, values, [item["video_results"] for item in wanted["items"]], LIMIT)
    yield compare(f"{name}: aggregate", np.mean(values), wanted["aggregate"], LIMIT)


def _reorganise(case: dict) -> Iterator[Check]:
    """The package's grouping: every clip is its own group, but for filtered clips of flickering, grouped by video."""
    name = f"reorganised {case['dimension']}"
    groups: dict[str, list[float]] = {}
    for item in case["items"]:
        path = PurePath(item["video_path"])
        key = path.stem.rsplit("_", 1)[0] if "filtered_clips" in path.parts else str(path)
        groups.setdefault(key, []).append(item["video_results"])
    wanted = [item["video_results"] for item in case["averages"] if "video_results" in item]
    yield compare(f"{name}: groups", [np.mean(group) for group in groups.values()], wanted, LIMIT)
    for count in (item["long_video_cnt"] for item in case["averages"] if "long_video_cnt" in item):
        yield compare(f"{name}: videos", len(groups), count)
    scale = 100 if case["dimension"] == "imaging_quality" else 1
    means = [np.mean(group) for group in groups.values()]
    yield compare(f"{name}: aggregate", np.mean(means) / scale, case["aggregate"], LIMIT)


def _number(value: float | None) -> float:
    return np.nan if value is None else value
