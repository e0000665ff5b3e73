"""What the sets freenoise, freelong and freepca share: modules as diffusers classes, traces of the tiny UNet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file
from torch import Tensor

from miga.engine.attention import Attend, Grid, UNetProcessor
from miga.engine.base_model import Text
from miga.engine.method import Method, MethodConfig
from miga.engine.noise import ReplayNoise
from miga.engine.solvers import DDIM
from miga.engine.trace import Trace
from tests.parity.check import Check, Stored, compare
from tests.parity.toys import GoldenModel
from tests.parity.videocrafter_tiny_unet import tiny_unet


class Case(NamedTuple):
    """What a case holds: `axes` describes the arrays, halves are float32."""

    settings: dict[str, Any]
    tensors: Stored
    tolerance: Any
    axes: dict[str, str]


Replay = Callable[[Case, Path], Iterator[Check]]


def load(case: str, folder: Path) -> Case:
    facts = json.loads((folder / f"{case}.json").read_text())
    tensors = load_file(folder / f"{case}.safetensors")
    tensors = {name: x.float() if x.dtype == torch.float16 and "fp16" not in name else x for name, x in tensors.items()}
    axes = {name: array["axes"] for name, array in facts["arrays"].items()}
    return Case(facts["settings"], Stored(tensors), facts["suggested_max_abs_tolerance"], axes)


@torch.no_grad()
def replay_by_kind(kinds: dict[str, Replay], case: str, folder: Path) -> list[Check]:
    """Replay a case by what its name starts with."""
    for prefix, replay in kinds.items():
        if case.startswith(prefix):
            loaded = load(case, folder)
            return [*replay(loaded, folder), *loaded.tensors.unread()]
    raise ValueError(f"no replay for a case like {case!r}: known are {', '.join(kinds)}")


def attention_of(settings: dict, tensors: dict[str, Tensor]) -> Attention:
    """One temporal attention with the case's weights."""
    module = Attention(settings["C"], heads=settings["heads"], dim_head=settings["dim_head"], bias=False)
    module.load_state_dict({name: tensors[name] for name in module.state_dict()})
    return module


def block_of(settings: dict, tensors: dict[str, Tensor]) -> BasicTransformerBlock:
    """One temporal transformer block (two self-attentions, feed-forward) with the case's weights."""
    block = BasicTransformerBlock(
        settings["C"], settings["heads"], settings["dim_head"], double_self_attention=True, cross_attention_dim=None
    ).eval()
    block.load_state_dict({name: tensors[name] for name in block.state_dict()})
    return block


def heads_of(module: Attention, x: Tensor) -> list[Tensor]:
    """q, k and v as a method's `attend` receives them."""
    captured: list[Tensor] = []

    def capture(q, k, v, grid):
        captured.extend((q, k, v))
        return q

    through(module, capture, x, Grid(len(x), x.shape[1], 1, 1))
    return captured


def merged(heads: Tensor) -> Tensor:
    """(n, heads, ..., f, 1, d) back to (n, ..., f, c)."""
    return heads.squeeze(-2).movedim(1, -2).flatten(-2)


def through(module: Attention, attend: Attend, x: Tensor, grid: Grid) -> Tensor:
    """The module's output when it attends by `attend`."""
    module.set_processor(UNetProcessor(attend, grid))
    return module(x)


def run_block(block: BasicTransformerBlock, attend: Attend, x: Tensor, grid: Grid) -> Tensor:
    for module in (block.attn1, block.attn2):
        module.set_processor(UNetProcessor(attend, grid))
    return block(x)


class TinyUNet(GoldenModel):
    """The random UNet of the traces, guided in two passes."""

    def __init__(self, folder: Path, settings: dict) -> None:
        weights = folder.parent / "videocrafter_tiny_unet"
        if not weights.is_dir():
            raise ValueError(f"no tiny UNet at {weights}: put the set videocrafter_tiny_unet beside {folder.name}")
        solver = DDIM(settings["ddim_steps"], settings["eta"], grid="strided", rescale=(0.7, 400))
        shape = (4, settings["h"], settings["w"])
        super().__init__(solver, settings["window"], shape, settings["guidance_scale"])
        self.denoiser = tiny_unet(weights, settings["fps"])

    def network(self, x, t, condition):
        return video(self.denoiser(video(x), t[0], condition[None]).sample[0])[0]

    def passes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents and output of every pass, in order."""
        for call in self.record:
            yield from ((call["x"], call[side]) for side in ("cond", "uncond") if side in call)


def video(frames: Tensor) -> Tensor:
    """(f, c, h, w) to (1, c, f, h, w)."""
    return frames.transpose(0, 1)[None]


def one_of(batch: int, number: int, generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    return torch.randn((batch, *shape), generator=generator)[number]


class TraceNoise(ReplayNoise):
    """The published scripts' draws: initial noise and shuffles from one seed, the steps' noise from another."""

    def __init__(self, settings: dict, number: int = 0, batch: int = 1) -> None:
        super().__init__(settings["seed_initial_noise"])
        self.steps = ReplayNoise(settings["seed_step_noise"])
        self.unused = ReplayNoise(settings["seed_step_noise"])
        for source in (self, self.steps, self.unused):  # all videos of a batch are drawn at once
            source.stream = partial(one_of, batch, number, source.generator)
        self.drawn = []  # the steps' noise, in order

    def of_steps(self, count: int, shape: tuple[int, ...]) -> list[Tensor]:
        """The noise of each step, as it was used; where nothing is added it is drawn for nothing, as published."""
        return self.drawn or [self.unused.clip("sample", shape[0], step, shape[1:]) for step in range(count)]

    def clip(self, purpose, num_frames, level, shape):
        if purpose == "start":
            return super().clip(purpose, num_frames, level, shape)
        self.drawn.append(self.steps.clip(purpose, num_frames, level, shape))
        return self.drawn[-1]


def replay_trace(method: Method, config: MethodConfig, case: Case, folder: Path) -> Iterator[Check]:
    """A short run of the method on the tiny UNet for every video of the batch: solver table, initial noise, and every
    stored output and latent."""
    settings, expected, tolerance, axes = case
    model = TinyUNet(folder, settings)
    sides = 1 if settings["guidance_scale"] == 1 else 2  # passes of a step: the prompt's, the empty prompt's
    batch = next((len(x) for name, x in expected.items() if re.fullmatch(r"x_init\w*|step\d+\.\w+", name)), 1)
    probes: dict[str, Tensor] = {}

    def probe(name):
        def hook(module, args, output):
            probes.setdefault(f"probe.{name}_in", args[0])
            probes.setdefault(f"probe.{name}_out", output[0])

        return hook

    model.denoiser.transformer_in.register_forward_hook(probe("first_temporal"))
    model.denoiser.mid_block.temp_attentions[0].register_forward_hook(probe("mid_temporal"))

    def run(number: int) -> dict[str, list[Tensor]]:
        """Kind of array -> what a video has of it at each step, as stored."""
        model.record = []
        probes.clear()
        noise, given = TraceNoise(settings, number, batch), expected["text_cond"]
        if not method.card.multi_prompt or "injection_rule" not in settings:  # a prompt each, or one for all
            given = given[number:][:1] if len(given) == batch else given[:1]
        texts = [Text("", text, expected["text_uncond"][0]) for text in given]
        with torch.inference_mode():
            made = torch.cat(list(method.generate(model, texts, settings["F"], config, noise, Trace())))
        latents, outputs = zip(*((video(x), video(output)) for x, output in model.passes()), strict=True)
        before = latents[::sides]
        found = dict(eps_cond=outputs[0::sides], eps_uncond=outputs[1::sides] if sides == 2 else ())
        found |= {name: (video(value),) for name, value in probes.items()}
        found["noise"] = [*map(video, noise.of_steps(len(before), made.shape))]
        return found | dict(before=before, x=[*before[1:], video(made)])

    runs = [run(number) for number in range(batch)]
    stored = {kind: [torch.cat(steps) for steps in zip(*(one[kind] for one in runs), strict=True)] for kind in runs[0]}
    before, after = stored["before"], stored["x"]

    schedule = settings["scheduler_per_step_in_order"]
    columns = ("alpha_cumprod", "alpha_cumprod_previous", "sigma", "rescale", "rescale_previous")
    table = torch.stack(list(model.solver.table.values())).flip(1)
    yield compare("schedule", table, [schedule[name] for name in columns], 1e-6)
    yield compare("timesteps", model.solver.timesteps.flip(0), settings["timesteps_in_order"])
    yield compare("x_init", before[0], expected["x_init"], 1e-6)
    if "x_init_first16" in expected:
        yield compare("x_init", before[0], expected["x_init_first16"][:, :, expected["source_frame"]], 1e-6)

    frames = settings.get("stored_frames", slice(None))
    for name in expected:
        if match := re.fullmatch(r"step(\d+)\.(\w+)", name):
            step, kind = match.groups()
            limit = limit_of(tolerance, "latents" if kind in ("x", "noise") else "eps")
            yield compare(name, stored[kind][int(step)][:, :, frames], expected[name], limit)
        elif name.startswith("probe."):
            one = re.search(r"frame (\d+)", axes[name])
            picked = [int(one[1])] if one else settings["probe_frames"]
            yield compare(name, stored[name][0][:, :, picked], expected[name], limit_of(tolerance, "eps"))
    for name, tensors in (("full_latents", after), ("eps_cond", stored["eps_cond"])):
        moments = [[x.double().mean(), x.double().std()] for x in tensors]
        limit = limit_of(tolerance, "latents" if name == "full_latents" else "eps")
        if (key := f"{name}_mean_std_per_step_float64") in settings:
            yield compare(f"{name} mean, std", moments, settings[key], limit)


def limit_of(tolerance: Any, name: str) -> float:
    """The tolerance of that name; where a case calls it otherwise the least that it has."""
    return tolerance.get(name, min(tolerance.values())) if isinstance(tolerance, dict) else tolerance
