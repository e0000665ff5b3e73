"""Replays the set vbench_quality: imaging quality's tokens and scores, dynamic degree's rule."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from eval.vbench import dynamics, musiq
from tests.parity.check import Check, Stored, compare

PADDED = (49, 144)  # tokens of the two reduced scales in the original, padded with masked ones that we leave out


def replay(case: str, folder: Path) -> Iterator[Check]:
    facts = json.loads((folder / f"{case}.json").read_text())
    arrays = Stored(load_file(folder / f"{case}.safetensors"))
    kind = next((kind for kind in KINDS if case.startswith(kind)), None)
    if kind is None:
        raise ValueError(f"no replay for a case like {case!r}: known are {', '.join(KINDS)}")
    yield from KINDS[kind](facts, arrays)
    yield from arrays.unread()


def _imaging_quality(facts: dict, arrays: Stored) -> Iterator[Check]:
    weights = {name.removeprefix("w."): arrays[name].float() for name in arrays if name.startswith("w.")}
    score = musiq.scorer(weights, torch.device("cpu"))
    for case in facts["cases"]:
        name, frames = case["frames"], arrays[case["frames"]]
        resized = musiq.limited(frames[:1].permute(0, 3, 1, 2).float())
        yield compare(f"{name} size", resized.shape[2:], case["size_after_resizing"])
        yield compare(f"{name} tokens", _table(musiq.tokens(frames[:1])), arrays[case["tokens"]], 1e-5)
        found = score(frames)[:, 0].double()
        yield compare(f"{name} per frame", found, case["per_frame"], 1e-4)
        yield compare(f"{name} video", found.mean(), case["video"], 1e-4)
        yield compare(f"{name} aggregate", found.mean() / 100, case["aggregate"], 1e-4)


def _table(tokens: musiq.Tokens) -> Tensor:
    """Position, scale, mask, mean, first and last value of every token, with the original's padding."""
    patches, position, scale = tokens
    ends = patches.mean((1, 2, 3)), patches[:, 0, 0, 0], patches[:, 2, -1, -1]
    rows = torch.stack([position, scale, torch.ones(len(position)), *ends], 1)
    parts = [rows[scale == i] for i in range(3)]
    for i, wanted in enumerate(PADDED):
        parts[i] = torch.cat([parts[i], torch.zeros(wanted - len(parts[i]), rows.shape[1])])
    return torch.cat(parts)


def _dynamic_degree(facts: dict, arrays: Stored) -> Iterator[Check]:
    for case in facts["cases"]:
        name, frames = case["flow"], case["sampled_frames"]
        scores = dynamics.pair_scores(arrays[name])
        limit = dynamics.threshold(case["height"], case["width"])
        yield compare(f"{name} threshold", limit, case["threshold"], 1e-5)
        yield compare(f"{name} needed", dynamics.needed(frames), case["needed"])
        yield compare(f"{name} scores", scores, case["scores"], 1e-5)
        yield compare(f"{name} moves", dynamics.moves(scores.tolist(), limit), case["moves"])
    for case in facts.get("sampling", ()):
        found = list(range(0, case["frames"], dynamics.step(case["fps"])))
        yield compare(f"{case['frames']} frames at {case['fps']} fps", found, case["sampled"])


KINDS = {"imaging_quality": _imaging_quality, "dynamic_degree": _dynamic_degree}
