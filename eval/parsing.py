"""Data that people write, checked: an unknown key or name is one sentence that names it and the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    import torch


class Strict(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """An unknown key is an error, and so is a number that is none."""


def known(name: str, names, what: str) -> None:
    """`ValueError` that names the nearest known one unless `name` is known."""
    if name not in names:
        near = difflib.get_close_matches(name, list(names), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown {what} {name!r}: {hint}known are {', '.join(sorted(names)) or 'none'}")


def parse(model: type[BaseModel], data: Any, where: str) -> Any:
    """`model` from plain data, or a `ValueError` of one sentence a problem, each naming the key and what to do."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ValueError("; ".join(f"{where}: {sentence}" for sentence in sentences(error, model))) from None


def sentences(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """A readable sentence for each problem that pydantic found."""
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            keys = keys_at(model, path[:-1])
            near = difflib.get_close_matches(path[-1], keys, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(keys)}"
            yield f"unknown key {'.'.join(path)!r}; {hint}"
        elif problem["type"] == "missing":
            yield f"the key {'.'.join(path)!r} is missing"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = "" if isinstance(problem["input"], dict | BaseModel) else f" (given: {problem['input']!r})"
            yield (f"{'.'.join(path)}: " if path else "") + message[0].lower() + message[1:] + given


def keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Known keys of the sub-model at `path`, read from the schema."""
    schema = model.model_json_schema()
    node = schema
    for part in path:
        node = resolve(node, schema)
        of_any_name = [*node.get("patternProperties", {}).values(), node.get("additionalProperties") or {}]
        node = node.get("properties", {}).get(part) or of_any_name[0]
    return list(resolve(node, schema).get("properties", {}))


def resolve(node: dict, schema: dict) -> dict:
    """Follow a schema's reference, also inside a union."""
    for option in [node, *node.get("anyOf", ()), *node.get("allOf", ())]:
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
    return node


def read_yaml(path: Path) -> Any:
    """Contents of a YAML or JSON file; `ValueError` that names the file where it is missing or not YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None


def device_of(name: str | torch.device | None) -> torch.device:
    """The device of that name, such as "cuda:1", on which tensors can be had; default: the GPU where there is one.

    `ValueError` where this machine, or its torch, has none of that name.
    """
    import torch

    place = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=place).cpu()
        return torch.device(place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ValueError(f"device {str(place)!r}: this machine has none ({reason}); cpu is always there") from None
