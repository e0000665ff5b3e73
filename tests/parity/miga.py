"""Replay of the golden set `miga`: the official code on VideoCrafter2 and Wan2.1 with a mock network."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from miga.engine.base_model import Text
from miga.engine.queue import LatentQueue
from miga.engine.solvers import DDIM, FlowUniPC, scaled_linear_alphas
from miga.engine.trace import Trace
from miga.engine.windows import held
from miga.method import METHOD, Miga, reflection
from miga.models.registry import UNET, WAN
from tests.parity.check import Check, Stored, compare
from tests.parity.toys import GoldenModel, RecordedNoise

PHASES = dict(warmup="init", zigzag="stage1", unified="stage2", redenoise="redenoise", reflect="reflect")
TABLES, DRAWN, EXACT = 1e-7, 1e-4, 0.0


def replay(case: str, folder: Path) -> Iterator[Check]:
    meta = json.loads((folder / f"{case}.json").read_text())
    run = Run(meta)
    run.go()
    golden = Stored(np.load(folder / f"{case}.npz"))
    golden.read.add("draws_flat")  # the draws themselves, whose checksums are compared
    yield from run.schedules(golden)
    yield from run.latents(golden)
    yield from run.calls(golden)
    yield from run.snapshots(golden)
    yield from run.reflections(golden)
    yield from run.draws(golden)
    yield from golden.unread()


def width_of(golden, *names: str) -> int:
    """Width of the stored rows, which are padded."""
    return max([golden[name].shape[1] for name in names if name in golden], default=0)


class MockNetwork(GoldenModel):
    """The mock of the set's README. Keeps sums of what it saw, for the conditional branch."""

    def network(self, x, t, condition):
        t = t.to(x.dtype).reshape(-1, 1, 1, 1)
        count = torch.arange(1, len(x) + 1, dtype=x.dtype).reshape(-1, 1, 1, 1)
        mix = 0.6 * x + 0.25 * x.mean(0, keepdim=True) - 0.2 * x.roll(1, 0) + 0.1 * (x.cumsum(0) / count)
        out = mix.tanh() * (0.8 + 0.2 * torch.cos(t / 200))
        if self.abilities.prediction == "epsilon":
            out = 0.9 * torch.sin(math.pi * t / 2000) * x + 0.35 * out
        return out + 0.05 * torch.sin(t / 137) + condition.to(x)

    def keep(self, call):
        self.record.append(dict(t=call["t"], x=call["x"].double().sum(), out=call["cond"].double().sum()))


@contextmanager
def as_released() -> Iterator[None]:
    """What the order of random numbers asks for: candidates in turn, and windows that step nothing run too."""

    def in_turn(self, reference, names, number):
        return [tail for name in names for tail in grow(self, reference, [name], number)]

    grow = reflection.Reflection.grow
    with (
        patch.object(reflection.Reflection, "grow", in_turn),
        patch.object(reflection, "freeze", lambda windows, frozen: [held(window, frozen) for window in windows]),
    ):
        yield


class Probe(Trace):
    """Notes every sweep: its stage, the windows of its plan, the queue as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[dict] = []
        self.queues: list[tuple[str, int, LatentQueue]] = []
        self.numbers: dict = {}
        self.stage = None

    def sweep(self, stage, queue, plan):
        warmups = self.numbers.get("warmup", -1)
        number = self.numbers[stage] = self.numbers.get(stage, -1) + 1
        where = dict(phase=PHASES[stage], iter=number, outer_iter=-1, candidate=-1, qlen=len(queue))
        if stage == "reflect":
            searches = len(self.events.get("reflection", []))  # those that have ended
            inside = self.numbers[stage, searches] = self.numbers.get((stage, searches), -1) + 1
            age = self.events["settings"][0]["judged_age"]
            where |= dict(iter=inside % age, candidate=inside // age, outer_iter=warmups)
        else:
            self.queues.append((PHASES[stage], number, queue[:]))
        self.stage = stage
        self.windows += [dict(where, window=window) for window in plan]


class Run:
    """One replayed case and what was seen on the way."""

    def __init__(self, meta: dict) -> None:
        self.meta, case = meta, meta["case"]
        self.wan, self.double = "global_seed" in case, case.get("f64", False)
        self.tolerance = 1e-12 if self.double else 2e-5
        self.chunk, self.height, self.width = case["L_zig"], case.get("H", 4), case.get("W", 6)
        dtype = torch.float64 if self.double else torch.float32
        if self.wan:
            solver, window, channels, scale = FlowUniPC(54), 21, 16, 5.0
        else:
            solver, window, channels, scale = DDIM(64, eta=1.0, rescale=(0.7, 400)), 16, 4, 12.0
        self.model = MockNetwork(solver, window, (channels, self.height, self.width), scale, dtype)
        self.model.abilities = WAN if self.wan else UNET
        self.generators = [torch.Generator().manual_seed(case["global_seed" if self.wan else "seed"])]
        self.generators.append(torch.Generator().manual_seed(case["seed"]))
        self.sums = self.tolerance * math.sqrt(window * channels * self.height * self.width)  # of as many numbers
        self.noise, self.trace, self.seen = RecordedNoise(self.stream), Probe(), {}

    def stream(self, shape):
        """Wan's first draw comes from its seeded generator, which then draws a block that nobody uses."""
        first = self.wan and not self.noise.draws
        value = torch.randn(shape, generator=self.generators[first])
        self.noise.asked |= dict(stage=self.trace.stage, rng=int(first))
        return value

    def go(self) -> None:
        case = self.meta["case"]
        delta = dict(delta=case["threshold"]) if self.wan and "threshold" in case else {}
        config = Miga(
            preset="released",
            l_zig=self.chunk,
            m_guid=case["m_guid"],
            reflection="warmup" if case["reflect"] else "off",
            batch=1,
            **delta,
        )
        text = Text("", torch.tensor(0.03, dtype=torch.float64), torch.tensor(-0.02, dtype=torch.float64))
        shown = case["N_chunks"] * self.chunk - (21 if self.wan else 0)
        stream = METHOD.generate(self.model, [text], shown, config, self.noise, self.trace)
        zigzag, unified, redenoise = (stream.parts[name] for name in ("zigzag", "unified", "redenoise"))
        self.tap(zigzag, "warm_up", lambda base, *_: self.seen.update(base_latents=base))
        self.tap(unified, "push", lambda frames, **_: self.collect("stage1_latents", frames))
        self.tap(redenoise, "push", lambda frames, **_: self.collect("stage2_latents", frames))
        self.tap(redenoise, "push", after=lambda frames: self.collect("all_latents", frames))
        with as_released():
            self.seen["final_latents"] = torch.cat(list(stream))

    def tap(self, owner, name, before=lambda *_, **__: None, after=lambda _: None) -> None:
        """Look at a method's arguments and result."""
        method = getattr(owner, name)

        def tapped(*args, **options):
            before(*args, **options)
            result = method(*args, **options)
            after(result)
            return result

        setattr(owner, name, tapped)

    def collect(self, name, frames) -> None:
        self.seen[name] = torch.cat([self.seen.get(name, frames[:0]), frames])

    def age(self, levels):
        """Levels as the trace labels them: DDIM index, or steps taken."""
        return self.model.solver.num_levels - 1 - levels if self.wan else levels

    def schedules(self, golden) -> Iterator[Check]:
        solver = self.model.solver
        if self.wan:
            yield compare("sched_timesteps", solver.timesteps.flip(0), golden["sched_timesteps"], EXACT)
            yield compare("sched_sigmas", solver.sigmas, golden["sched_sigmas"], TABLES)
            return
        table = solver.table
        columns = dict(
            alphas=table["alpha"],
            alphas_prev=table["alpha_prev"],
            sigmas=table["sigma"],
            sqrt_one_minus_alphas=(1 - table["alpha"]).sqrt(),
            scale=table["kappa"],
            scale_prev=table["kappa_prev"],
            alphas_cumprod_1000=scaled_linear_alphas(),
        )
        yield compare("sched_timesteps", solver.timesteps, golden["sched_timesteps"], EXACT)
        for name, column in columns.items():
            yield compare(f"sched_{name}", column, golden[f"sched_{name}"], TABLES)

    def latents(self, golden) -> Iterator[Check]:
        solver = self.model.solver
        queue, renoised = (
            next(queue for name, number, queue in self.trace.queues if (name, number) == (phase, 0))
            for phase in ("stage1", "redenoise")
        )
        self.seen |= dict(init_latents=queue.latents, renoised_latents=renoised.latents)
        shown = len(self.seen["final_latents"])
        self.seen["dropped_latents"] = self.seen["all_latents"][shown:]
        names = (
            "base_latents",
            "init_latents",
            "stage1_latents",
            "stage2_latents",
            "renoised_latents",
            "final_latents",
        )
        for name in names + ("dropped_latents",) * self.wan:
            yield compare(name, self.seen[name], golden[name].swapaxes(0, 1), self.tolerance)
        yield compare("init_steps", self.age(queue.levels), golden["init_steps"], EXACT)
        yield compare("init_timesteps", solver.timesteps[queue.levels], golden["init_timesteps"], EXACT)
        if self.wan:
            history = queue.history
            order = torch.where(history["steps"] > 0, history["order"], -1)
            yield compare("init_solver_order", order, golden["init_solver_order"], EXACT)
            columns = dict(last_sample="last", m0="clean2", m1="clean1")
            for name, mine in columns.items():
                if f"init_solver_{name}" in golden:
                    expected = golden[f"init_solver_{name}"].swapaxes(0, 1)
                    yield compare(f"init_solver_{name}", history[mine], expected, self.tolerance)

    def calls(self, golden) -> Iterator[Check]:
        """Every call of the denoiser: what it was for, which frames it read and stepped, timesteps, sums."""
        base, rows, seen = self.model.solver.num_levels, self.trace.windows, self.model.record
        width = width_of(golden, "call_frames", "call_t") or max(len(row["window"].frames) for row in rows)
        yield compare("number of calls", len(seen), golden["call_phase"].shape[0])
        yield compare("n_model_calls_total", self.model.calls, self.meta["n_model_calls_total"])
        phases = self.meta["phases"]
        found = [phases.index("base")] * base + [phases.index(row["phase"]) for row in rows]
        yield compare("call_phase", found, golden["call_phase"])
        for name in ("iter", "outer_iter", "candidate", "qlen"):
            yield compare(f"call_{name}", [-1] * base + [row[name] for row in rows], golden[f"call_{name}"])
        frames = [pad(row["window"].frames, width) for row in rows]
        yield compare("call_frames", [pad((), width)] * base + frames, golden["call_frames"])
        yield compare("call_nframes", [len(call["t"]) for call in seen], golden["call_nframes"])
        kept = [pad(row["window"].steps, width) for row in rows]
        if {"call_start", "call_cal_len"} <= golden.keys():
            yield compare("kept frames (call_start, call_cal_len)", kept, self.kept(golden, base, width))
        inside = np.array([row["phase"] != "reflect" for row in rows])
        if "call_cal_len" not in golden:  # alone, each says less
            starts = [row["window"].steps[0] for row in rows if row["phase"] != "reflect"]
            yield compare("call_start", starts, golden["call_start"][base:][inside])
        if "call_start" not in golden:
            lengths = [len(row["window"].steps) for row in rows if row["phase"] != "reflect"]
            yield compare("call_cal_len", lengths, golden["call_cal_len"][base:][inside])
        offsets = [row["window"].offset for row in rows if row["phase"] != "reflect"]
        yield compare("call_bias", offsets, golden["call_bias"][base:][inside])
        times = [pad(call["t"][:1] if i < base else call["t"], width) for i, call in enumerate(seen)]
        yield compare("call_t", times, golden["call_t"])
        yield compare("call_x_sum", [call["x"] for call in seen], golden["call_x_sum"], self.sums)
        yield compare("call_out_sum", [call["out"] for call in seen], golden["call_out_sum"], self.sums)

    def kept(self, golden, base, width):
        """Queue positions that each recorded call stepped; in a search the first, frozen chunks are not stepped."""
        frozen = self.trace.events["settings"][0]["reference_chunks"] * self.chunk
        columns = (golden[f"call_{name}"][base:] for name in ("start", "cal_len"))
        first = [
            (max(start, frozen) if row["phase"] == "reflect" else start, start + keep)
            for row, start, keep in zip(self.trace.windows, *columns, strict=True)
        ]
        return [pad(range(start, stop), width) for start, stop in first]

    def snapshots(self, golden) -> Iterator[Check]:
        """The queue before every sweep."""
        phases, queues = self.meta["phases"], self.trace.queues
        width = width_of(golden, "snap_steps", "snap_sums") or max(len(queue) for _, _, queue in queues)
        yield compare("snap_phase", [phases.index(phase) for phase, _, _ in queues], golden["snap_phase"])
        yield compare("snap_iter", [number for _, number, _ in queues], golden["snap_iter"])
        yield compare("snap_qlen", [len(queue) for _, _, queue in queues], golden["snap_qlen"])
        steps = [pad(self.age(queue.levels), width) for _, _, queue in queues]
        yield compare("snap_steps", steps, golden["snap_steps"])
        sums = [pad(queue.latents.double().flatten(1).sum(1), width, math.nan) for _, _, queue in queues]
        yield compare("snap_sums", sums, golden["snap_sums"], self.sums)

    def reflections(self, golden) -> Iterator[Check]:
        """Scores, triggers and adoptions, of judged chunks and of candidates."""
        judged, adopted = [], []
        for event in self.trace.events.get("reflection", []):
            before = math.nan if event["previous"] is None else event["previous"]
            judged.append([event["sweep"], -1, before, event["score"], event["triggered"]])
            judged += [[event["sweep"], c, math.nan, score, 0] for c, score in enumerate(event["candidates"])]
            if event["adopted"] is not None:
                adopted.append([event["sweep"], event["adopted"], event["candidates"][event["adopted"]]])
        judged, adopted = np.reshape(judged, (-1, 5)), np.reshape(adopted, (-1, 3))
        exact, scores = [0, 1, 4], [2, 3]
        yield compare("reflect_judge decisions", judged[:, exact], golden["reflect_judge"][:, exact])
        yield compare("reflect_judge scores", judged[:, scores], golden["reflect_judge"][:, scores], self.tolerance)
        yield compare("reflect_adopt decisions", adopted[:, :2], golden["reflect_adopt"][:, :2])
        yield compare("reflect_adopt scores", adopted[:, 2], golden["reflect_adopt"][:, 2], self.tolerance)
        if "adjust_num" in self.meta:
            yield compare("adjust_num", judged[:, 4].sum(), self.meta["adjust_num"])
            yield compare("adjust_adopt_num", len(adopted), self.meta["adjust_adopt_num"])

    def draws(self, golden) -> Iterator[Check]:
        """Every random number in its order."""
        draws = list(self.noise.draws)
        if self.wan:
            size = (self.model.latent_shape[0], self.model.solver.num_levels * self.chunk, self.height, self.width)
            unused = torch.randn(size, generator=self.generators[1])
            draws.insert(1, dict(purpose="warm_start", stage=None, rng=1, value=unused))
        sizes = [math.prod(shape) for shape in self.meta["draw_shapes"]]
        phases = [self.meta["phases"].index(phase_of(draw)) for draw in draws]
        yield compare("number of draws", len(draws), self.meta["n_draws"])
        yield compare("draw_phase", phases, golden["draw_phase"])
        yield compare("draw_shape_id", [sizes.index(draw["value"].numel()) for draw in draws], golden["draw_shape_id"])
        yield compare("draw_rng", [draw["rng"] for draw in draws], golden["draw_rng"])
        values = [draw["value"].contiguous() for draw in draws]
        yield compare("draw_crc32", [zlib.crc32(value.numpy().tobytes()) for value in values], golden["draw_crc32"])
        yield compare("draw_sum", [value.double().sum() for value in values], golden["draw_sum"], DRAWN)


def phase_of(draw: dict) -> str:
    """The phase of the official code in which a number is drawn."""
    purpose = draw["purpose"].split()[0]
    if purpose in ("start", "sample"):
        return "base"
    if purpose == "warm_start" or draw["stage"] is None:
        return "init"
    if purpose in ("push", "zigzag"):
        return "stage1" if draw["stage"] == "zigzag" else "init"
    return PHASES[purpose]


def pad(values, width: int, filler=-1) -> list:
    values = [float(value) for value in values]
    return values + [filler] * (width - len(values))
