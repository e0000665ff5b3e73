"""Replay of the golden set `fifo`: FIFO-Diffusion's official code with toy networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from safetensors.torch import load_file

from baselines.fifo_diffusion import METHOD, FifoDiffusion
from miga.engine.base_model import Text
from miga.engine.diagonal import STAGE, warm_start
from miga.engine.queue import LatentQueue
from miga.engine.sampling import sample_clip
from miga.engine.solvers import DDIM, scaled_linear_alphas
from miga.engine.trace import Trace
from tests.parity.check import ABSENT, Check, Stored, compare
from tests.parity.toys import FifoToy, RecordedNoise

# The set's README, "How close should you get"; draws are equal, or differ by 2e-6 on a CPU without AVX2.
LATENTS, CLEAN, TABLES, DRAWS, EXACT = 2e-5, 2e-4, 1e-7, 2e-6, 0.0
STAGES = dict(start=0, sample=1, warm_start=2, diagonal=3, push=4)


def replay(case: str, folder: Path) -> Iterator[Check]:
    settings = json.loads((folder / f"{case}.json").read_text())
    golden = Stored(load_file(folder / f"{case}.safetensors"))
    yield from (replay_unit if settings["method"] == "fifo_unit" else replay_video)(settings, golden)
    yield from golden.unread()


def frames_first(latents):
    """(1, C, F, h, w) or (C, F, h, w) as stored, to (F, C, h, w)."""
    return latents.reshape(latents.shape[-4:]).transpose(0, 1)


class Snapshots(Trace):
    """Keeps the queue before each sweep; the one after an iteration is the one before the next."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[LatentQueue] = []

    def sweep(self, stage, queue, plan):
        self.queues.append(queue[:])


def ddim(num_levels: int, eta: float, rescaled: bool = True) -> DDIM:
    """The official solver; `rescaled`: whether the base clip knows VideoCrafter2's dynamic rescale."""
    solver = DDIM(num_levels, eta, rescale=(0.7, 400) if rescaled else None)
    solver.stochastic = True  # the original draws noise also where its weight is 0
    return solver


def rescaled(base: dict) -> bool:
    """Whether the solver is one with dynamic rescale: a given base clip says nothing about it."""
    return base["mode"] == "given" or base.get("vc2_scale_in_base", True)


def tables(solver: DDIM, golden: dict, prefix: str) -> Iterator[Check]:
    """The schedule, column by column."""
    mine = solver.table
    columns = dict(
        timesteps=(solver.timesteps, EXACT),
        alphas=(mine["alpha"], TABLES),
        alphas_prev=(mine["alpha_prev"], TABLES),
        sigmas=(mine["sigma"], TABLES),
        sqrt_one_minus_alphas=((1 - mine["alpha"]).sqrt(), TABLES),
        alphas_cumprod=(scaled_linear_alphas(), EXACT),
        base_scale=(mine["kappa"], TABLES),
        base_scale_prev=(mine["kappa_prev"], TABLES),
    )
    for name, (value, tolerance) in columns.items():
        if f"{prefix}.{name}" in golden:
            yield compare(f"{prefix}.{name}", value, golden[f"{prefix}.{name}"], tolerance)


def replay_unit(settings: dict, golden: dict) -> Iterator[Check]:
    """The one-frame step at every level."""
    for num_levels, eta in settings["settings"]["cases"]:
        prefix = f"N{num_levels}_eta{eta}"
        solver = ddim(num_levels, eta)
        yield from tables(solver, golden, prefix)
        x, output, z = (frames_first(golden[f"{prefix}.{name}"]) for name in ("x", "eps", "z"))
        if z is ABSENT and not eta:
            z = torch.zeros(())  # none is added
        if z is ABSENT and not eta:
            z = torch.zeros(())  # none is added
        sample, clean, _ = solver.step(output, x, torch.arange(num_levels), {}, z)
        yield compare(f"{prefix}.x_next", sample, frames_first(golden[f"{prefix}.x_next"]), LATENTS)
        yield compare(f"{prefix}.pred_x0", clean, frames_first(golden[f"{prefix}.pred_x0"]), CLEAN)


def replay_video(settings: dict, golden: dict) -> Iterator[Check]:
    case, conditions = settings["settings"], settings["conditions"]
    solver = ddim(case["N"], case["eta"], rescaled(settings["base"]))
    shape = (case["C"], case["h"], case["w"])
    model = FifoToy(solver, case["f"], shape, case["guidance_scale"], settings["toy"])
    negative = torch.tensor(conditions["uncond"])[None]
    text = {name: Text(name, torch.tensor(c)[None], negative) for name, c in conditions["cond"].items()}
    generator = torch.Generator().manual_seed(settings["seed"]["torch"])
    noise = RecordedNoise(lambda size: torch.randn(size, generator=generator))
    schedule = conditions["prompt_schedule"]
    trace, texts = Snapshots(), [text[name] for name, _ in schedule]
    config = FifoDiffusion(
        lookahead=case["lookahead"],
        drop_first=0,
        prompt_latents=prompt_latents(schedule, case),
        batch=1,
    )
    stream = METHOD.generate(model, texts, case["I"], config, noise, trace)
    if settings["base"]["mode"] == "given":
        base = frames_first(golden["base.latents"])
        diagonal = stream.parts["queue"]
        diagonal.queue = warm_start(diagonal.context, base, case["lookahead"])
    emitted = torch.cat(list(stream))
    after_last = stream.parts["queue"].queue
    calls = model.record

    yield from tables(solver, golden, "tables")
    if settings["base"]["mode"] == "sampled":
        yield from check_base(model, golden, noise, text[conditions["base_prompt"]], settings["seed"]["torch"])
        calls = calls[case["N"] :]
    yield compare("queue.init", trace.queues[0].latents, frames_first(golden["queue.init"]), LATENTS)
    head = trace.queues[0].latents[:1] if case["P"] else emitted[:1]
    before_shift = torch.cat([head, trace.queues[1].latents[:-1]])
    yield compare("queue.it0_before_shift", before_shift, frames_first(golden["queue.it0_before_shift"]), LATENTS)
    queues = [*trace.queues[1:], after_last]
    for number, latents in golden.rows("queue.snapshot_iterations", "queue.after_iteration"):
        yield compare(f"queue.after_iteration {number}", queues[number].latents, frames_first(latents), LATENTS)
    yield compare("emitted.latents", emitted, golden["emitted.latents"], LATENTS)
    yield from compare_images("emitted.images_u8", model.decoder().push(emitted).int(), golden["emitted.images_u8"])
    yield from check_first_iteration(model, golden, case, calls[: case["R"]], noise)
    yield from check_draws(golden, noise, case)
    yield compare("rng.after_rand16", torch.rand(16, generator=generator), golden["rng.after_rand16"], EXACT)
    counts = settings["counts"]
    yield compare("denoiser calls", model.calls, counts["eps_calls_base"] + counts["eps_calls_fifo"])
    yield compare("number of draws", len(noise.draws), counts["draws"])
    yield compare("frames", len(emitted), counts["decoded_frames_fifo"])


def prompt_latents(schedule, case) -> tuple[int, ...]:
    """Emissions of each prompt: the first also has those that are not saved."""
    lengths = [length for _, length in schedule]
    lengths[0] += case["I"] - case["V"]
    return tuple(lengths)


def compare_images(name: str, images, expected) -> Iterator[Check]:
    """Pictures may differ by one in a pixel of a thousand: rounding."""
    if expected is not ABSENT:
        expected = expected.int()
        yield compare(name, images, expected, 1)
        yield Check(f"{name} pixels off by one", float((images != expected).double().mean()), 1e-3)


def stored_rows(golden, name: str):
    """Which iterations a case stores, by the array of that name; all where it does not say."""
    return golden[name] if name in golden else slice(None)


def check_base(model, golden, noise, text, seed) -> Iterator[Check]:
    """The base clip, and its latents on the way: what the network was shown one step later."""
    yield compare("base.x_T", model.record[0]["x"], frames_first(golden["base.x_T"]), DRAWS)
    replayed = RecordedNoise(lambda size: torch.randn(size, generator=again))
    again = torch.Generator().manual_seed(seed)
    fresh = FifoToy(model.solver, model.window, model.latent_shape, model.guidance_scale, model.constants)
    base = sample_clip(fresh, text, replayed)
    yield compare("base.latents", base, frames_first(golden["base.latents"]), LATENTS)
    steps = [call["x"] for call in model.record[1 : model.solver.num_levels]] + [base]
    for done, latents in golden.rows("base.x_steps_done", "base.x_after_steps"):
        yield compare(f"base.x_after_steps {done}", steps[done - 1], frames_first(latents), LATENTS)


def check_first_iteration(model, golden, case, calls, noise) -> Iterator[Check]:
    """Window by window: levels, timesteps, both branches, and the step of all frames, kept or not."""
    spans, prefix = [call["levels"] for call in calls], case["P"]
    starts = [int(levels[-1]) + prefix + 1 - case["f"] for levels in spans]
    yield compare("it0.start", starts, golden["it0.start"], EXACT)
    yield compare("it0.indices", torch.stack(spans), golden["it0.indices"], EXACT)
    yield compare("it0.timesteps", torch.stack([call["t"] for call in calls]), golden["it0.timesteps"], EXACT)
    for branch, name in (("cond", "eps_cond"), ("uncond", "eps_uncond"), ("out", "eps_guided")):
        if f"it0.{name}" in golden:
            expected = [frames_first(window) for window in golden[f"it0.{name}"]]
            yield compare(f"it0.{name}", torch.stack([call[branch] for call in calls]), torch.stack(expected), CLEAN)
    drawn = [draw["value"] for draw in noise.draws if draw["purpose"] == STAGE]
    for row, call in enumerate(calls):
        z = torch.stack(drawn[row * model.window : (row + 1) * model.window])
        sample, clean, _ = model.solver.step(call["out"], call["x"], call["levels"], {}, z)
        yield compare(f"it0.output {row}", sample, frames_first(golden["it0.output"][row]), LATENTS)
        yield compare(f"it0.pred_x0 {row}", clean, frames_first(golden["it0.pred_x0"][row]), CLEAN)


def check_draws(golden, noise, case) -> Iterator[Check]:
    """Every random number in its order, with what it was for."""
    values = [draw["value"].flatten() for draw in noise.draws]
    yield compare("draws.first", [v[0] for v in values], golden["draws.first"], DRAWS)
    yield compare("draws.sum", [v.double().sum() for v in values], golden["draws.sum"], 1e-4)
    yield compare("draws.numel", [len(v) for v in values], golden["draws.numel"], EXACT)
    for name, value in (("kind", 0), ("beam", -1), ("candidate", -1)):  # all are normal, of a method without search
        yield compare(f"draws.{name}", [value] * len(values), golden[f"draws.{name}"], EXACT)
    stages = [STAGES[draw["purpose"]] for draw in noise.draws]
    yield compare("draws.stage", stages, golden["draws.stage"], EXACT)
    frames = [draw["frame"] if stage in (2, 3) else -1 for stage, draw in zip(stages, noise.draws, strict=True)]
    yield compare("draws.frame", frames, golden["draws.frame"], EXACT)
    numbers = {stage: count() for stage in STAGES.values()}
    per_sweep = case["R"] * case["f"]
    iteration, window = [], []
    for stage in stages:
        number = next(numbers[stage])
        iteration.append(-1 if stage in (0, 2) else number // per_sweep if stage == 3 else number)
        window.append(case["R"] - 1 - number % per_sweep // case["f"] if stage == 3 else -1)
    yield compare("draws.iteration", iteration, golden["draws.iteration"], EXACT)
    yield compare("draws.window", window, golden["draws.window"], EXACT)
    for name, purpose in (("noise.warm", "warm_start"), ("noise.push", "push")):
        drawn = torch.stack([draw["value"] for draw in noise.draws if draw["purpose"] == purpose])
        expected = frames_first(golden[name]) if name == "noise.warm" else golden[name]
        yield compare(name, drawn, expected, DRAWS)
    stepped = torch.stack([draw["value"] for draw in noise.draws if draw["purpose"] == STAGE])
    stepped = stepped.unflatten(0, (-1, case["R"], case["f"])).transpose(2, 3)
    yield compare("noise.step", stepped[stored_rows(golden, "noise.step_iterations")], golden["noise.step"], DRAWS)
