"""Replay of the sliding window set: windows of every schedule, weights, averages, traces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from baselines.sliding_window import METHOD, SlidingWindow
from baselines.sliding_window.windows import average, weight, windows
from tests.parity.check import Check, compare, compare_lists
from tests.parity.extrapolation import replay_by_kind, replay_trace
from tests.parity.temporal import Case

PLACES = dict(first=0, middle=1, last=2)  # of a window among three


def replay(case: str, folder: Path) -> list[Check]:
    return replay_by_kind(dict(windows=schedules, weights=weights, fuse=fuse, e2e=trace), case, folder)


def schedule_of(name: str) -> str:
    """ComfyUI calls them standard_static, standard_uniform, batched."""
    return name.removeprefix("standard_")


def weights_of(name: str) -> str:
    return name.replace("-", "_")


def frame_lists(stored: list[list[int]]) -> list[list[int]]:
    """Windows as lists of frames: stored so, or as [start, end)."""
    return [[*range(*window)] if len(window) == 2 else window for window in stored]


def schedules(case: Case, folder: Path) -> Iterator[Check]:
    for row in case.settings["rows"]:
        schedule = schedule_of(row["schedule"])
        facts = {name: row[name] for name in ("step", "stride") if name in row}
        found = windows(schedule, row["F"], row["length"], row.get("overlap", 0), **facts)
        wanted = row.get("windows_as_frame_lists") or frame_lists(row["windows"])
        name = " ".join(f"{key} {value}" for key, value in row.items() if not isinstance(value, list))
        yield compare_lists(name, found, wanted)


def weights(case: Case, folder: Path) -> Iterator[Check]:
    _, expected, tolerance, _ = case
    for name in expected:
        sizes, kind, *place = name.split(".")
        length, overlap = (int(part[1:]) for part in sizes.split("_"))
        start, frames = PLACES[place[0] if place else "middle"] * length, 3 * length
        window, lowest = [*range(start, start + length)], 0.0 if kind == "wrapper-linear" else 1e-37
        found = weight(weights_of(kind.replace("wrapper", "overlap")), window, frames, overlap, lowest)
        yield compare(name, found, expected[name], tolerance["weights"])


def fuse(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    frames, length, overlap = (settings[name] for name in ("F", "length", "overlap"))
    facts = {name: settings[name] for name in ("step", "stride") if name in settings}
    found = windows(schedule_of(settings["schedule"]), frames, length, overlap, **facts)
    yield compare_lists("windows", found, frame_lists(settings["windows"]))
    predictions = [one.movedim(2, 0) for one in expected["predictions"]]
    for name in expected:
        if name.startswith("fused."):
            fused = average(predictions, found, frames, weights_of(name.removeprefix("fused.")), overlap)
            yield compare(name, fused.movedim(0, 2), expected[name], tolerance["fused"])


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings = case.settings
    schedule, kind = schedule_of(settings["schedule"]), weights_of(settings["fuse"])
    frames, length, overlap = (settings[name] for name in ("F", "length", "overlap"))
    stride = settings.get("stride", 1)
    plans = [windows(schedule, frames, length, overlap, step, stride) for step in range(settings["steps"])]
    if "windows_per_step" in settings:
        for step, (found, wanted) in enumerate(zip(plans, settings["windows_per_step"], strict=True)):
            yield compare_lists(f"windows of step {step}", found, frame_lists(wanted))

    def joined(calls: list[Tensor]) -> list[Tensor]:
        calls = iter(calls)
        return [average([next(calls) for _ in found], found, frames, kind, overlap) for found in plans]

    config = SlidingWindow(window=length, overlap=overlap, schedule=schedule, weights=kind, stride=stride)
    yield from replay_trace(METHOD, config, case, folder, length, joined)
