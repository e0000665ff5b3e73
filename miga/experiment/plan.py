"""What a suite costs before it starts: passes of the denoiser, hours and disk, for each entry on each base model.

Passes are counted, not estimated: every method runs on a stand-in of the base model, with its window and its noise
levels but no network, that denoises perfectly towards a constant video, without noise. How often MIGA's reflection
searches depends on what it sees: the plan says what a video costs without any search, and with one at each judgement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from torch import Tensor, nn
from tyro.conf import Positional

from eval import records
from eval.benchmark import Shape
from miga.engine.base_model import BaseModel, Decoder, Text
from miga.engine.method import Method, MethodConfig
from miga.engine.noise import KeyedNoise
from miga.engine.solvers import DDIM, FlowUniPC
from miga.engine.trace import Trace
from miga.experiment import scoring_cost
from miga.experiment.check import known_as, told
from miga.experiment.experiment import Experiment, choose_suite, home, load_experiment
from miga.experiment.job import configure
from miga.experiment.power import report
from miga.experiment.suite import Base
from miga.models import registry

BITS_PER_PIXEL = {10: 0.35, 17: 0.15}  # of H.264, by crf; generous


class Silence(KeyedNoise):
    """No noise at all, so that all frames of a stand-in look alike and no score ever falls."""

    def filled(self, fill, purpose, frames, levels, shape):
        return torch.zeros(len(frames), *shape)


class Deaf(Trace):
    """Keeps nothing, which is half the time of counting."""

    def add(self, kind, **facts):
        pass

    def sweep(self, stage, queue, plan):
        pass


class Blank(BaseModel):
    """A base model without a network: the right window, levels and frames, latents of one channel and four pixels."""

    latent_shape, device, dtype, digest = (1, 2, 2), torch.device("cpu"), torch.float32, "-"

    def __init__(self, spec: registry.Spec, params: dict) -> None:
        options = spec.options.model_copy(update={key: value for key, value in params.items() if key != "dtype"})
        self.name, self.abilities, self.window, self.fps = spec.name, spec.abilities, options.window, options.fps
        self.height, self.width, self.guidance_scale = options.height, options.width, options.guidance_scale
        self.options, levels = options.model_dump(mode="json"), options.num_levels
        if spec.abilities.prediction == "flow":
            self.solver = FlowUniPC(levels, options.shift)
        else:
            self.solver = DDIM(levels, grid=options.grid, final_alpha=options.final_alpha)
        self.denoiser, self.passes = nn.Module(), [0.0]  # shared by the views that methods make
        self.features = lambda frames: torch.ones(len(frames), 1)

    def encode(self, prompts: list[str]) -> list[Text]:
        return [Text(prompt, torch.zeros(1, 1), torch.zeros(1, 1)) for prompt in prompts]

    def denoise(self, latents: Tensor, levels: Tensor, text, guidance_scale=None) -> Tensor:
        scale = self.guidance_scale if guidance_scale is None else guidance_scale
        batch, frames = levels.shape
        self.calls += batch * (1 if scale == 1 else 2)
        self.passes[0] += batch * frames / self.window * (1 if scale == 1 else 2)
        levels = levels.clamp(min=0)[..., None, None, None]
        if isinstance(self.solver, FlowUniPC):
            return (latents - 1) / self.solver.sigma[levels].float()
        alpha = self.solver.table["alpha"][levels].float()
        return (latents - alpha.sqrt()) / (1 - alpha).sqrt()

    def decoder(self) -> Decoder:
        return Counting(self)

    def stills(self, latents: Tensor) -> Tensor:
        return torch.zeros(len(latents), 2, 2, 3, dtype=torch.uint8)

    def encode_frames(self, frames: Tensor) -> Tensor:
        return torch.ones(self.latent_frames(len(frames)), *self.latent_shape)

    def latent_frames(self, frames: int) -> int:
        return math.ceil((frames - 1) / self.abilities.stride) + 1

    def video_frames(self, latents: int) -> int:
        return (latents - 1) * self.abilities.stride + 1


class Counting(Decoder):
    """As many empty frames as the latents would decode to."""

    size = (0, 0)

    def __init__(self, model: Blank) -> None:
        self.model, self.latents = model, 0

    def decode(self, latents: Tensor) -> Tensor:
        before, self.latents = self.latents, self.latents + len(latents)
        shown = self.model.video_frames(self.latents) - (self.model.video_frames(before) if before else 0)
        return torch.zeros(shown, 3, *self.size)


def plan(
    suite: Positional[str] = "auto",
    seconds_per_call: float | None = None,
    ablations: Literal["suite", "all", "none"] = "suite",
    results: Path = Path("results"),
    power: bool = False,
) -> None:
    """Estimate what a suite costs: passes of the denoiser over a window, hours on one device, and disk.

    Example: miga plan paper-lite --ablations none

    Args:
        suite: A suite by name or path.
        seconds_per_call: Of one pass over one window; default: as measured in videos that are there, else the suite's.
        ablations: Those that are part of the suite, all that its methods have, or none.
        results: Where finished videos are looked for.
        power: Say instead how many prompts it takes to see the differences that the suite's paper claims.
    """
    if seconds_per_call is not None and not 0 < seconds_per_call < math.inf:
        raise ValueError(f"--seconds-per-call {seconds_per_call:g}: give a positive number")
    name, line = choose_suite(suite)
    experiment = load_experiment(name, home())
    print(line)
    if power:
        print("\n".join(report(experiment, results)))
        return
    entries = {
        "suite": experiment.rows_of_all(),
        "all": list(experiment.rows()),
        "none": list(experiment.entries),
    }[ablations]
    row = "{:<14} {:<20} {:>6} {:>15} {:>15} {:>7}".format
    print(row("base", "entry", "videos", "passes each", "hours", "GB"))
    total_hours, total_disk, seen = [0.0, 0.0], 0.0, records.found(results / experiment.name)
    for base, chosen in experiment.suite.bases.items():
        spec, _ = known_as(chosen)
        pace, source = pace_of(chosen, base, seen) if seconds_per_call is None else (seconds_per_call, "given")
        for entry in (entry for entry in entries if base in experiment.bases_of(entry) and entry in experiment.made()):
            videos = len(experiment.videos_of(entry, base))
            passes, disk = cost(experiment, base, entry)
            hours = [count * videos * pace / 3600 if pace else math.nan for count in passes]
            print(row(base, entry, videos, span(passes, 0), span(hours, 1), f"{disk * videos:,.2f}"))
            total_hours, total_disk = [*map(sum, zip(total_hours, hours, strict=True))], total_disk + disk * videos
        print(f"{base}: {f'{pace:.3g} s per pass ({source})' if pace else 'give --seconds-per-call'}, "
              f"weights {spec.gigabytes:g} GB")  # fmt: skip
    print("\nscoring: through which network, of how many videos, what that costs, and for which metrics")
    for base, chosen in experiment.suite.bases.items():
        model = Blank(*known_as(chosen))
        shape = Shape(chosen.frames or experiment.suite.frames, model.height, model.width, model.fps)
        print("\n".join(scoring_cost.lines(experiment, base, shape)))
    print()
    for line in told(experiment):
        print(line)
    print("from a to b: without searches of self-reflection, and with a search whenever it judges")
    print(f"in all {span(total_hours, 1)} hours of generation on one device, {total_disk:,.1f} GB of videos")


def span(ends: Sequence[float], digits: int) -> str:
    """Least and most, or one number where they print alike; a question mark where nothing is known."""
    if any(map(math.isnan, ends)):
        return "?"
    return " to ".join(dict.fromkeys(f"{end:,.{digits}f}" for end in ends))


def cost(experiment: Experiment, base: str, entry: str) -> tuple[list[float], float]:
    """Least and most passes of the denoiser over one window, and GB, of one video."""
    chosen, row = experiment.suite.bases[base], experiment.rows()[entry]
    method, parameters = configure(row.method, row.params)
    frames = chosen.frames or experiment.suite.frames
    model = Blank(*known_as(chosen))
    prompt = next(iter(experiment.prompts.values()))[0].prompt
    passes = [count(model, method, parameters, prompt, model.latent_frames(frames))] * 2
    if "delta" in type(parameters).model_fields:
        searching = parameters.model_copy(update=dict(delta=-math.inf))  # every score has fallen by more than that
        passes[1] = count(model, method, searching, prompt, model.latent_frames(frames))
    crf = experiment.suite.encoder.crf
    bits = BITS_PER_PIXEL[min(BITS_PER_PIXEL, key=lambda known: abs(known - crf))]
    return passes, frames * model.height * model.width * bits / 8e9


def count(model: Blank, method: Method, parameters: MethodConfig, prompt: str, latents: int) -> float:
    """Passes over one window that a method asks of a stand-in for a video of so many latents."""
    model.passes[0] = 0.0
    try:
        with torch.inference_mode():
            for _ in method.generate(model, model.encode([prompt]), latents, parameters, Silence(0), Deaf()):
                pass
    except Exception:  # replaces attention that a stand-in does not have: all frames at once, all levels
        return 2 * model.solver.num_levels * latents / model.window
    return model.passes[0]


def pace_of(chosen: Base, base: str, seen: pd.DataFrame) -> tuple[float | None, str]:
    """Seconds of a pass over one window: as the videos of the suite that are there took it, else as the suite says."""
    own = seen[seen["base"] == base]
    if calls := own["model_calls"].sum():
        return own["wall_seconds"].sum() / calls, "measured"
    return chosen.seconds_per_call, "the suite's"
