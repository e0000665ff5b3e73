"""Replay of the UltraViCo set: far and hidden pairs, attention on given heads, a module, traces."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from baselines.ultravico import METHOD, UltraViCo
from baselines.ultravico.decay import decayed_attention
from miga.engine.attention import Grid, attention
from tests.parity.check import Check, compare
from tests.parity.extrapolation import replay_by_kind, replay_trace, through, transformer
from tests.parity.temporal import Case

VARIANTS = dict(
    released=dict(preset="released"),
    released_keys_not_centred=dict(preset="released", centred=False),
    paper=dict(preset="paper"),
)
RISKS = ("beta", "period", "gamma")


def replay(case: str, folder: Path) -> list[Check]:
    return replay_by_kind(dict(masks=masks, attention=heads, module=module, e2e=trace), case, folder)


def masks(case: Case, folder: Path) -> Iterator[Check]:
    for one in case.settings["cases"]:
        tokens = torch.arange(one["F"] * one["p"])
        for preset in case.settings["presets"]:
            decay = UltraViCo(preset=preset).decay("joint", one["w"])
            for kind, rule in dict(far=decay.far, cut=decay.hidden).items():
                name = "F{F}_p{p}_w{w}".format(**one) + f".{preset}.{kind}"
                if name in case.tensors:
                    yield compare(name, rule(tokens[:, None], tokens, one["p"]), case.tensors[name])


def attend_by(variant: str, settings: dict, window: int):
    """The attention that an array is named after."""
    if variant == "plain":
        return lambda q, k, v, grid: attention(q, k, v)
    preset = variant.removesuffix("_with_beta")
    risks = {name: settings[name] for name in RISKS} if preset != variant else {}
    chosen = VARIANTS[preset] | risks
    decay = UltraViCo(alpha=settings["alpha"], **chosen).decay("joint", window)
    return partial(decayed_attention, decay=decay)


def heads(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    q, k, v = (expected[name].unflatten(2, (settings["F"], settings["p"])) for name in "qkv")
    for name in expected:
        if name.startswith("output."):
            attend = attend_by(name.removeprefix("output."), settings, settings["w"])
            found = attend(q, k, v, Grid(len(q), settings["F"], 1, settings["p"])).flatten(2, 3)
            yield compare(name, found, expected[name], tolerance["output"])


def module(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    network = transformer(folder)
    for name in expected:
        if name.startswith("output."):
            attend = attend_by(name.removeprefix("output."), settings, settings["window"])
            found = through(network, settings, expected["x"], attend)
            yield compare(name, found, expected[name], tolerance["output"])


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings = case.settings
    chosen = {name: settings[name] for name in RISKS if name in settings}
    config = UltraViCo(preset=settings["preset"], window=settings["window"], alpha=settings["alpha"], **chosen)
    yield from replay_trace(METHOD, config, case, folder, settings["window"])
