"""Replay of the FreePCA set: initial noise, fused windows with their components, block, traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from baselines.freenoise.windows import Windows, window_attention
from baselines.freepca import METHOD, FreePCA, share_mean
from baselines.freepca.fusion import agreement, centred, covariance, fuse, fused_attention, most_agreeing, temperature
from miga.engine.attention import Grid, attention
from miga.engine.noise import ReplayNoise
from tests.parity.check import ABSENT, Check, compare
from tests.parity.temporal import (
    Case,
    attention_of,
    block_of,
    heads_of,
    merged,
    replay_by_kind,
    replay_trace,
    run_block,
    through,
)


def replay(case: str, folder: Path) -> list[Check]:
    kinds = dict(noise=noise, attention=module, block=block, e2e=trace)
    return replay_by_kind(kinds, case, folder)


def windows_of(settings: dict) -> Windows:
    return Windows(settings["window"], settings["stride"], weights="flat", tail="drop")


def components_of(settings: dict) -> int:
    """Most components of a window; cases that do not say use the published three."""
    return settings.get("k_max") or max(settings.get("k_per_window", [3]))


def noise(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    base = ReplayNoise(settings["seed"]).stream(expected["base_noise"].shape)
    yield compare("base_noise", base, expected["base_noise"], tolerance)
    latents = share_mean(base.movedim(-3, 0), settings["block"]).movedim(0, -3)
    yield compare("latents", latents.expand(expected["latents"].shape), expected["latents"], tolerance)


def module(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    attn, windows, x = attention_of(settings, expected), windows_of(settings), expected["x"]
    most = components_of(settings)
    grid = Grid(settings["B"], settings["F"], settings["H"], settings["W"])
    q, k, v = heads_of(attn, x)
    factor = temperature(grid.frames, windows.size)
    anchor = attention(q, k, v, scale=factor / settings["dim_head"] ** 0.5)
    index = torch.stack([torch.arange(a, a + windows.size) for a in windows.starts(grid.frames)])
    number = torch.arange(len(index))
    keep = number.clamp(max=most)
    clip = attention(*(y[:, :, index] for y in (q, k, v)))

    def rows(y):
        return rearrange(y, "(b s) heads m w 1 d -> b (s heads) m w d", b=grid.batch)

    own, shared = rows(clip), rows(anchor[:, :, index])
    basis = torch.linalg.eigh(covariance(shared)).eigenvectors
    similarity = agreement(centred(own), centred(shared), basis)
    chosen = basis * most_agreeing(similarity, keep)[:, :, None]
    fused = fuse(own, shared, basis, keep).view_as(clip)
    fused[:, :, 0] = clip[:, :, 0]

    yield compare("window starts", index[:, 0], settings["window_starts"])
    yield compare("components per window", keep, settings["k_per_window"])
    yield compare("lambda", factor, settings["lambda_global"], 1e-6)
    yield compare("global_branch", merged(anchor), expected["global_branch"], tolerance)
    for array, value in (("window_local", clip), ("window_fused", fused)):
        told = re.search(r"j = ([\d,]+)", case.axes.get(array, "") + case.axes.get("window_local", ""))
        picked = [int(j) for j in told[1].split(",")] if told else slice(None)
        yield compare(array, merged(value[:, :, picked]).transpose(0, 1), expected[array], tolerance)
    stored = expected["similarity_sorted"]
    ranked = as_stored(similarity[:, 1:].sort(-1, descending=True).values, stored)
    yield compare("similarity, all but the null direction", ranked[..., :-1], stored[..., :-1], tolerance)
    projector = as_stored((chosen @ chosen.mT)[:, 1:], expected["selected_projector"])
    yield compare("selected_projector", projector, expected["selected_projector"], tolerance)

    on, off = settings["timesteps_gate_on"], settings["timesteps_gate_off"]
    yield compare("gate", [t > gate_of(settings) for t in on + off], [True] * len(on) + [False] * len(off))
    output = through(attn, partial(fused_attention, windows=windows, components=most), x, grid)
    yield compare("output_gate_on", output, expected["output_gate_on"], tolerance)
    output = through(attn, partial(window_attention, windows=windows), x, grid)
    yield compare("output_gate_off", output, expected["output_gate_off"], tolerance)


def as_stored(found: Tensor, stored: Tensor) -> Tensor:
    """(videos, windows, ...) as a case stores it: so, all in one axis, or of the first video only."""
    return found if stored is ABSENT or stored.ndim == found.ndim else found.flatten(0, 1)[: len(stored)]


def gate_of(settings: dict) -> int:
    """The timestep that a fused step must exceed; cases that do not say use the published one."""
    rule = re.search(r"timestep > (\d+)", settings.get("gate", ""))
    return int(rule[1]) if rule else FreePCA().gate_timestep


def block(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    transformer, windows = block_of(settings, expected), windows_of(settings)
    grid = Grid(settings["B"], settings["F"], settings["H"], settings["W"])
    fused = partial(fused_attention, windows=windows, components=components_of(settings))
    plain = partial(window_attention, windows=windows)
    for array in expected:
        if match := re.fullmatch(r"output_t(\d+)", array):
            attend = fused if int(match[1]) > gate_of(settings) else plain
            yield compare(array, run_block(transformer, attend, expected["x"], grid), expected[array], tolerance)


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings = case[0]
    config = FreePCA(
        window=settings["window"],
        stride=settings["stride"],
        tail="drop",
        components=components_of(settings),
        gate_timestep=gate_of(settings),
    )
    yield from replay_trace(METHOD, config, case, folder)
