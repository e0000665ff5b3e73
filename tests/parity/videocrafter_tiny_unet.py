"""Golden set `videocrafter_tiny_unet`: one plain forward of VideoCrafter's UNet, converted here and as stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import UNet3DConditionModel
from safetensors.torch import load_file

from miga.models.convert import FPS_RULES, lvdm_unet, rename
from miga.models.unet_networks import FrameTimesteps
from miga.models.videocrafter2 import fps_vector
from tests.parity.check import Check, Stored, compare

TOLERANCE = 1e-4


def cases(folder: Path) -> list[str]:
    """Stored forwards; the other json describes the network."""
    return sorted(path.stem for path in folder.glob("*.json") if path.with_suffix(".safetensors").is_file())


FOLDED = "fps_folded_into_diffusers_weights"


def convert(folder: Path, fps: int | None = None) -> UNet3DConditionModel:
    """The network from its original tensors, told a frame rate: by default the one of the copy for diffusers."""
    about = json.loads((folder / "unet.json").read_text())
    tensors = {name: tensor.float() for name, tensor in load_file(folder / "unet_lvdm.safetensors").items()}
    embedding = {rename(name, FPS_RULES): tensors.pop(name) for name in list(tensors) if name.startswith("fps_")}
    network, converted = lvdm_unet(tensors, about["lvdm_unet_config"])
    unet = UNet3DConditionModel.from_config(network.config)
    unet.load_state_dict(converted)
    unet.time_embedding.linear_2.bias.data += fps_vector(unet, embedding, fps or about[FOLDED])
    return unet.eval()


def tiny_unet(folder: Path, fps: int | None = None) -> UNet3DConditionModel:
    """The network as stored for diffusers, or converted where the set has no such copy for this frame rate."""
    stored = json.loads((folder / "unet.json").read_text())[FOLDED]
    if not (folder / "diffusers").is_dir() or fps not in (None, stored):
        return convert(folder, fps)
    return UNet3DConditionModel.from_pretrained(folder / "diffusers", torch_dtype=torch.float32).eval()


@torch.inference_mode()
def replay(case: str, folder: Path) -> list[Check]:
    settings = json.loads((folder / f"{case}.json").read_text())["settings"]
    stored = Stored(load_file(folder / f"{case}.safetensors"))
    x, context = stored["x"].float(), stored["context"].float()
    unets = dict(converted=convert(folder))
    if (folder / "diffusers").is_dir():
        unets["stored"] = tiny_unet(folder)
    return [*forwards(unets, x, context, settings["timestep"], stored["eps"]), *stored.unread()]


def forwards(unets, x, context, timestep, wanted) -> Iterator[Check]:
    for name, unet in unets.items():
        yield compare(f"eps, {name}", unet(x, timestep, context).sample, wanted, TOLERANCE)
        FrameTimesteps(unet)
        times = torch.full((len(x), x.shape[2]), timestep)
        yield compare(f"eps, {name}, a timestep per frame", unet(x, times, context).sample, wanted, TOLERANCE)
