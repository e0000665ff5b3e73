"""Golden set `models`: networks, tokenizer and solvers of VideoCrafter2 and Wan2.1 against the originals.

Checkpoints under their original names are converted, loaded as any model is, and driven through the contract.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import torch
from diffusers.models.embeddings import Timesteps
from safetensors.torch import load_file
from torch import Tensor

from miga.models import convert, load
from miga.models.base import BaseModel, Text
from miga.models.videocrafter2 import FPS_EMBEDDING, fps_vector, token_ids
from miga.models.wan import FrameTimesteps
from miga.noise import ReplayNoise
from miga.sampling import sample_clip
from miga.solvers import DDIM, FlowUniPC, scaled_linear_alphas
from tests.parity.check import Check, compare

Arrays = dict[str, Tensor]


def replay(case: str, folder: Path) -> Iterator[Check]:
    about = json.loads((folder / f"{case}.json").read_text())
    if case.startswith("tokenizer"):
        return tokenizer(about)
    tensors = load_file(folder / f"{case}.safetensors")
    stored = {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
    replays = dict(vc2=videocrafter2, wan=wan, solvers_ddim=ddim, solvers_unipc=unipc)
    run = next(run for start, run in replays.items() if case.startswith(start))
    with torch.inference_mode():
        return iter(list(run(about, stored, folder)))


def tokenizer(about: dict) -> Iterator[Check]:
    pairs = [pair for pair in about["pairs"] if not pair.get("optional")]
    ids = token_ids(convert.clip_tokenizer(), [pair["text"] for pair in pairs])
    wanted = torch.zeros_like(ids)
    for row, pair in zip(wanted, pairs, strict=True):
        row[: len(pair["ids"])] = torch.tensor(pair["ids"])
    yield compare(f"{len(pairs)} rows of ids", ids, wanted)


# --- VideoCrafter2 ---


def videocrafter2(about: dict, stored: Arrays, folder: Path) -> Iterator[Check]:
    params, settings = about["yaml_config"]["params"], about["settings"]
    config = dict(
        unet=params["unet_config"]["params"],
        vae=params["first_stage_config"]["params"]["ddconfig"] | dict(scale_factor=params["scale_factor"]),
        text=settings["text_tower"],
    )
    files = [folder / about["weights"][key]["file"] for key in ("ckpt",) if key in about["weights"]]
    source = next((file for file in files if file.is_file()), folder / about["weights"]["file"])
    with tempfile.TemporaryDirectory() as scratch:
        directory = convert.convert("videocrafter2", source, Path(scratch, "model"), config)
        run = settings["run"]
        height, width = (8 * side for side in stored["run.x_T"].shape[-2:])
        options = dict(height=height, width=width, num_levels=run["steps"], eta=run["eta"], device="cpu", dtype="fp32")
        models = {fps: load(directory, fps_condition=fps, **options) for fps in settings["fps_values"]}
        model = models[run["fps"]]
        yield from clip_tower(model, settings["prompts"], stored)
        yield from fps_embeddings(model, directory, stored)
        yield from unets(models, stored)
        yield from first_stage(model, stored)
        yield from base_run(model, run, stored)


def clip_tower(model: BaseModel, prompts: list[str], stored: Arrays) -> Iterator[Check]:
    texts = model.encode(prompts)
    yield compare("text.embedding", torch.stack([text.positive for text in texts]), stored["text.embedding"], 1e-4)
    yield compare("text.embedding, unconditional", texts[0].negative, stored["text.embedding"][-1], 1e-4)
    random = torch.stack(model.embed_ids(stored["text.random_ids"]))
    yield compare("text.random_embedding", random, stored["text.random_embedding"], 1e-4)


def fps_embeddings(model: BaseModel, directory: Path, stored: Arrays) -> Iterator[Check]:
    for name, wanted in stored.items():
        if match := re.fullmatch(r"unet\.fps_embedding_(\d+)", name):
            added = fps_vector(model.denoiser, load_file(directory / FPS_EMBEDDING), int(match[1]))
            yield compare(name, added, wanted, 1e-6)


def unets(models: dict[int, BaseModel], stored: Arrays) -> Iterator[Check]:
    context, times = stored["unet.single.context"], stored["unet.single.t"]
    for name, wanted in stored.items():
        match = re.fullmatch(r"unet\.(single|frames|frames_b2|F\d+)\.eps(?:_fps(\d+))?", name)
        if match is None:
            continue
        kind, fps = match[1], int(match[2] or (24 if match[1] == "frames_b2" else 8))
        x = stored[f"unet.{kind}.x"].transpose(1, 2)
        if kind == "single":
            t, text = times[:, None].expand(x.shape[:2]), context
        elif kind.startswith("frames"):
            t, text = stored[f"unet.{kind}.t"].reshape(x.shape[:2]), context[: len(x)]
        else:
            t, text = times[1].expand(x.shape[:2]), context[1:2]
        output = models[fps].forward(x, t, list(text)).transpose(1, 2)
        yield compare(name, output, wanted, 1e-4)


def first_stage(model: BaseModel, stored: Arrays) -> Iterator[Check]:
    scale = model.vae.config.scaling_factor
    frames = stored["vae.video"][0].transpose(0, 1)
    posterior = model.vae.encode(frames).latent_dist
    video = lambda images: images.transpose(0, 1)[None]  # noqa: E731 - frames back to the axes of the file
    yield compare("vae.mean", video(posterior.mean), stored["vae.mean"], 1e-4)
    yield compare("vae.logvar", video(posterior.logvar), stored["vae.logvar"], 1e-4)
    latent = scale * (posterior.mean + posterior.std * stored["vae.noise"])
    yield compare("vae.latent", video(latent), stored["vae.latent"], 1e-4)
    decoded = [video(model.vae.decode(z.transpose(0, 1) / scale).sample) for z in stored["vae.z"]]
    yield compare("vae.decoded", torch.cat(decoded), stored["vae.decoded"], 1e-4)


def base_run(model: BaseModel, run: dict, stored: Arrays) -> Iterator[Check]:
    yield compare("run.timesteps", model.solver.timesteps, stored["run.timesteps"])
    text = Text("", stored["text.embedding"][0], stored["text.embedding"][-1])
    draws = iter(stored["run.noise"][:, 0])
    seen = []

    def denoise(sample, levels, text, guidance_scale):
        seen.append(sample[0])
        return model.denoise(sample, levels, text, guidance_scale)

    noise = ReplayNoise(stream=lambda shape: next(draws))
    start = stored["run.x_T"][0].transpose(0, 1)
    final = sample_clip(model, text, noise, start=start, guidance_scale=run["guidance"], denoise=denoise)
    latents = torch.stack([*seen[1:], final]).transpose(1, 2)[:, None]
    largest = stored["run.x"].abs().max()
    yield compare("run.x (relative)", latents / largest, stored["run.x"] / largest, 1e-4)
    pixels = model.vae.decode(final[:1] / model.vae.config.scaling_factor).sample
    yield compare("run.video_frame0", pixels, stored["run.video_frame0"], 1e-3)


# --- Wan2.1 ---


def wan(about: dict, stored: Arrays, folder: Path) -> Iterator[Check]:
    settings = about["settings"]
    parts = dict(
        transformer=(convert.wan_transformer, "dit"), vae=(convert.wan_vae, "vae"), text_encoder=(convert.umt5, "umt5")
    )
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for part, (build, key) in parts.items():
            source = folder / about["weights"][key]["file"]
            network, tensors = build(convert.read(source, key), settings[key])
            aliases = ["encoder.embed_tokens.weight"] if key == "umt5" else []
            convert.write(network, tensors, directory / part, source, aliases)
        (directory / "model_index.json").write_text(
            json.dumps(dict(transformer=["diffusers", "WanTransformer3DModel"]))
        )
        options = dict(text_tokens=settings["dit"]["text_len"], device="cpu", dtype="fp32")
        models = {head: load(directory, head=head, **options) for head in ("frame", "first")}
        yield from transformers(models, stored)
        yield from causal_vae(models["frame"], stored)
        texts = models["frame"].embed_ids(stored["umt5.ids"].long(), stored["umt5.mask"].long())
        for number, text in enumerate(texts):
            yield compare(f"umt5.embedding_{number}", text, stored[f"umt5.embedding_{number}"], 1e-4)


def transformers(models: dict[str, BaseModel], stored: Arrays) -> Iterator[Check]:
    contexts = [stored[f"dit.context_{i}"] for i in range(2)]
    times = stored["dit.single.t"]
    yield compare("dit.sinusoid_fp64", sinusoids(stored["dit.sinusoid_fp64"]), stored["dit.sinusoid_fp64"], 1e-6)
    for name, wanted in stored.items():
        match = re.fullmatch(r"dit\.(\w+)\.v(?:_head_(frame|first))?", name)
        if match is None:
            continue
        kind, head = match[1], match[2] or "frame"
        x = stored[f"dit.{kind}.x"].transpose(1, 2)
        if kind == "single":
            t, text = times[:, None].expand(x.shape[:2]), contexts
        elif kind == "one_frame":
            t, text = times[1].expand(x.shape[:2]), contexts[1:]
        else:
            t, text = stored[f"dit.{kind}.t"][None], contexts[:1]
        output = models[head].forward(x, t, text).transpose(1, 2)
        if kind == "full":
            output = output[..., ::6, ::8]
        yield compare(name, output, wanted, 3e-5)


def sinusoids(like: Tensor) -> Tensor:
    """The sinusoid of the timesteps that the README lists, as the transformer's embedder computes it."""
    times = torch.tensor([0, 1, 92, 500, 877, 999])
    projection = Timesteps(like.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
    return FrameTimesteps.sinusoid(None, projection, (times,), projection(times))


def causal_vae(model: BaseModel, stored: Arrays) -> Iterator[Check]:
    mean, std = model.statistics()
    for name, video in (
        ("vae.encoded", stored["vae.video"]),
        ("vae.encoded_one_frame", stored["vae.video"][:, :, :1]),
    ):
        yield compare(name, (model.vae.encode(video).latent_dist.mean - mean) / std, stored[name], 1e-5)
    z, wanted = stored["vae.z"], stored["vae.decoded"]
    yield compare("vae.decoded", model.vae.decode(z / (1 / std) + mean).sample, wanted, 1e-5)
    for sizes in ([1] * z.shape[2], [2] + [1] * (z.shape[2] - 2), [z.shape[2]]):
        decoder = model.decoder()
        frames = torch.cat([decoder.decode(part[0].transpose(0, 1)) for part in z.split(sizes, dim=2)])
        yield compare(f"vae.decoded, streamed by {sizes}", frames.transpose(0, 1)[None], wanted, 1e-5)


# --- solvers ---


def ddim(about: dict, stored: Arrays, folder: Path) -> Iterator[Check]:
    scale = stored["scale_arr"]
    rescale = (float(scale[-1]), int((scale != scale[-1]).sum()) + 1)
    yield compare("alphas_cumprod", torch.from_numpy(scaled_linear_alphas()), stored["alphas_cumprod"], 1e-6)
    for name, grid in about["settings"]["grids"].items():
        kind = "strided" if grid["copy"] == "vc" else "linspace"
        for eta in about["settings"]["etas"]:
            solver = DDIM(grid["asked_steps"], eta, kind, rescale=rescale)
            prefix = f"{name}.eta{eta:g}"
            yield compare(f"{prefix}.sigmas", solver.table["sigma"], stored[f"{prefix}.sigmas"], 1e-6)
            levels = torch.tensor(grid["step_indices"])
            yield from ddim_steps(solver, f"{prefix}.base", levels, stored)
            for call in range(2):
                if f"{prefix}.frames{call}.index" in stored:
                    levels = stored[f"{prefix}.frames{call}.index"]
                    yield from ddim_steps(solver, f"{prefix}.frames{call}", levels, stored)
        columns = dict(alphas="alpha", alphas_prev="alpha_prev", scale="kappa", scale_prev="kappa_prev")
        yield compare(f"{name}.timesteps", solver.timesteps, stored[f"{name}.timesteps"])
        for theirs, ours in columns.items():
            yield compare(f"{name}.{theirs}", solver.table[ours], stored[f"{name}.{theirs}"], 1e-6)
        if "add_noise_index" in grid:
            clean, noise, out = (frames(stored[f"{name}.add_noise.{key}"]) for key in ("x", "noise", "out"))
            yield compare(f"{name}.add_noise", solver.add_noise(clean, grid["add_noise_index"], noise), out, 1e-6)


def frames(array: Tensor) -> Tensor:
    """(1, C, F, h, w) -> (F, C, h, w)."""
    return array[0].transpose(0, 1)


def ddim_steps(solver: DDIM, prefix: str, levels: Tensor, stored: Arrays) -> Iterator[Check]:
    """One step of frames at a level each, or of whole clips (first axis) at a level each with the dynamic rescale."""
    base = prefix.endswith("base")
    flat = (lambda a: a[:, 0].transpose(1, 2).flatten(0, 1)) if base else frames
    x, eps, noise, x_prev, x0 = (flat(stored[f"{prefix}.{key}"]) for key in ("x", "eps", "noise", "x_prev", "x0"))
    levels = levels.repeat_interleave(len(x) // len(levels))
    stepped = solver.step(eps, x, levels, solver.fresh(x), noise, rescale=base)
    yield compare(f"{prefix}.x_prev", stepped.sample, x_prev, 1e-5)
    yield compare(f"{prefix}.x0", stepped.clean, x0, 3e-5)


def unipc(about: dict, stored: Arrays, folder: Path) -> Iterator[Check]:
    settings = about["settings"]
    schedules = {name: s for name, s in settings["schedules"].items() if "steps" in s}
    solvers = {name: FlowUniPC(s["steps"], s["shift"]) for name, s in schedules.items()}
    for name, solver in solvers.items():
        yield compare(f"{name}.sigmas", solver.sigmas, stored[f"{name}.sigmas"], 1e-7)
        yield compare(f"{name}.timesteps", solver.timesteps.flip(0), stored[f"{name}.timesteps"])
        for precision, tolerance in (("f32", 3e-5), ("f64", 1e-12)):
            yield from trajectory(solver, f"{name}.trajectory", precision, tolerance, stored)
    log = settings["schedules"]["per_frame"]
    for precision, tolerance in (("f32", 3e-5), ("f64", 1e-12)):
        yield from per_frame(solvers[log["schedule"]], precision, tolerance, stored)
    noising = settings["schedules"]["add_noise"]
    solver = solvers[noising["schedule"]]
    clean, noise, out = (frames(stored[f"add_noise.{key}"]) for key in ("x", "noise", "out"))
    yield compare("add_noise", solver.add_noise(clean, solver.num_levels - 1 - noising["step"], noise), out, 1e-6)


def dtype_of(precision: str) -> torch.dtype:
    return dict(f32=torch.float32, f64=torch.float64)[precision]


def trajectory(solver: FlowUniPC, prefix: str, precision: str, tolerance: float, stored: Arrays) -> Iterator[Check]:
    sample = frames(stored[f"{prefix}.x_start"]).to(dtype_of(precision))
    history, samples, corrected = solver.fresh(sample), [], []
    for step, v in enumerate(stored[f"{prefix}.v"]):
        levels = torch.full((len(sample),), solver.num_levels - 1 - step)
        sample, _, history = solver.step(frames(v).to(sample), sample, levels, history)
        samples.append(sample)
        corrected.append(history["last"])
    for name, ours in (("x", samples), ("corrected", corrected)):
        wanted = stored[f"{prefix}.{name}_{precision}"]
        yield compare(f"{prefix}.{name}_{precision}", torch.stack(ours).transpose(1, 2)[:, None], wanted, tolerance)


def per_frame(solver: FlowUniPC, precision: str, tolerance: float, stored: Arrays) -> Iterator[Check]:
    """Replay the log; calls of one iteration that follow each other are one step of several frames."""
    log = {name: stored[f"per_frame.{name}"] for name in ("kind", "iteration", "frame", "step", "order")}
    v, noise = (stored[f"per_frame.{name}"][:, :, 0].to(dtype_of(precision)) for name in ("v", "noise"))
    sample = stored["per_frame.x_start"][:, :, 0].to(v, copy=True)
    history = solver.fresh(sample)
    out, corrected, order = torch.zeros_like(v), torch.zeros_like(v), torch.zeros(len(v), dtype=torch.long)
    group = lambda call: (log["kind"][call].item(), log["iteration"][call].item())  # noqa: E731
    for (kind, _), calls in groupby(range(len(v)), key=group):
        calls = torch.tensor(list(calls))
        who, levels = log["frame"][calls].long(), solver.num_levels - 1 - log["step"][calls].long()
        if kind == 1:
            sample[who] = solver.add_noise(sample[who], levels, noise[calls])
            mine = solver.fresh(sample[who])
        else:
            mine = {name: value[who] for name, value in history.items()}
            sample[who], _, mine = solver.step(v[calls], sample[who], levels, mine)
            corrected[calls], order[calls] = mine["last"], mine["order"]
        out[calls] = sample[who]
        for name, value in mine.items():
            history[name][who] = value
    yield compare("per_frame.order", order, log["order"].long())
    for name, ours in (("x_out", out), ("corrected", corrected)):
        wanted = stored[f"per_frame.{name}_{precision}"][:, :, 0]
        yield compare(f"per_frame.{name}_{precision}", ours, wanted, tolerance)
