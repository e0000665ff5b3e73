"""Base models: `load("videocrafter2")` gives one ready to use; `engine.base_model` is what a method may ask of it."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from eval.parsing import device_of, parse
from miga.engine.base_model import BaseModel
from miga.models import registry
from miga.models.folders import examine, original_layout, spec_of


def load(
    name_or_directory: str | Path, *, device: str | None = None, dtype: str | None = None, **options: Any
) -> BaseModel:
    """A base model, ready to denoise.

    name_or_directory: a registered name (`miga.models.registry`), or a diffusers-style directory. Under `_miga`, its
        `model_index.json` says which registered model it is run `like`, and with which other `options`.
    device: such as "cuda:1"; default: the GPU where there is one.
    dtype: precision of the denoiser: fp32, fp16, bf16 or fp64; default: the original's on a GPU, fp32 on a CPU.
    options: keys of the model's options, the class of which is that of its `registry.Spec.options`.

    `ValueError`: one sentence that names the unknown name or key, or the file that is missing or broken and the remedy.
    """
    from miga.models import weights
    from miga.models.pretrained import precision_of

    spec, directory = locate(name_or_directory)
    about = weights.read_index(directory).get("_miga", {})
    merged = spec.options.model_dump() | about.get("options", {}) | options
    chosen = parse(type(spec.options), merged, f"base model {spec.name!r}")
    place = device_of(device)
    precision = precision_of(dtype or (spec.precision if place.type == "cuda" else "fp32"))
    model = resolve_name(spec.cls)(directory, about.get("name", spec.name), chosen, place, precision)
    model.abilities, model.stands_for, model.features_name = spec.abilities, spec.stands_for or spec.name, spec.features
    return model


def locate(name_or_directory: str | Path) -> tuple[registry.Spec, Path]:
    """The spec of a base model and the directory of its weights; `ValueError` says how to get them."""
    from miga.models import weights

    path = Path(name_or_directory)
    if (path / "model_index.json").is_file():
        return spec_of(path), path
    if path.is_dir():
        refuse_original(path, "NAME")
        weights.read_index(path)  # raises: not a model directory
    spec = registry.get(str(name_or_directory))
    directory = home_of(spec)
    if not is_present(spec):
        refuse_original(directory, spec.name)
        remedy = f"get them with `{remedy_for(spec)}`"
        raise ValueError(
            f"the weights of {spec.name} are not in {directory}: {remedy}"
            + (", or set MIGA_MODELS to the folder that has them" if spec.repo else "")
        )
    examine(directory, weights.read_index(directory))
    return spec, directory


def refuse_original(directory: Path, name: str) -> None:
    """`ValueError` with the command that converts a folder in its authors' layout."""
    if what := original_layout(directory):
        raise ValueError(
            f"{directory} holds {what}, not a model directory: convert it with `miga models convert {name} {directory} "
            "DIRECTORY` and use that one"
        )


def home_of(source: registry.Source) -> Path:
    """Where weights stand: in their package, or in the folder of fetched models."""
    from miga.models import weights

    return source.folder or weights.home() / source.name


def is_present(spec: registry.Spec) -> bool:
    """Whether the weights of a registered model are on this machine."""
    return (home_of(spec) / "model_index.json").is_file()


def remedy_for(source: registry.Source) -> str:
    """The command that gets missing weights."""
    return source.remedy or f"miga models fetch {source.name}"


def facts(spec: registry.Spec) -> dict[str, Any]:
    """All that is known of a base model, as plain data."""
    from dataclasses import asdict, fields

    plain = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name != "recognises"}
    return plain | dict(
        abilities=asdict(spec.abilities) | dict(start_image=spec.abilities.start_image),
        options=spec.options.model_dump(mode="json"),
        folder=str(home_of(spec)),
        present=is_present(spec),
    )
