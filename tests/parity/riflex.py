"""Replay of the RIFLEx set: the intrinsic component, tables, an attention, traces."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi
from pathlib import Path

import torch
from torch import Tensor

from baselines.riflex import COMPONENTS, METHOD, RIFLEx, frequencies, identify, slowed
from miga.engine.attention import time_frequencies, time_frequency, time_tables
from tests.parity.check import Check, compare
from tests.parity.extrapolation import replay_by_kind, replay_trace, through, transformer
from tests.parity.temporal import Case


def replay(case: str, folder: Path) -> list[Check]:
    return replay_by_kind(dict(identify=intrinsic, tables=tables, attention=module, e2e=trace), case, folder)


def intrinsic(case: Case, folder: Path) -> Iterator[Check]:
    for pair in case.settings["pairs"]:
        theta = frequencies(pair["dim"], pair["theta"])
        k = identify(theta, pair["N"])
        found = [k, round(2 * pi / float(theta[k - 1]))]
        yield compare("{theta} {dim} {N}: k, period".format(**pair), found, [pair["k"], pair["period"]])
    for pair in case.settings.get("lvsa_pairs", []):
        k = identify(frequencies(pair["dim"]), pair["L"], whole=False)
        yield compare("{dim} {L}: k".format(**pair), k - 1, pair["k_zero_based"])


def changed(theta: Tensor, frames: int, k: int, **config) -> Tensor:
    """The frequencies after the change."""
    component, frequency = slowed(RIFLEx(k=k, **config), theta, frames, window=21)
    return torch.where(torch.arange(len(theta)) == component - 1, frequency, theta)


def tables(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    base = settings["theta"]
    for one in settings["cases"]:
        name, theta = one["name"], changed(frequencies(one["dim"], base), one["F"], one["k"])
        angles = torch.arange(one["F"], dtype=torch.float64)[:, None] * theta
        yield compare(f"{name}.frequency", theta, expected[f"{name}.frequency"], tolerance["frequency_float64"])
        found = dict(cos=angles.cos(), sin=angles.sin(), thu_cos=angles.cos().repeat_interleave(2, 1))
        for kind, values in found.items():
            if (key := f"{name}.{kind}") in expected:
                limit = tolerance["thu_float32" if kind == "thu_cos" else "cos_sin_float32"]
                yield compare(key, values, expected[key], limit)
    if "freeloc.frequency" in expected:
        theta = changed(frequencies(2 * COMPONENTS, base), 41, None, preset="freeloc")
        yield compare("freeloc.frequency", theta, expected["freeloc.frequency"], tolerance["frequency_float64"])
    for one in settings.get("lvsa", []):
        frames, channels = round(one["s"] * one["training_length"]), one["t_dim"]
        theta = changed(frequencies(channels, base), frames, one["k"] + 1, preset="lvsa")
        wanted = expected[f"{one['name']}.cos"]
        cos = (torch.arange(len(wanted), dtype=torch.float64)[:, None] * theta).cos().repeat_interleave(2, 1)
        yield compare(f"{one['name']}.cos", cos, wanted, tolerance["cos_sin_float32"])


def module(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    network, x = transformer(folder), expected["x"]
    before = [table.clone() for table in time_tables(network)]
    component, frequency = slowed(config_of(settings), time_frequencies(network), settings["F"], settings["F"])
    with time_frequency(network, component - 1, frequency):
        yield compare("output", through(network, settings, x, None), expected["output"], tolerance["output"])
    if "output_plain" in expected:
        plain = through(network, settings, x, None)
        yield compare("output_plain", plain, expected["output_plain"], tolerance["output"])
    yield compare("tables afterwards", torch.stack(time_tables(network)), torch.stack(before))


def config_of(settings: dict) -> RIFLEx:
    """The variant `wrapper`, for a given number of latent frames."""
    return RIFLEx(k=settings["k"], length=settings["L_test"])


def trace(case: Case, folder: Path) -> Iterator[Check]:
    yield from replay_trace(METHOD, config_of(case.settings), case, folder, window=case.settings["F"])
