"""Golden set `wan_tiny`: the transformer of five other sets, from its original tensors and as stored for diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file

from miga.models.convert import wan_transformer
from tests.parity.check import Check, Stored, compare
from tests.parity.extrapolation import CONFIG


def cases(folder: Path) -> list[str]:
    return ["wan_dit"]


@torch.no_grad()
def replay(case: str, folder: Path) -> Iterator[Check]:
    stored = Stored(load_file(folder / "wan_dit_diffusers.safetensors"))
    _, converted = wan_transformer(load_file(folder / "wan_dit.safetensors"), CONFIG)
    for name, tensor in converted.items():
        yield compare(name, tensor, stored[name])
    yield from stored.unread()
