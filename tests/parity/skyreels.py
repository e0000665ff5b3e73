"""Golden set `skyreels`: SkyReels-V2-DF's network, schedules and runs against the original.

The checkpoint under its original names is converted, loaded as any model is (as a Wan transformer with the frame rate
folded in), and sampled by `baselines.diffusion_forcing`.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines.diffusion_forcing import METHOD, causal, forced, levels_of, to_pixels
from baselines.diffusion_forcing.schedule import turns
from miga.engine.attention import temporal_attention
from miga.engine.base_model import BaseModel, Text
from miga.engine.noise import KeyedNoise
from miga.engine.solvers import FlowUniPC
from miga.models import convert, load
from miga.models.wan import rate_vector
from tests.parity.check import Check, Stored, compare
from tests.parity.models import sinusoids
from tests.parity.wan22 import LOOSE, STRICT, contexts, present

VAE = Path(__file__).parent / "golden" / "models"  # Wan2.1's autoencoder, which SkyReels has unchanged


class Recorded(KeyedNoise):
    """Start noise, and noise of the prefix, as they were drawn."""

    def __init__(self, start: Tensor, prefix: Tensor | None = None) -> None:
        super().__init__(0)
        self.start, self.prefix = start, prefix

    def frames(self, purpose, frames, levels, shape):
        if purpose == "prefix":
            return self.prefix[levels].transpose(0, 1)
        return self.start.transpose(0, 1) if purpose == "start" else super().frames(purpose, frames, levels, shape)


def replay(case: str, folder: Path) -> list[Check]:
    about = json.loads((folder / f"{case}.json").read_text())
    tensors = load_file(folder / f"{case}.safetensors")
    stored = Stored({name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()})
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        directory = Path(scratch, "model")
        write(directory, about, folder)
        checks = [*network(directory, about, stored)]
        for name, schedule in about["settings"].get("schedules", {}).items():
            checks += schedules(name, schedule, stored)
        for name, run in about["settings"].get("runs", {}).items():
            checks += long(directory, run, stored) if name == "long" else short(name, directory, run, stored)
        return [*checks, *stored.unread()]


def write(directory: Path, about: dict, folder: Path) -> None:
    """The model directory: the network converted from the names of the original, beside Wan2.1's autoencoder."""
    vae = next(home for home in (folder.parent / "models", VAE) if (home / "wan_vae.safetensors").is_file())
    settings = about["settings"]["dit"] | dict(inject_sample_info=True)
    vae_config = json.loads((vae / "wan_outputs.json").read_text())["settings"]["vae"]
    for part, build, source, config in (
        ("transformer", convert.wan_transformer, folder / about["weights"]["dit"]["original"]["file"], settings),
        ("vae", convert.wan_vae, vae / "wan_vae.safetensors", vae_config),
    ):
        converted, tensors = build(convert.read(source, part), config)
        directory.mkdir(exist_ok=True)
        convert.write(converted, tensors, directory / part, source)
    index = dict(_class_name="SkyReelsV2DiffusionForcingPipeline")
    parts = dict(transformer=["diffusers", "SkyReelsV2Transformer3DModel"], vae=["diffusers", "AutoencoderKLWan"])
    (directory / "model_index.json").write_text(json.dumps(index | parts))


def network(directory: Path, about: dict, stored: Stored) -> Iterator[Check]:
    options = dict(text_tokens=about["settings"]["dit"]["text_len"], device="cpu", dtype="fp32")
    rates = {rate: load(directory, fps_condition=rate, **options) for rate in (16, 24)}
    yield compare("the folder is recognised", rates[24].stands_for == "skyreels-v2-df-1.3b", True)
    if "dit.sinusoid_fp64" in stored:
        yield sinusoids("dit.sinusoid_fp64", about, stored)
    original = convert_back(directory)
    for name in stored:
        if match := re.fullmatch(r"dit\.fps_vector_(\d+)", name):
            yield compare(name, rate_vector(original, int(match[1])), stored[name], 1e-5)
        elif match := re.fullmatch(r"dit\.(\w+)\.v(?:_(\w+))?", name):
            yield compare(name, flow(match[1], match[2] or "", name, rates, about, stored), stored[name], STRICT)


def convert_back(directory: Path) -> torch.nn.Module:
    """The network in its own class, which still has what embeds the frame rate."""
    from diffusers import SkyReelsV2Transformer3DModel

    return SkyReelsV2Transformer3DModel.from_pretrained(directory, subfolder="transformer")


def flow(kind: str, how: str, name: str, rates: dict[int, BaseModel], about: dict, stored: Stored) -> Tensor:
    """One call: `how` says the frame rate, or that the times are per frame; `causal_<n>` has a mask of blocks."""
    x, t = stored[f"dit.{kind}.x"].transpose(1, 2), stored[f"dit.{kind}.t"]
    t = t[:, None].expand(x.shape[:2]) if t.ndim == 1 else t
    texts = contexts(name, len(x), about, stored)
    if how == "mixed":  # a frame rate for each sample: the fold has one, so each runs on its own
        said = re.search(r"fps index \[([\d, ]+)\]", about["arrays"][name]["meaning"])
        rows = [16 if index.strip() == "0" else 24 for index in said[1].split(",")]
        outputs = [rates[rate].forward(x[i : i + 1], t[i : i + 1], texts[i : i + 1]) for i, rate in enumerate(rows)]
        return torch.cat(outputs).transpose(1, 2)
    model = rates[16 if how == "fps16" else 24]
    block = re.fullmatch(r"causal_(\d+)", kind)
    if block is None or how == "full":
        return model.forward(x, t, texts).transpose(1, 2)
    with temporal_attention(model.denoiser, causal(int(block[1]))):
        return model.forward(x, t, texts).transpose(1, 2)


def schedules(name: str, about: dict, stored: Stored) -> Iterator[Check]:
    """A table of calls; what the original does wrong with bad arguments is refused here."""
    arrays = [key for key in stored if key.startswith(f"schedule.{name}.")]
    if not arrays:
        return
    frames, steps, block = about["latent_frames"], about["steps"], about["block"]
    make = partial(turns, frames, steps, about["base_latent_frames"], about["ar_step"], block)
    ready = about["prefix_latent_frames"]
    if frames % block or ready % block:
        stored.read |= set(arrays)
        with pytest.raises(ValueError, match=f"block={block} does not divide"):
            list(make(ready))
        yield Check(f"schedule.{name} is refused", 0.0, 0.0)
        return
    solver, calls = FlowUniPC(steps, about["shift"]), list(make(ready))
    levels = torch.stack([levels_of(turn, steps) for turn in calls])
    times = torch.where(levels < 0, 0, solver.timesteps[levels.clamp(min=0)])
    yield from present(f"schedule.{name}.index", torch.stack([turn.state for turn in calls]), stored)
    yield from present(f"schedule.{name}.timestep", times, stored)
    yield from present(f"schedule.{name}.update", torch.stack([turn.steps for turn in calls]), stored)
    yield from present(f"schedule.{name}.interval", torch.tensor([[t.start, t.end] for t in calls]), stored)
    yield from present(f"schedule.{name}.sigmas", solver.sigmas, stored, 1e-7)


def model_of(directory: Path, run: dict, x: Tensor, levels: int) -> BaseModel:
    height, width = (8 * side for side in x.shape[-2:])
    options = dict(num_levels=levels, shift=run["shift"], fps_condition=run["fps"], window=x.shape[-3])
    return load(
        directory, height=height, width=width, guidance_scale=run["guidance"], device="cpu", dtype="fp32", **options
    )


def short(name: str, directory: Path, run: dict, stored: Stored) -> Iterator[Check]:
    """One clip, with the solvers' states intact and as released."""
    for ending in ("x", "x_released"):
        if f"{name}.{ending}" not in stored:
            continue
        wanted = stored[f"{name}.{ending}"]
        model, given = model_of(directory, run, wanted, run["num_inference_steps"]), None
        if f"{name}.image" in stored:
            given = model.encode_frames(stored[f"{name}.image"][None])
            yield from present(f"{name}.start_latent", given.transpose(0, 1), stored, 1e-5)
        config = METHOD.config(
            lag=run["ar_step"],
            block=run["causal_block_size"],
            causal=run.get("causal_attention", False),
            released=ending == "x_released",
        )
        yield from sampled(name, ending, model, config, run, stored, Recorded(wanted[0]), given)


def sampled(
    name: str,
    ending: str,
    model: BaseModel,
    config,
    run: dict,
    stored: Stored,
    noise: Recorded,
    prefix: Tensor | None = None,
    prefix_noise: int = 0,
) -> Iterator[Check]:
    """What the network saw in each call, and the result. A prefix that is shown noisy is clean in the result."""
    wanted, seen, told = stored[f"{name}.{ending}"], [], []
    text = Text("", *(stored[f"dit.context_{run[side][-1]}"] for side in ("prompt", "negative")))
    denoise = type(model).denoise

    def watch(self, latents, levels, text, guidance_scale=None):
        seen.append(latents[0].transpose(0, 1))
        told.append(self.timesteps(levels)[0])
        return denoise(self, latents, levels, text, guidance_scale)

    with patch.object(type(model), "denoise", watch):
        final = forced(model, text, config, noise, 0, wanted.shape[2], prefix, prefix_noise)
    yield compare(f"{name}.{ending}", torch.stack([*seen, final.transpose(0, 1)]), wanted, LOOSE)
    yield from present(f"{name}.timestep", torch.stack(told), stored)


def long(directory: Path, run: dict, stored: Stored) -> Iterator[Check]:
    """Windows that begin with the end of the one before, which went through pixels and back."""
    last, config = None, METHOD.config(lag=run["ar_step"], block=run["causal_block_size"])
    for window in sorted({match[1] for key in stored if (match := re.fullmatch(r"long\.(\w+)\.x", key))}):
        name = f"long.{window}"
        wanted = stored[f"{name}.x"]
        model = model_of(directory, run, wanted, run["num_inference_steps"])
        prefix, noise = (stored[key].transpose(0, 1) if (key := f"{name}.{kind}") in stored and kind == "prefix"
                         else stored.get(f"{name}.{kind}") for kind in ("prefix", "noise"))  # fmt: skip
        stored.read.add(f"{name}.noise")
        start = stored[f"{name}.start"] if f"{name}.start" in stored else wanted[0]
        if prefix is not None and last is not None:
            images = model.decoder().decode(last)[-run["overlap_history"] :]
            encoded = model.encode_frames(to_pixels(images))
            yield compare(f"{name}.prefix", encoded, prefix, LOOSE)
        share = run["addnoise_condition"] if prefix is not None else 0
        yield from sampled(name, "x", model, config, run, stored, Recorded(start, noise), prefix, share)
        last = stored[f"{name}.x"][-1].transpose(0, 1)


def cases(folder: Path) -> Sequence[str]:
    """Every json of the set is a case."""
    return sorted(path.stem for path in folder.glob("*.json"))
