"""Encoded prompts, as a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from miga.engine.base_model import Text


def save(path: Path, texts: dict[str, Text]) -> None:
    """Encoded prompts by id, as safetensors; the guidance counterpart, common to all, once."""
    from safetensors.torch import save_file

    tensors = {f"positive/{id}": text.positive.cpu().contiguous() for id, text in texts.items()}
    tensors["negative"] = next(iter(texts.values())).negative.cpu().contiguous()
    save_file(tensors, path, {id: text.prompt for id, text in texts.items()})


def load(path: Path, ids: Iterable[str]) -> dict[str, Text]:
    """The encoded prompts of these ids."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        prompts, negative = file.metadata(), file.get_tensor("negative")
        return {id: Text(prompts[id], file.get_tensor(f"positive/{id}"), negative) for id in set(ids)}
