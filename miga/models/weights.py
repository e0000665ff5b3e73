"""Diffusers-style model directories: loading one part strictly, and the digest of the weights.

A directory has `model_index.json` and one folder a part: `unet` or `transformer`, `vae`, `text_encoder`, `tokenizer`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eval.files import file_digest, write_json

WEIGHT_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


def home() -> Path:
    """Where fetched and converted models stand: $MIGA_MODELS, by default ~/.cache/miga/models."""
    return Path(os.environ.get("MIGA_MODELS") or Path.home() / ".cache" / "miga" / "models")


def read_index(directory: Path) -> dict[str, Any]:
    """`model_index.json` of a model directory; `ValueError` where it is not one."""
    index = directory / "model_index.json"
    try:
        read = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{directory} is not a model directory: its model_index.json cannot be read ({type(error).__name__}); "
            "make one with `miga models convert` or `miga models fetch`"
        ) from None
    about = read.get("_miga", {}) if isinstance(read, dict) else None
    if not isinstance(about, dict) or not isinstance(about.get("options", {}), dict):
        raise ValueError(f"{index} must be a JSON object, as must _miga in it, and the options in that")
    return read


def read_config(part: Path) -> dict[str, Any]:
    """config.json of a part, empty where the folder has none; loading the part says so then."""
    try:
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{part / 'config.json'} cannot be read ({type(error).__name__}): fetch the model again"
        ) from None
    if not isinstance(config, dict):
        raise ValueError(f"{part / 'config.json'} is no JSON object: fetch the model again")
    return config


def load_part(cls: type, directory: Path, part: str, dtype: torch.dtype) -> nn.Module:
    """A network of a model directory in eval mode, every weight accounted for.

    `ValueError` of one sentence when the folder is missing, a file is cut short, or its tensors are not the network's.
    """
    folder = directory / part
    remedy = "fetch or convert the model again"
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing: expected the weights of {cls.__name__}; {remedy}")
    said = read_config(folder).get("_class_name", cls.__name__)
    if said != cls.__name__:  # tensors of another class may fit, and would be run as what they are not
        raise ValueError(f"{folder} holds a {said}: the base model that it is run like has a {cls.__name__}")
    try:
        network, report = cls.from_pretrained(
            directory, subfolder=part, torch_dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # diffusers, transformers and safetensors each raise their own kinds
        raise ValueError(
            f"{folder}: the weights of {cls.__name__} cannot be loaded ({' '.join(str(error).split())[:300]}); {remedy}"
        ) from error
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if wrong := sorted(map(str, report.get(kind) or ())):
            raise ValueError(
                f"{folder}: {len(wrong)} {kind.replace('_', ' ')} for a {cls.__name__} of its config.json "
                f"(first: {wrong[0]}); {remedy}"
            )
    return network.eval().requires_grad_(False)


def digest(directory: Path) -> str:
    """sha256 over all files of a model directory that decide what it computes.

    Files are hashed once: hashes are kept by path, size and time of change.
    """
    known_file = home() / "digests.json"
    try:
        known = json.loads(known_file.read_text())
    except (OSError, ValueError):
        known = {}
    lines, fresh = [], {}
    for path in sorted({path for pattern in WEIGHT_FILES for path in directory.rglob(pattern)}):
        if any(part.startswith(".") for part in path.relative_to(directory).parts):
            continue  # the downloader's own notes
        stat = path.stat()
        key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        if key not in known:
            fresh[key] = file_digest(path)
        lines.append(f"{known.get(key) or fresh[key]}  {path.relative_to(directory).as_posix()}\n")
    if sum(path.stat().st_size for path in directory.rglob("*.safetensors")) > 1 << 28 and fresh:
        write_json(known_file, known | fresh)  # small models are quicker hashed than looked up
    return hashlib.sha256("".join(lines).encode()).hexdigest()
