"""What a suite costs before it starts: passes of the denoiser, hours and disk, for each entry on each base model.

Passes are counted: every method runs on a stand-in of the base model, with its window and its noise levels but no
network, that denoises perfectly towards a constant video, without noise. How often MIGA's reflection searches where it
has no budget depends on what it sees: there the plan expects as many searches as `SEARCHED` says that there were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor, nn
from tyro.conf import Positional

from eval import records
from eval.benchmark import Shape
from miga.engine.abilities import Abilities
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

# What a base model predicts -> judgements after which self-reflection searched, and all that could: suite `sprites`,
# rows miga and miga-dce, delta 0.01, 25 videos of 48 frames at 16 levels on each of sprites-unet and sprites-wan.
SEARCHED = {"epsilon": (213 + 291, 289 + 376), "flow": (84 + 135, 102 + 176)}
BLOCKS = 30  # of the largest transformer whose blocks a method knows by number
BITS_PER_PIXEL = {10: 0.35, 17: 0.15}  # of H.264, by crf; generous


class Cost(NamedTuple):
    """Of one video.

    passes: of the denoiser over a window, least and most.
    calls: of the denoiser, as sidecars count them (two of a guided window, however long), least and most.
    searches: the share of what lies between that is expected.
    gigabytes: of its file.
    """

    passes: list[float]
    calls: list[float]
    searches: float
    gigabytes: float

    @property
    def of_a_call(self) -> float:
        """Passes that a call takes."""
        return self.passes[0] / self.calls[0] if self.calls[0] else 1.0

    def expected(self, ends: Sequence[float]) -> float:
        least, most = ends
        return least + self.searches * (most - least)


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
        self.denoiser, self.passes = host(spec.abilities), [0.0]  # shared by the views that methods make
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


def host(abilities: Abilities) -> nn.Module:
    """A network that is never run, with temporal attention that methods can replace as the real one's."""
    if abilities.attention == "joint":
        return WanTransformer3DModel(num_attention_heads=1, ffn_dim=1, text_dim=1, freq_dim=2, num_layers=BLOCKS)
    if abilities.attention == "pixel":
        return TransformerTemporalModel(num_attention_heads=1, attention_head_dim=1, in_channels=1, norm_num_groups=1)
    return nn.Module()


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
    row = "{:<14} {:<20} {:>6} {:>10} {:>10} {:>7}".format
    print(row("base", "entry", "videos", "calls each", "hours", "GB"))
    total_hours, total_disk, seen, searching = 0.0, 0.0, records.found(results / experiment.name), False
    for base, chosen in experiment.suite.bases.items():
        spec, _ = known_as(chosen)
        own = seen[seen["base"] == base]
        counted = ({*entries} | {*own["entry"]}) & experiment.made().keys()
        costs = {entry: cost_of(experiment, base, entry) for entry in counted if base in experiment.bases_of(entry)}
        pace, source = seconds_per_call, "given"
        if pace is None:
            pace, source = pace_of(chosen, own, {entry: cost.of_a_call for entry, cost in costs.items()})
        for entry in (entry for entry in entries if entry in costs):
            videos, cost = len(experiment.videos_of(entry, base)), costs[entry]
            hours = cost.expected(cost.passes) * videos * pace / 3600 if pace else math.nan
            calls, disk = cost.expected(cost.calls), cost.gigabytes * videos
            print(row(base, entry, videos, f"{calls:,.0f}", said(hours), f"{disk:,.2f}"))
            total_hours, total_disk = total_hours + hours, total_disk + disk
            searching |= cost.calls[0] < cost.calls[1]
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
    if searching:
        shares = " and ".join(f"{searched / could:.0%} ({kind})" for kind, (searched, could) in SEARCHED.items())
        print(f"self-reflection without a budget is expected to search after {shares} of its judgements")
    print(f"in all {said(total_hours)} hours of generation on one device, {total_disk:,.1f} GB of videos")


def said(hours: float) -> str:
    return "?" if math.isnan(hours) else f"{hours:,.1f}"


def cost_of(experiment: Experiment, base: str, entry: str) -> Cost:
    """What one video of an entry on a base model costs."""
    chosen, row = experiment.suite.bases[base], experiment.rows()[entry]
    method, parameters = configure(row.method, row.params)
    frames = chosen.frames or experiment.suite.frames
    model = Blank(*known_as(chosen))
    prompt = next(iter(experiment.prompts.values()))[0].prompt
    counted = [count(model, method, parameters, prompt, model.latent_frames(frames))] * 2
    if "delta" in type(parameters).model_fields:
        searching = parameters.model_copy(update=dict(delta=-math.inf))  # every score has fallen by more than that
        counted[1] = count(model, method, searching, prompt, model.latent_frames(frames))
    searched, could = SEARCHED[model.abilities.prediction]
    crf = experiment.suite.encoder.crf
    bits = BITS_PER_PIXEL[min(BITS_PER_PIXEL, key=lambda known: abs(known - crf))]
    passes, calls = map(list, zip(*counted, strict=True))
    return Cost(passes, calls, searched / could, frames * model.height * model.width * bits / 8e9)


def count(model: Blank, method: Method, parameters: MethodConfig, prompt: str, latents: int) -> tuple[float, int]:
    """Passes over one window, and calls, that a method asks of a stand-in for a video of so many latents."""
    model.passes[0], before = 0.0, model.calls
    with torch.inference_mode():
        for _ in method.generate(model, model.encode([prompt]), latents, parameters, Silence(0), Deaf()):
            pass
    return model.passes[0], model.calls - before


def pace_of(chosen: Base, seen: pd.DataFrame, of_a_call: Mapping[str, float]) -> tuple[float | None, str]:
    """Seconds of a pass over one window: as videos of the base model that are there took it, else as the suite says.

    of_a_call: by entry, passes that a call takes; videos of other entries say nothing.
    """
    passes = seen["model_calls"] * seen["entry"].map(of_a_call).astype(float).fillna(0)
    if total := passes.sum():
        return seen["wall_seconds"][passes > 0].sum() / total, "measured"
    return chosen.seconds_per_call, "the suite's"
