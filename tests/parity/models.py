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

from miga.engine.base_model import BaseModel, Text
from miga.engine.noise import ReplayNoise
from miga.engine.sampling import sample_clip
from miga.engine.solvers import DDIM, FlowUniPC, scaled_linear_alphas
from miga.models import convert, load
from miga.models.videocrafter2 import FPS_EMBEDDING, fps_vector, token_ids
from miga.models.wan_networks import FrameTimesteps
from tests.parity.check import ABSENT, Check, Stored, compare

RAMP = 400  # timesteps over which VideoCrafter's scale array falls; its code knows no other number


def replay(case: str, folder: Path) -> list[Check]:
    about = json.loads((folder / f"{case}.json").read_text())
    if case.startswith("tokenizer"):
        return list(tokenizer(about))
    replays = dict(vc2=videocrafter2, wan=wan, solvers_ddim=ddim, solvers_unipc=unipc)
    run = next((run for start, run in replays.items() if case.startswith(start)), None)
    if run is None:
        raise ValueError(f"a case of the set 'models' is called {', '.join(replays)} or tokenizer, not {case}")
    tensors = load_file(folder / f"{case}.safetensors")
    stored = Stored({name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()})
    with torch.inference_mode():
        return [*run(about, stored, folder), *stored.unread()]


def said(about: dict, name: str, pattern: str) -> list[int] | None:
    """The numbers that the json's table of arrays gives for one of them: `pattern` finds their list in its meaning."""
    match = re.search(pattern, about["arrays"].get(name, {}).get("meaning", ""))
    return match and [int(number) for number in match[1].split(",")]


def tokenizer(about: dict) -> Iterator[Check]:
    pairs = [pair for pair in about["pairs"] if not pair.get("optional")]
    tokenizer = convert.clip_tokenizer(about["settings"]["context_length"])
    ids = token_ids(tokenizer, [pair["text"] for pair in pairs])
    wanted = torch.zeros_like(ids)
    for row, pair in zip(wanted, pairs, strict=True):
        row[: len(pair["ids"])] = torch.tensor(pair["ids"])
    yield compare(f"{len(pairs)} rows of ids", ids, wanted)


# --- VideoCrafter2 ---


def videocrafter2(about: dict, stored: Stored, folder: Path) -> Iterator[Check]:
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
        rescale = (params["scale_b"], RAMP) if params["use_scale"] else None
        options = dict(height=height, width=width, num_levels=run["steps"], eta=run["eta"], rescale=rescale)
        options |= dict(device="cpu", dtype="fp32")
        models = {fps: load(directory, fps_condition=fps, **options) for fps in {*settings["fps_values"], run["fps"]}}
        model = models[run["fps"]]
        yield from clip_tower(model, settings["prompts"], stored)
        yield from fps_embeddings(model, directory, stored)
        yield from unets(models, about, stored)
        yield from first_stage(model, stored)
        yield from base_run(model, run, stored)


def clip_tower(model: BaseModel, prompts: list[str], stored: Stored) -> Iterator[Check]:
    texts = model.encode(prompts)
    ids = token_ids(convert.clip_tokenizer(stored["text.ids"].shape[1]), prompts)
    yield compare("text.ids", ids, stored["text.ids"])
    yield compare("text.embedding", torch.stack([text.positive for text in texts]), stored["text.embedding"], 1e-4)
    yield compare("text.embedding, unconditional", texts[0].negative, stored["text.embedding"][-1], 1e-4)
    random = torch.stack(model.embed_ids(stored["text.random_ids"]))
    yield compare("text.random_embedding", random, stored["text.random_embedding"], 1e-4)


def fps_embeddings(model: BaseModel, directory: Path, stored: Stored) -> Iterator[Check]:
    for name in stored:
        if match := re.fullmatch(r"unet\.fps_embedding_(\d+)", name):
            added = fps_vector(model.denoiser, load_file(directory / FPS_EMBEDDING), int(match[1]))
            yield compare(name, added, stored[name], 1e-6)


def unets(models: dict[int, BaseModel], about: dict, stored: Stored) -> Iterator[Check]:
    context, times = stored["unet.single.context"], stored["unet.single.t"]
    for name in stored:
        match = re.fullmatch(r"unet\.(\w+)\.eps(?:_fps(\d+))?", name)
        if match is None:
            continue
        kind = match[1]
        fps = int(match[2]) if match[2] else said(about, name, r"fps = (\d+)")[0]
        x = stored[f"unet.{kind}.x"].transpose(1, 2)
        if kind == "single":
            t, text = times[:, None].expand(x.shape[:2]), context
        elif kind.startswith("frames"):
            t, text = stored[f"unet.{kind}.t"].reshape(x.shape[:2]), context[: len(x)]
        else:
            t, text = times[1].expand(x.shape[:2]), context[1:2]
        output = models[fps].forward(x, t, list(text)).transpose(1, 2)
        yield compare(name, output, stored[name], 1e-4)


def first_stage(model: BaseModel, stored: Stored) -> Iterator[Check]:
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


def base_run(model: BaseModel, run: dict, stored: Stored) -> Iterator[Check]:
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


def wan(about: dict, stored: Stored, folder: Path) -> Iterator[Check]:
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
        yield from transformers(models, about, stored)
        yield from causal_vae(models["frame"], stored)
        texts = models["frame"].embed_ids(stored["umt5.ids"].long(), stored["umt5.mask"].long())
        for number, text in enumerate(texts):
            yield compare(f"umt5.embedding_{number}", text, stored[f"umt5.embedding_{number}"], 1e-4)


def transformers(models: dict[str, BaseModel], about: dict, stored: Stored) -> Iterator[Check]:
    contexts = [stored[name] for name in sorted(stored) if name.startswith("dit.context_")]
    times = stored["dit.single.t"]
    yield sinusoids("dit.sinusoid_fp64", about, stored)
    for name in stored:
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
        wanted = stored[name]
        rows, columns = (mine // kept for mine, kept in zip(output.shape[-2:], wanted.shape[-2:], strict=True))
        yield compare(name, output[..., ::rows, ::columns], wanted, 3e-5)  # of the full size only some are stored


def sinusoids(name: str, about: dict, stored: Stored) -> Check:
    """The sinusoid of the timesteps that the table of arrays lists, as the transformer's embedder computes it."""
    times = torch.tensor(said(about, name, r"t = ([\d, ]+\d)"))
    projection = Timesteps(stored[name].shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
    return compare(name, FrameTimesteps.sinusoid(None, projection, (times,), projection(times)), stored[name], 1e-6)


def causal_vae(model: BaseModel, stored: Stored, tolerance: float = 1e-5) -> Iterator[Check]:
    """Encoding, and decoding in one go and streamed, of as many videos as there are."""
    mean, std = model.statistics()
    for name, frames in (("vae.encoded", None), ("vae.encoded_one_frame", 1)):
        if name in stored:
            encoded = model.vae.encode(stored["vae.video"][:, :, :frames]).latent_dist.mean
            yield compare(name, (encoded - mean) / std, stored[name], 1e-5)
    if "vae.decoded" not in stored:
        return
    z, wanted = stored["vae.z"], stored["vae.decoded"]
    yield compare("vae.decoded", model.vae.decode(z / (1 / std) + mean).sample, wanted, tolerance)
    for sizes in ([1] * z.shape[2], [2] + [1] * (z.shape[2] - 2), [z.shape[2]]):
        streams = [(model.decoder(), video.split(sizes, dim=1)) for video in z]
        videos = [torch.cat([decoder.decode(part.transpose(0, 1)) for part in parts]) for decoder, parts in streams]
        streamed = torch.stack(videos).transpose(1, 2)
        yield compare(f"vae.decoded, streamed by {sizes}", streamed, wanted, tolerance)


# --- solvers ---


def ddim(about: dict, stored: Stored, folder: Path) -> Iterator[Check]:
    scale, alphas = stored["scale_arr"], stored["alphas_cumprod"]
    rescale = (0.7, 400) if scale is ABSENT else (float(scale[-1]), int((scale != scale[-1]).sum()) + 1)
    start, end = re.search(r"([\d.]+?)\.\.([\d.]+)", about["settings"]["schedule"]).groups()
    cumulative = scaled_linear_alphas(float(start), float(end), len(alphas) or 1000)
    yield compare("alphas_cumprod", torch.from_numpy(cumulative), alphas, 1e-6)
    grids = dict(vc="strided", miga_vc="linspace", fifo_vc="linspace")
    for name, grid in about["settings"]["grids"].items():
        for eta in about["settings"]["etas"]:
            solver = DDIM(grid["asked_steps"], eta, grids[grid["copy"]], cumulative, rescale)
            prefix = f"{name}.eta{eta:g}"
            yield compare(f"{prefix}.sigmas", solver.table["sigma"], stored[f"{prefix}.sigmas"], 1e-6)
            levels = torch.tensor(grid["step_indices"])
            yield from ddim_steps(solver, f"{prefix}.base", levels, stored)
            for call in [key for key in stored if re.match(rf"{re.escape(prefix)}\.frames\d+\.index", key)]:
                yield from ddim_steps(solver, call.removesuffix(".index"), stored[call], stored)
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


def ddim_steps(solver: DDIM, prefix: str, levels: Tensor, stored: Stored) -> Iterator[Check]:
    """One step of frames at a level each, or of whole clips (first axis) at a level each with the dynamic rescale."""
    base = prefix.endswith("base")
    flat = (lambda a: a[:, 0].transpose(1, 2).flatten(0, 1)) if base else frames
    x, eps, noise, x_prev, x0 = (flat(stored[f"{prefix}.{key}"]) for key in ("x", "eps", "noise", "x_prev", "x0"))
    levels = levels.repeat_interleave(len(x) // len(levels))
    stepped = solver.step(eps, x, levels, solver.fresh(x), noise, rescale=base)
    yield compare(f"{prefix}.x_prev", stepped.sample, x_prev, 1e-5)
    yield compare(f"{prefix}.x0", stepped.clean, x0, 3e-5)


def unipc(about: dict, stored: Stored, folder: Path) -> Iterator[Check]:
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


def trajectory(solver: FlowUniPC, prefix: str, precision: str, tolerance: float, stored: Stored) -> Iterator[Check]:
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


def per_frame(solver: FlowUniPC, precision: str, tolerance: float, stored: Stored) -> Iterator[Check]:
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
