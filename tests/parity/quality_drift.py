"""Replays the set quality_drift: Helios' first-last differences and LV-Bench's VDE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from eval import drift
from tests.parity.check import Check, Stored, compare


def replay(case: str, folder: Path) -> Iterator[Check]:
    facts = json.loads((folder / f"{case}.json").read_text())
    arrays = Stored(load_file(folder / f"{case}.safetensors"))
    yield from {"helios": _helios, "vde": _vde}[case.split("_")[0]](facts, arrays)
    yield from arrays.unread()


def _helios(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        frames, series = case["frames"], arrays[case["series"]]
        first, last = drift.portions(frames)
        found = {
            "drift": drift.first_last_15(series),
            "start": series[slice(*first)].mean(dtype=np.float64),
            "end": series[slice(*last)].mean(dtype=np.float64),
            "motion_smoothness_portions": drift.portions(frames, 4),
            "semantic_frames": drift.semantic_frames(frames),
            "naturalness_frames": drift.naturalness_frames(frames),
        }
        for name in found.keys() & case.keys():
            limit = 1e-6 if name in ("drift", "start", "end") else 0
            yield compare(f"{frames} frames: {name}", found[name], case[name], limit)


def _vde(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts.get("cases", []):
        values = arrays[case["values"]]
        for name, rule in (("linear", drift.vde_linear), ("log", drift.vde_log)):
            if name in case:
                scale = max(1.0, abs(case[name])) if np.isfinite(case[name]) else 1.0
                yield compare(f"{case['values']} {name}", rule(values), case[name], 1e-5 * scale)
    for case in facts.get("chunking", []):
        yield compare(f"chunks of {case['frames']}", drift.chunks(case["frames"]), case["chunks"])
