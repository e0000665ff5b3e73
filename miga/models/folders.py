"""What a folder of weights is: like which base model, or why it is refused. Nothing runs with half a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.parsing import known
from miga.models import registry, weights

NETWORKS = {"unet", "transformer", "vae", "text_encoder"}
PARTS = NETWORKS | {"tokenizer", "scheduler"}


def spec_of(directory: Path) -> registry.Spec:
    """The registered model that a directory is run like: what `_miga` says, its own name, or what its parts are.

    `ValueError` of one sentence where it is something else, or more than would be used.
    """
    index = weights.read_index(directory)
    network = examine(directory, index)
    name = directory.resolve().name
    if like := index.get("_miga", {}).get("like"):
        known(like, registry.names(), f"base model in {directory}/model_index.json (_miga, like):")
        return registry.get(like)
    if name in registry.names():
        return registry.get(name)
    for name in registry.names():
        if (spec := registry.get(name)).recognises(index, network):
            return spec
    what = index.get("_class_name") or network.get("_class_name") or "of no kind that it names"
    raise ValueError(
        f"{directory} holds a pipeline that no base model here runs ({what}): known are {', '.join(registry.names())}; "
        "where it is like one of them, say so under _miga in its model_index.json (docs/add-a-base-model.md)"
    )


def examine(directory: Path, index: dict[str, Any]) -> dict[str, Any]:
    """The denoiser's config.json of a directory; `ValueError` where a part of it would be left out, or is missing."""
    named = {part for part, value in index.items() if isinstance(value, list) and any(value)}
    there = {path.parent.name for path in directory.glob("*/*.safetensors")} | {
        path.parent.name for path in directory.glob("*/*.bin")
    }
    if index.get("boundary_ratio") is not None or "transformer_2" in named | there:
        raise ValueError(
            f"{directory} has two denoisers, one for noisy and one for cleaner levels (as Wan2.2-A14B): run with one "
            "of them it would be another model; take a model of one denoiser, such as "
            "`miga models fetch wan2.2-ti2v-5b`"
        )
    if unused := sorted((named | there) - PARTS - {"fps_embedding"}):
        raise ValueError(
            f"{directory} has parts that would not be used ({', '.join(unused)}): it is no text-to-video model of the "
            "kinds that run here (`miga models` lists them)"
        )
    denoisers = sorted({"unet", "transformer"} & (named | there))
    if len(denoisers) != 1:
        found = " and a ".join(denoisers) or "neither a unet nor a transformer"
        raise ValueError(f"{directory}/model_index.json names {found}: not a video model of one denoiser")
    network = weights.read_config(directory / denoisers[0])
    inside, out = network.get("in_channels"), network.get("out_channels")
    if network.get("image_dim") is not None or (inside and out and inside != out):
        raise ValueError(
            f"{directory / denoisers[0]} is an image-to-video transformer ({inside} channels in, {out} out): a "
            "text-to-video one is needed, such as `miga models fetch wan2.1-1.3b`"
        )
    return network


def original_layout(directory: Path) -> str | None:
    """What weights in their authors' layout a folder holds, as a phrase; None where it holds none."""
    if (directory / "model.ckpt").is_file():
        return "VideoCrafter's original checkpoint (model.ckpt)"
    if any(directory.glob("Wan2*_VAE.pth")) or any(directory.glob("*umt5*.pth")):
        kind = weights.read_config(directory).get("model_type", "Wan")
        return f"Wan's original files (of the kind {kind})"
    if any(directory.glob("diffusion_pytorch_model*.safetensors")) or any(directory.glob("model*.safetensors")):
        return "a network in its authors' layout"
    return None
