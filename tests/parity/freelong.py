"""Replay of the FreeLong set: masks and filters, frequency mix, blocks of VideoCrafter2 and LaVie, noise, traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from math import log
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from baselines.freelong import METHOD, FreeLong
from baselines.freelong.blend import band_mask, blended_attention, local_attention, low_pass, mix
from miga.engine.attention import Grid, attention
from tests.parity.check import Check, compare
from tests.parity.freenoise import noise
from tests.parity.temporal import Case, attention_of, block_of, replay_by_kind, replay_trace, run_block, through


def replay(case: str, folder: Path) -> list[Check]:
    kinds = dict(masks=masks, fusion=fusion, noise=shuffled, vc2_block=block, lavie_temporal=lavie, e2e=trace)
    return replay_by_kind(kinds, case, folder)


def masks(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    for kind in ("strict", "adjusted"):
        for frames, window in settings[kind]:
            name = f"{kind}_F{frames}_w{window}"
            yield compare(name, band_mask(frames, window, kind), expected[name])
    for entry in settings["filters"]:
        gain, name = low_pass(tuple(entry["shape_FHW"]), entry["d_t"], entry["d_s"]), entry["name"]
        yield compare(name, gain, expected[f"{name}_unshifted"], tolerance)
        yield compare(f"{name}, shifted", torch.fft.fftshift(gain), expected[f"{name}_shifted"], tolerance)
    for name, facts in settings.items():
        if match := re.fullmatch(r"full_size_filter_sums_ds(.+)_dt(.+)", name):
            d_s, d_t = map(float, match.groups())
            for size, fact in facts.items():
                gain = low_pass(tuple(map(int, size.split("x"))), d_t, d_s)
                yield compare(f"{size} sum", gain.double().sum(), fact["sum"], 1e-6 * fact["sum"])
                yield compare(f"{size} gain at 0", gain[0, 0, 0], fact["dc_gain"], tolerance)


def fusion(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    for entry in settings["cases"]:
        everywhere, local, fused = (expected[entry["prefix"] + part] for part in ("global", "local", "fused"))
        gain = low_pass(tuple(entry["shape_FHW"]), entry["d_t"], entry["d_s"])
        yield compare(entry["prefix"] + "fused", mix(everywhere, local, gain), fused, tolerance)


def shuffled(case: Case, folder: Path) -> Iterator[Check]:
    yield from noise(case, folder)


def all_rows(settings: dict, x: Tensor) -> Tensor:
    """The full input: some cases store rows that repeat."""
    rows = settings["B"] * settings["H"] * settings["W"]
    return x[torch.arange(rows) % len(x)]


def stored_rows(settings: dict, x: Tensor, like: Tensor) -> Tensor:
    """The rows of a full output that the case stores: every k-th, or the first ones of a period."""
    every = re.search(r"outputs stored for rows 0,(\d+),", settings.get("rows_stored", ""))
    return x[:: int(every[1])] if every else x[: len(like)]


def block(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    module, x = block_of(settings, expected), all_rows(settings, expected["x"])
    grid = Grid(settings["B"], settings["F"], settings["H"], settings["W"])
    gain = partial(low_pass, d_t=settings["d_t"], d_s=settings["d_s"])
    finest = grid.height * grid.width if settings["branch_used"].startswith("local") else None
    near = partial(local_attention, window=2 * settings["alpha_half_width"], mask=settings["mask"])
    blend = partial(blended_attention, local=near, gain=gain, finest=finest)
    branches = dict(
        branch_global=lambda q, k, v, grid: attention(q, k, v),
        branch_local=lambda q, k, v, grid: near(q, k, v),
    )
    found, hidden = {"output": run_block(module, blend, x, grid)}, x
    for name, attn, norm in (("attn1", module.attn1, module.norm1), ("attn2", module.attn2, module.norm2)):
        for branch, attend in branches.items():
            found[f"{name}.{branch}"] = through(attn, attend, norm(hidden), grid)
        hidden = found[f"hidden_after_{name}"] = hidden + through(attn, blend, norm(hidden), grid)
    for name, value in found.items():
        if name in expected:
            yield compare(name, stored_rows(settings, value, expected[name]), expected[name], tolerance)


def lavie(case: Case, folder: Path) -> Iterator[Check]:
    """LaVie's temporal attention adds rotary embedding and a bias per relative time to both branches."""
    settings, expected, tolerance, _ = case
    grid = Grid(settings["B"], settings["F"], settings["H"], settings["W"])
    x, attn = all_rows(settings, expected["x"]), attention_of(settings, expected)
    bias = relative_bias(expected["time_bias_table"], grid.frames)
    allowed = band_mask(grid.frames, settings["native_window"], settings["mask"])
    rope = settings["rope"]
    gain = low_pass(grid.size, settings["d_t"], settings["d_s"])

    def attend(q, k, v, visible):
        q, k = (rotate(y, rope["dims"], rope["base"]) for y in (q, k))
        return attention(q, k, v, mask=bias.masked_fill(~visible, -torch.inf).expand(len(q), -1, -1, -1))

    def volume(y):
        return rearrange(y, "(b h w) f c -> b c f h w", b=grid.batch, h=grid.height)

    hidden = torch.nn.functional.layer_norm(x, x.shape[-1:], expected["norm_temp.weight"], expected["norm_temp.bias"])
    everywhere, local = (
        through(attn, lambda q, k, v, grid, visible=visible: attend(q, k, v, visible), hidden, grid)
        for visible in (torch.ones_like(allowed), allowed)
    )
    mixed = rearrange(mix(volume(everywhere), volume(local), gain), "b c f h w -> (b h w) f c")
    queries = [0, 5, grid.frames // 2, grid.frames - 1]
    yield compare("time_bias_for_F", bias[:, queries], expected["time_bias_for_F"], tolerance)
    for name, value in dict(branch_global=everywhere, branch_local=local, output=x + mixed).items():
        yield compare(name, stored_rows(settings, value, expected[name]), expected[name], tolerance)


def relative_bias(table: Tensor, frames: int, near: int = 8, far: int = 32) -> Tensor:
    """(heads, queries, keys) from a table (buckets, heads): one bucket a frame nearby, logarithmic ones beyond, other
    buckets for keys that come later."""
    distance = torch.arange(frames)[:, None] - torch.arange(frames)
    steps = distance.abs()
    scaled = near + (torch.log(steps.clamp(min=1) / near) / log(far / near) * (16 - near)).long()
    bucket = torch.where(steps < near, steps, scaled.clamp(max=15)) + 16 * (distance < 0)
    return table[bucket].permute(2, 0, 1)


def rotate(x: Tensor, dims: int, base: float) -> Tensor:
    """Rotary embedding of adjacent pairs among the first `dims` channels of (n, heads, f, 1, d), by absolute frame."""
    frequency = base ** -(torch.arange(0, dims, 2) / dims)
    angle = (torch.arange(x.shape[2])[:, None] * frequency)[:, None]
    pairs = torch.view_as_complex(x[..., :dims].unflatten(-1, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)
    return torch.cat((turned, x[..., dims:]), -1)


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings = case[0]
    config = FreeLong(
        window=settings["window"],
        mask=settings["mask"],
        d_t=settings["d_t"],
        d_s=settings["d_s"],
        skip_finest=settings["local_only_grid_HW"] == settings["h"] * settings["w"],
        noise_stride=settings["stride"],
    )
    yield from replay_trace(METHOD, config, case, folder)
