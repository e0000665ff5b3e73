"""Replay of the FreeLOC set: branches, positions, a module, traces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path

import torch

from baselines.freeloc import METHOD, FreeLOC
from baselines.freeloc.branches import Lengths, branch_attention, tsa, tsa_positions, vrpr, vrpr_positions
from miga.engine.attention import attention
from tests.parity.check import Check, compare
from tests.parity.extrapolation import replay_by_kind, replay_trace, through, transformer
from tests.parity.temporal import Case

KINDS = dict(vrpr=vrpr, tsa=tsa)
SIDES = dict(  # positions of the query and of the key, by branch
    mid_past=("mid.late", "mid.early"), mid_future=("mid.early", "mid.late"),
    far_past=("far.late", "far.early"), far_future=("far.early", "far.late"),
)  # fmt: skip


def replay(case: str, folder: Path) -> list[Check]:
    return replay_by_kind(dict(masks=masks, positions=positions, module=module, e2e=trace), case, folder)


def lengths_of(settings: dict) -> dict[str, int]:
    """The lengths that a case gives, by our names."""
    given = {field.name: settings[field.name] for field in fields(Lengths) if field.name in settings}
    return given | (dict(shift=settings["window"]) if "window" in settings else {})


def masks(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, *_ = case
    for one in settings["cases"]:
        lengths = Lengths(**dict(round_to=settings["round_to"]) | lengths_of(one))
        tokens = torch.arange(one["F"] * one["p"])
        covered = {
            f"{kind}.{branch}": rule.covers(tokens[:, None], tokens)
            for kind, build in KINDS.items()
            for branch, rule in build(one["F"], one["p"], lengths).items()
        }
        for branch, count in one["covered"].items():
            yield compare(f"{one['name']}.{branch}: pairs", covered[branch].sum(), count)
        for branch, mask in covered.items():
            if (name := f"{one['name']}.{branch}") in expected:
                yield compare(name, mask[one["stored_query_tokens"]], expected[name])
        if "pairs_in_no_vrpr_branch" in one:
            missing = ~torch.stack([mask for name, mask in covered.items() if name.startswith("vrpr")]).any(0)
            yield compare(f"{one['name']}: in no branch", missing.sum(), one["pairs_in_no_vrpr_branch"])


def positions(case: Case, folder: Path) -> Iterator[Check]:
    for row in case.settings["rows"]:
        frames, lengths = row["F"], Lengths(**lengths_of(row))
        name = " ".join(f"{key} {value}" for key, value in row.items() if key != "positions")
        for key, wanted in row["positions"].items():
            branch, side = key.split(".")
            place = "qk".index(side)
            if row["kind"] == "vrpr":
                found = vrpr_positions(frames, lengths)[SIDES[branch][place]]
            else:
                found = tsa_positions(frames, lengths)[SIDES[branch][place].split(".")[1]]
            yield compare(f"{name} {key}", found, wanted)
    if "released_settings" in case.settings:
        yield from defaults(case.settings["released_settings"])


def defaults(released: dict) -> Iterator[Check]:
    """Our defaults on Wan2.1-1.3B against the released configuration."""
    yield compare("layers", sorted(FreeLOC().sparse(30)), released["default_rope_relative_layers"])
    sparse, far = released["radial_attention"], released["rp_map"]
    for frames, row in far["vrpr"]["frame_settings"].items():
        found = FreeLOC().lengths(int(frames), 21, sparse["diag_size_token_per_frame"])
        wanted = Lengths(
            *(row[f"{kind}_size_{number}"] for kind in ("window", "group") for number in (1, 2)),
            clip=far["vrpr_clip_max"],
            D1=sparse["window_size_1"],
            D2=sparse["window_size_2"],
            group=sparse["rope_shift"]["group_size"],
            shift=sparse["rope_shift"]["window_size"],
        )
        values = ([getattr(one, field.name) for field in fields(Lengths)] for one in (found, wanted))
        yield compare(f"lengths for {frames} latent frames", *values)


def module(case: Case, folder: Path) -> Iterator[Check]:
    settings, expected, tolerance, _ = case
    network, lengths = transformer(folder), Lengths(**lengths_of(settings))
    for name in expected:
        if name.startswith("output."):
            attend = lambda q, k, v, grid: attention(q, k, v)  # noqa: E731
            if build := KINDS.get(name.removeprefix("output.")):
                branches = [*build(settings["F"], settings["tokens_per_frame"], lengths).values()]
                attend = partial(branch_attention, branches=branches)
            found = through(network, settings, expected["x"], attend)
            rows = settings.get("stored_output_rows", "all")
            yield compare(name, found if rows == "all" else found[:, rows], expected[name], tolerance["output"])


def trace(case: Case, folder: Path) -> Iterator[Check]:
    settings = case.settings
    config = FreeLOC(layers=tuple(settings["tsa_layers"]), **lengths_of(settings))
    yield from replay_trace(METHOD, config, case, folder, settings["F"])
