"""Base models: `load("videocrafter2")` gives one ready to use; `engine.base_model` is what a method may ask of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.parsing import parse
from miga.engine.base_model import BaseModel
from miga.models import registry


def load(
    name_or_directory: str | Path, *, device: str | None = None, dtype: str | None = None, **options: Any
) -> BaseModel:
    """A base model, ready to denoise.

    Parameters
    ----------
    name_or_directory: a name of `miga.models.registry`, or a diffusers-style directory of the same families. Under
        `_miga`, its `model_index.json` says which registered model it is run `like`, and with which other `options`.
    device: such as "cuda:1"; default: the GPU where there is one.
    dtype: precision of the denoiser: fp32, fp16, bf16 or fp64; default: the original's on a GPU, fp32 on a CPU.
    options: keys of the model's options (`registry.UNetOptions`, `registry.TransformerOptions`).

    Raises
    ------
    ValueError: one sentence that names the unknown name or key, or the file that is missing or broken and the remedy.
    """
    import torch

    from miga.models import weights
    from miga.models.pretrained import precision_of
    from miga.models.videocrafter2 import VideoCrafter2
    from miga.models.wan import Wan21

    spec, directory = locate(name_or_directory)
    about = weights.read_index(directory).get("_miga", {})
    merged = spec.options.model_dump() | about.get("options", {}) | options
    chosen = parse(type(spec.options), merged, f"base model {spec.name!r}")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    precision = precision_of(dtype or (spec.precision if place.type == "cuda" else "fp32"))
    cls = VideoCrafter2 if spec.family == "unet" else Wan21
    return cls(directory, about.get("name", spec.name), chosen, place, precision)


def locate(name_or_directory: str | Path) -> tuple[registry.Spec, Path]:
    """The spec of a base model and the directory of its weights; `ValueError` says how to get them."""
    from miga.models import weights

    path = Path(name_or_directory)
    if (path / "model_index.json").is_file():
        return spec_of(path), path
    if path.is_dir():
        weights.read_index(path)  # raises: not a model directory
    spec = registry.get(str(name_or_directory))
    directory = home_of(spec)
    if not is_present(spec):
        remedy = f"get them with `{remedy_for(spec)}`"
        raise ValueError(
            f"the weights of {spec.name} are not in {directory}: {remedy}"
            + (", or set MIGA_MODELS to the folder that has them" if spec.repo else "")
        )
    return spec, directory


def home_of(source: registry.Source) -> Path:
    """Where weights stand: in this package, or in the folder of fetched models."""
    from miga.models import weights

    if source.repo is None:
        return Path(__file__).parent.parent / "sprites" / "weights" / source.name
    return weights.home() / source.name


def spec_of(directory: Path) -> registry.Spec:
    """The registered model that a directory is run like: what `_miga` says, its own name, or the family's real one."""
    from miga.models import weights

    index = weights.read_index(directory)
    if like := index.get("_miga", {}).get("like"):
        return registry.get(like)
    if directory.resolve().name in registry.SPECS:
        return registry.get(directory.resolve().name)
    if "unet" in index:
        return registry.get("videocrafter2")
    if "transformer" in index:
        return registry.get("wan2.1-1.3b")
    raise ValueError(f"{directory}/model_index.json names neither a unet nor a transformer: not a video model")


def is_present(spec: registry.Spec) -> bool:
    """Whether the weights of a registered model are on this machine."""
    return (home_of(spec) / "model_index.json").is_file()


def remedy_for(source: registry.Source) -> str:
    """The command that gets missing weights."""
    return f"miga models fetch {source.name}" if source.repo else "miga sprites train"


def show(json: bool = False) -> None:
    """Print the registered base models and whether their weights are here."""
    if json:
        import json as encoder
        from dataclasses import asdict

        rows = {
            spec.name: asdict(spec) | dict(options=spec.options.model_dump(mode="json"), present=is_present(spec))
            for spec in registry.SPECS.values()
        }
        print(encoder.dumps(rows, indent=1, ensure_ascii=False))
        return
    for spec in registry.SPECS.values():
        size = f"{spec.options.width}x{spec.options.height}"
        state = "here" if is_present(spec) else f"missing: {remedy_for(spec)} ({spec.gigabytes:g} GB)"
        print(f"{spec.name:<14} {spec.family:<12} {size:<8} {spec.options.fps:>3} fps  {spec.licence:<62} {state}")
