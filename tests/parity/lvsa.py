"""Replay of the LVSA set: key frames, patterns, a module, traces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from baselines.lvsa import LVSA, METHOD
from baselines.lvsa.pattern import attended, global_frames, key_frame_interval, shrunk, spans, sparse_attention
from miga.engine.attention import attention
from tests.parity.check import Check, compare, compare_lists
from tests.parity.extrapolation import replay_by_kind, replay_trace, through, transformer
from tests.parity.temporal import Case


def replay(case: str, folder: Path) -> list[Check]:
    return replay_by_kind(dict(key_frames=key_frames, patterns=patterns, module=module, e2e=trace), case, folder)


def key_frames(case: Case, folder: Path) -> Iterator[Check]:
    for row in case.settings["rows"]:
        frames, window, first = row["T"], row["W"], row["n_first"]
        name = f"T {frames}, W {window}, first {first}, {row['reference']}, {row['sparsity_scale']}"
        interval = key_frame_interval(frames, window, first, row["reference"], row["sparsity_scale"])
        everywhere = global_frames(frames, first, interval)
        sizes = [len(keys) for keys in attended(frames, window, everywhere)]
        yield compare(f"{name}: interval", interval, row["key_frame_interval"])
        yield compare(f"{name}: globals", everywhere, row["globals_at_offset_0"])
        if "attended_min" in row:
            yield compare(f"{name}: sizes", [min(sizes), max(sizes)], [row["attended_min"], row["attended_max"]])
    for row in case.settings.get("install", []):
        frames, reference = row["T"], row["reference"]
        window, first = shrunk(frames, row["window_px"] // 4, row["first_px"] // 4, reference)
        found = [window, first, key_frame_interval(frames, window, first, reference)]
        wanted = [row[name] for name in ("window_in_use", "n_first_in_use", "key_frame_interval")]
        yield compare(f"T {frames} of {reference}: window, first, interval", found, wanted)


def patterns(case: Case, folder: Path) -> Iterator[Check]:
    for one in case.settings["cases"]:
        frames, window, first = one["T"], one["W"], one["n_first"]
        interval = key_frame_interval(frames, window, first, one["ref"], one["scale"])
        yield compare(f"{one['name']}: interval", interval, one["key_frame_interval"])
        for pattern in one["patterns"]:
            name = f"{one['name']}, rotation {pattern['rotation']}"
            everywhere = global_frames(frames, first, interval, pattern["rotation"] % interval)
            yield compare(f"{name}: offset", pattern["rotation"] % interval, pattern["offset"])
            yield compare(f"{name}: globals", everywhere, pattern["globals"])
            if window:
                yield compare(f"{name}: bounds", spans(frames, window, everywhere), pattern["bounds"])
            found = attended(frames, window, everywhere)
            yield compare_lists(f"{name}: attended", found, pattern["attended"])


def module(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    network, facts = transformer(folder), dict(window=settings["W"], first=settings["n_first"])
    interval = key_frame_interval(settings["T"], *facts.values(), settings["ref"], settings["scale"])
    yield compare("interval", interval, settings["key_frame_interval"])
    for name in expected:
        if name.startswith("output."):
            kind = name.removeprefix("output.")
            attend = lambda q, k, v, grid: attention(q, k, v)  # noqa: E731
            if kind != "plain":
                offset = int(kind.removeprefix("rotation")) % interval
                attend = partial(sparse_attention, **facts, interval=interval, offset=offset)
            found = through(network, settings, expected["x"], attend)
            yield compare(name, found, expected[name], tolerance["output"])


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings = case.settings
    config = LVSA(
        window=settings["window"],
        first=settings["n_first"],
        reference=settings["ref"],
        sparsity_scale=settings["scale"],
    )
    window, first = shrunk(settings["T"], config.window, config.first, config.reference)
    interval = key_frame_interval(settings["T"], window, first, config.reference, config.sparsity_scale)
    used = [settings["window_in_use"], settings["n_first_in_use"], settings["key_frame_interval"]]
    yield compare("window, first, interval", [window, first, interval], used)
    for row in settings.get("per_step", []):
        offset = config.shift(row["step"], interval)
        yield compare(f"step {row['step']}: offset", offset, row["offset"])
        everywhere = global_frames(settings["T"], first, interval, offset)
        yield compare(f"step {row['step']}: globals", everywhere, row["globals"])
    yield from replay_trace(METHOD, config, case, folder, settings["ref"])
