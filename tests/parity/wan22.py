"""Golden set `wan22`: Wan2.2-TI2V-5B's networks and runs, with and without a start image, against the original.

The checkpoints under their original names are converted, loaded as any model is, and driven through the contract.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify
from safetensors.torch import load_file
from torch import Tensor

from miga.engine.base_model import BaseModel, Text
from miga.engine.noise import KeyedNoise
from miga.engine.sampling import sample_clip
from miga.models import convert, load
from tests.parity.check import Check, Stored, compare
from tests.parity.models import causal_vae, frames, sinusoids

STRICT, LOOSE = 3e-5, 1e-4  # of one call, and of a run


def replay(case: str, folder: Path) -> list[Check]:
    about = json.loads((folder / f"{case}.json").read_text())
    tensors = load_file(folder / f"{case}.safetensors")
    stored = Stored({name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()})
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        directory = Path(scratch, "model")
        write(directory, about, folder)
        return [*networks(directory, about, stored), *runs(directory, about, stored), *stored.unread()]


def write(directory: Path, about: dict, folder: Path) -> None:
    """The model directory: both networks converted from the names of the original."""
    for part, build, key in (("transformer", convert.wan_transformer, "dit"), ("vae", convert.wan_vae, "vae")):
        source = folder / about["weights"][key]["original"]["file"]
        network, tensors = build(convert.read(source, key), about["settings"][key])
        (directory / part).parent.mkdir(exist_ok=True)
        convert.write(network, tensors, directory / part, source)
    index = dict(_class_name="WanPipeline", expand_timesteps=True)
    parts = dict(transformer=["diffusers", "WanTransformer3DModel"], vae=["diffusers", "AutoencoderKLWan"])
    (directory / "model_index.json").write_text(json.dumps(index | parts))


def networks(directory: Path, about: dict, stored: Stored) -> Iterator[Check]:
    model = load(directory, text_tokens=about["settings"]["dit"]["text_len"], device="cpu", dtype="fp32")
    yield compare("the folder is recognised", model.stands_for == "wan2.2-ti2v-5b", True)
    if "dit.sinusoid_fp64" in stored:
        yield sinusoids("dit.sinusoid_fp64", about, stored)
    yield from transformer(model, about, stored)
    if "vae.patched" in stored:
        small = torch.arange(72.0).reshape(1, 3, 1, 4, 6)
        yield compare("vae.patched", patchify(small, 2), stored["vae.patched"])
    yield from autoencoder(model, stored)


def transformer(model: BaseModel, about: dict, stored: Stored, ending: str = "v") -> Iterator[Check]:
    """Every call of the transformer; which contexts it reads, the table of arrays says."""
    for name in stored:
        match = re.fullmatch(rf"dit\.(\w+)\.{ending}(_per_token|_per_frame)?", name)
        if match is None:
            continue
        kind = match[1]
        x, t = stored[f"dit.{kind}.x"].transpose(1, 2), stored[f"dit.{kind}.t"]
        t = t[:, None].expand(x.shape[:2]) if t.ndim == 1 else t
        output = model.forward(x, t, contexts(name, len(x), about, stored)).transpose(1, 2)
        yield compare(name, output, stored[name], STRICT)


def contexts(name: str, count: int, about: dict, stored: Stored) -> list[Tensor]:
    """The text of each sample of a call."""
    alone = re.search(r"context (\d)", about["arrays"][name]["meaning"])
    first = int(alone[1]) if alone and count == 1 else 0
    return [stored[f"dit.context_{number}"] for number in range(first, first + count)]


def autoencoder(model: BaseModel, stored: Stored) -> Iterator[Check]:
    if "vae.mean" in stored:
        yield compare("vae.mean", model.vae.encode(stored["vae.video"]).latent_dist.mean, stored["vae.mean"], 1e-5)
    yield from causal_vae(model, stored, STRICT)
    if "vae.decoded_first_two" in stored:
        decoder = model.decoder()
        two = decoder.decode(frames(stored["vae.z"])[:2]).transpose(0, 1)[None]
        yield compare("vae.decoded_first_two", two, stored["vae.decoded_first_two"], STRICT)


def runs(directory: Path, about: dict, stored: Stored) -> Iterator[Check]:
    """Whole runs from the stored start noise, step by step, and the pixels of the result."""
    settings = about["settings"]["run"]
    for name in sorted({match[1] for key in stored if (match := re.fullmatch(r"(\w+)\.x", key))}):
        wanted = stored[f"{name}.x"]
        levels, height, width = len(wanted) - 1, *(16 * side for side in wanted.shape[-2:])
        options = dict(num_levels=levels, shift=settings["shift"], height=height, width=width)
        model = load(directory, device="cpu", dtype="fp32", guidance_scale=settings["guidance"], **options)
        yield from table(name, model, stored)
        if f"{name}.image" in stored:
            latent = model.encode_frames(stored[f"{name}.image"][None])
            yield from present(f"{name}.start_latent", latent.transpose(0, 1), stored, 1e-5)
            model = model.with_start(latent)
        elif f"{name}.start_latent" in stored:
            model = model.with_start(stored[f"{name}.start_latent"].transpose(0, 1))
        text = Text("", *(stored[f"dit.context_{settings[side][-1]}"] for side in ("prompt", "negative")))
        yield from run(name, model, text, settings, stored)


def table(name: str, model: BaseModel, stored: Stored) -> Iterator[Check]:
    """The solver's table of a run or schedule, noisiest first."""
    yield from present(f"{name}.timesteps", model.solver.timesteps.flip(0), stored)
    yield from present(f"{name}.sigmas", model.solver.sigmas, stored, 1e-7)


def present(name: str, actual: Tensor, stored: Stored, tolerance: float = 0.0) -> Iterator[Check]:
    """A comparison with an array that a case may leave out."""
    if name in stored:
        yield compare(name, actual, stored[name], tolerance)


def run(name: str, model: BaseModel, text: Text, settings: dict, stored: Stored) -> Iterator[Check]:
    wanted, seen, told = stored[f"{name}.x"], [], []

    def denoise(sample, levels, text, guidance_scale):
        seen.append(sample[0].transpose(0, 1))
        told.append(model.timesteps(levels)[0])
        return model.denoise(sample, levels, text, guidance_scale)

    start = wanted[0].transpose(0, 1)
    final = sample_clip(model, text, KeyedNoise(0), len(start), start, denoise=denoise)
    yield compare(f"{name}.x", torch.stack([*seen, final.transpose(0, 1)]), wanted, LOOSE)
    yield from present(f"{name}.t_frames", torch.stack(told), stored)
    if f"{name}.video" in stored:
        images = model.decoder().decode(final)[settings["frames_kept"]].transpose(0, 1)
        yield compare(f"{name}.video", images, stored[f"{name}.video"], LOOSE)
