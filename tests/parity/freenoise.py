"""Replay of the FreeNoise set: initial noise, windowed attention, block, per-frame prompts, traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from baselines.freenoise import METHOD, FreeNoise, frame_order
from baselines.freenoise.prompts import interpolated
from baselines.freenoise.windows import Windows, window_attention
from miga.engine.attention import Grid, attention
from miga.engine.noise import ReplayNoise
from tests.parity.check import Check, compare
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
    kinds = dict(noise=noise, attention=module, block=block, multi_prompt=context, e2e=trace)
    return replay_by_kind(kinds, case, folder)


def windows_of(settings: dict) -> Windows:
    return Windows(settings["window"], settings["stride"], tail="drop")


def noise(case: Case, folder: Path) -> Iterator[Check]:
    """Also FreeLong's cases, whose noise is this one."""
    settings, expected, tolerance, _ = case
    source = ReplayNoise(settings["seed"])
    base = source.stream(expected["base_noise"].shape)
    order = frame_order(settings["F"], settings["window"], settings["stride"], source)
    yield compare("base_noise", base, expected["base_noise"], tolerance)
    if "source_frame" in expected:
        yield compare("source_frame", order, expected["source_frame"])
    for name in [name for name in expected if name.startswith("latents")]:
        latents = base.movedim(-3, 0)[order].movedim(0, -3).to(expected[name].dtype)
        yield compare(name, latents.expand(expected[name].shape), expected[name], tolerance)


def module(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    attn, windows, x = attention_of(settings, expected), windows_of(settings), expected["x"]
    grid = Grid(1, settings["F"], 1, len(x))
    q, k, v = heads_of(attn, x)
    local = torch.empty(len(windows.starts(settings["F"])), len(x), windows.size, x.shape[-1])
    total = torch.zeros(settings["F"])
    for tile in windows.tiles(settings["F"]):
        clips = merged(attention(*(y[:, :, tile.frames] for y in (q, k, v))))
        local[tile.number] = clips.transpose(0, 1)
        total[tile.frames] += windows.weight(windows.size)
    yield compare("windows", [[a, a + windows.size] for a in windows.starts(settings["F"])], settings["windows"])
    yield compare("window_weights", windows.weight(windows.size), expected["window_weights"])
    yield compare("weight_sum", total, expected["weight_sum"])
    yield compare("window_local", local, expected["window_local"], tolerance)
    attend = partial(window_attention, windows=windows)
    yield compare("output", through(attn, attend, x, grid), expected["output"], tolerance)
    plain = through(attn, lambda q, k, v, grid: attention(q, k, v), x, grid)
    yield compare("output_plain_full_attention", plain, expected["output_plain_full_attention"], tolerance)


def block(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    attend = partial(window_attention, windows=windows_of(settings))
    grid = Grid(1, settings["F"], 1, len(expected["x"]))
    output = run_block(block_of(settings, expected), attend, expected["x"], grid)
    yield compare("output", output, expected["output"], tolerance)


def context(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    first, second = expected["prompt_embeddings"]
    yield from contexts(first, second, settings["F"], expected["context"], tolerance)


def contexts(first, second, frames, expected, tolerance) -> Iterator[Check]:
    yield compare("context, interpolated", interpolated(first, second, frames), expected[0], tolerance)
    yield compare("context, second prompt", second.expand(frames, -1, -1), expected[1], tolerance)


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, *_ = case
    config = dict(window=settings["window"], stride=settings["stride"], tail="drop")
    if rule := settings.get("injection_rule"):
        config["inject"] = tuple(int(n) for n in re.search(r"< (\d+) or > (\d+)", rule).groups())
        yield from contexts(*expected["text_cond"], settings["F"], expected["context"], 1e-6)
    yield from replay_trace(METHOD, FreeNoise(**config), case, folder)
