"""Encoded prompts, as a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
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


def load(paths: Iterable[str | Path], ids: Collection[str]) -> dict[str, Text]:
    """The encoded prompts of these ids, which one of the files has. `KeyError` where none has one."""
    found = {id: text for path in paths for id, text in _in(path, ids)}
    return {id: found[id] for id in ids}


def _in(path: str | Path, ids: Collection[str]) -> Iterator[tuple[str, Text]]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        said, negative = file.metadata(), file.get_tensor("negative")
        for id in said.keys() & set(ids):
            counted = said.get(f"tokens/{id}")
            tokens = Tokens(*map(int, counted.split())) if counted else None
            yield id, Text(said[id], file.get_tensor(f"positive/{id}"), negative, tokens)
