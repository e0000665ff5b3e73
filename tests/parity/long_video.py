"""Replays the set long_video: repetition, lag curve, first and last seconds, ground truth, faults and their effects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from eval import drift, lags, repetition
from eval.degrade import FAULTS, degrade
from eval.sensitivity import effect
from eval.statistics import kaplan_meier
from miga.sprites import truth, world
from miga.sprites.reader import HEADS, Reading
from tests.parity.check import Check, Stored, compare


def replay(case: str, folder: Path) -> Iterator[Check]:
    kind = next((kind for kind in KINDS if case.startswith(kind)), None)
    if kind is None:
        raise ValueError(f"no replay for a case like {case!r}: known are {', '.join(KINDS)}")
    arrays = Stored(load_file(folder / f"{case}.safetensors"))
    yield from KINDS[kind](json.loads((folder / f"{case}.json").read_text()), arrays)
    yield from arrays.unread()


def _repetition(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        name, window = case["frames"], case["window"]
        seen = repetition.thumbnails(torch.from_numpy(arrays[name])).numpy()
        if "thumbnails" in case:
            yield compare(f"{name} thumbnails", repetition.equal_gain(seen), arrays[case["thumbnails"]], 1e-6)
        short = len(seen) < 2 * window
        if case.get("undefined") or short:
            yield compare(f"{name} undefined", short, bool(case.get("undefined")))
            continue
        found = repetition.repetition(seen, window)
        again = repetition.rerun(seen, window)
        yield compare(f"{name} repetition", found.value, case["repetition"], 1e-6)
        yield compare(f"{name} lag", found.lag, case["lag"])
        yield compare(f"{name} curve", found.curve, arrays[case["curve"]], 1e-6)
        yield compare(f"{name} rerun", again.mean(), case["rerun"], 1e-6)
        yield compare(f"{name} rerun series", again, arrays[case["rerun_series"]], 1e-6)


def _lag_curve(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        name = case["features"]
        features = torch.from_numpy(arrays[name])
        for kind, wanted in (("powers", lags.powers(len(features))), ("issue_206", lags.ISSUE_206)):
            found = lags.lag_curve(features, wanted)
            yield compare(f"{name} {kind}: lags", list(found), [int(k) for k in case[kind]])
            yield compare(f"{name} {kind}", list(found.values()), list(case[kind].values()), 1e-6)
            mean = np.mean(list(found.values())) if found else np.nan
            expected = case[f"{kind}_mean"]
            yield compare(f"{name} {kind}: mean", mean, np.nan if expected is None else expected, 1e-6)


def _seconds(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        found = drift.first_last_5s(arrays[case["series"]], case["fps"])
        yield _same(f"{case['series']} first minus last", found, case["first_minus_last"], 1e-6)


def _ground_truth(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        i = case["index"]
        read = {name: arrays[f"{name}_{i}"] for name in (*HEADS, "x", "y")}
        reading = Reading(**read, confidence=np.ones(len(read["x"])))
        asked = world.Scene(motion=case["motion"], **{name: HEADS[name][k] for name, k in case["asked"].items()})
        alive = truth.alive(reading, asked)
        windows = truth.motion_fidelity(reading.x, reading.y, case["motion"])
        yield compare(
            f"{i} prompt fidelity", truth.prompt_fidelity(reading, asked).mean(), case["prompt_fidelity"], 1e-9
        )
        for name, shown in truth.agreement(reading, asked).items():
            yield compare(f"{i} {name}", shown.mean(), case["attributes"][name], 1e-9)
        yield _same(f"{i} death", truth.death(alive), case["death"])
        yield compare(f"{i} identity", truth.lifetime(alive), case["identity"], 1e-9)
        yield compare(f"{i} kept", truth.lifetime(truth.kept(reading)), case["kept"], 1e-9)
        mean = windows.mean() if len(windows) else None
        yield _same(f"{i} motion fidelity", mean, case["motion_fidelity"], 1e-9)
        yield compare(f"{i} motion windows", windows, case["motion_windows"] or [], 1e-9)
        found = truth.starts_right(reading.x, reading.y, case["motion"])
        yield _same(f"{i} starts right", found, case["starts_right"])
    for i, case in enumerate(facts.get("kaplan_meier", ())):
        yield compare(f"survival {i}", kaplan_meier(case["deaths"], case["lengths"]), case["curve"], 1e-9)
    if "counts" in facts:
        yield compare("counts", truth.subjects(arrays["count_frames"]), facts["counts"])
        palette = facts["count_palette"]
        yield compare("subject colours", list(world.COLOURS.values()), palette["subjects"])
        yield compare("backgrounds", np.reshape(list(world.BACKGROUNDS.values()), (-1, 3)), palette["backgrounds"])


def _faults(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        rule = FAULTS[case["fault"]]
        other = arrays["other"] if rule.splice else None
        found = degrade(arrays["frames"], case["fault"], case["strength"], facts["seed"], other)
        yield compare(case["result"], found, arrays[case["result"]], 1 if rule.picture else 0)
    for i, case in enumerate(facts.get("effects", ())):
        found = effect(case["original"], case["faulty"], case["higher_is_better"])
        yield compare(f"effect {i}: accuracy", found.accuracy, case["accuracy"], 1e-9)
        yield compare(f"effect {i}", found.effect, case["effect"], 1e-9)


def _same(quantity: str, found, expected, tolerance: float = 0.0) -> Check:
    """Two numbers, or two Nones."""
    return compare(quantity, *(np.nan if value is None else value for value in (found, expected)), tolerance)


KINDS = {
    "repetition": _repetition, "lag_curve": _lag_curve, "first_last_seconds": _seconds,
    "ground_truth": _ground_truth, "faults": _faults,
}  # fmt: skip
