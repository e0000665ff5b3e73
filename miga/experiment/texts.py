"""Encoded prompts, as a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.files import replacing
from miga.engine.base_model import Text, Tokens


def save(path: Path, texts: dict[str, Text]) -> None:
    """Encoded prompts by id, as safetensors; the guidance counterpart, common to all, once."""
    from safetensors.torch import save_file

    tensors = {f"positive/{id}": text.positive.cpu().contiguous() for id, text in texts.items()}
    tensors["negative"] = next(iter(texts.values())).negative.cpu().contiguous()
    said = {id: text.prompt for id, text in texts.items()}
    counted = {f"tokens/{id}": f"{text.tokens.had} {text.tokens.used}" for id, text in texts.items() if text.tokens}
    with replacing(path) as partial:
        save_file(tensors, partial, said | counted)


def names_of(prompt: str, then: Sequence[str] = ()) -> list[str]:
    """Under which ids the prompts of one video are kept: no id of a prompt holds a slash."""
    return [prompt, *(f"{prompt}/{number}" for number in range(1, len(then) + 1))]


def load(path: Path, ids: Iterable[str]) -> dict[str, Text]:
    """The encoded prompts of these ids."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        prompts, negative = file.metadata(), file.get_tensor("negative")
        tokens = {id: prompts[f"tokens/{id}"].split() for id in set(ids) if f"tokens/{id}" in prompts}
        return {
            id: Text(
                prompts[id],
                file.get_tensor(f"positive/{id}"),
                negative,
                Tokens(*map(int, tokens[id])) if id in tokens else None,
            )
            for id in set(ids)
        }
