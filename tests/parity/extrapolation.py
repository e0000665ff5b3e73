"""What the sets riflex, sliding_window, ultravico, freeloc and lvsa share: the transformer of `wan_tiny`, its
attentions, and traces."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file
from torch import Tensor

from miga.engine.attention import Attend, temporal_attention
from miga.engine.base_model import Text
from miga.engine.method import Method, MethodConfig
from miga.engine.noise import ReplayNoise
from miga.engine.solvers import FlowUniPC
from miga.engine.trace import Trace
from miga.models.convert import wan_transformer
from miga.models.registry import WAN
from miga.models.wan_networks import FrameTimesteps
from tests.parity.check import Check, Stored, compare
from tests.parity.temporal import Case, video
from tests.parity.toys import GoldenModel

CONFIG = dict(
    patch_size=(1, 2, 2), dim=40, num_heads=2, num_layers=3, in_dim=16, out_dim=16, text_dim=24, freq_dim=256,
    ffn_dim=72, eps=1e-6,
)  # fmt: skip
TEXT_TOKENS = 512
SIDES = ("cond", "uncond")  # of guidance


def load(case: str, folder: Path) -> Case:
    """A case whose arrays may be none."""
    facts, path = json.loads((folder / f"{case}.json").read_text()), folder / f"{case}.safetensors"
    tensors = load_file(path) if path.is_file() else {}
    tensors = {name: x.float() if x.dtype == torch.float16 else x for name, x in tensors.items()}
    axes = {name: array["axes"] for name, array in facts["arrays"].items()}
    return Case(facts["settings"], Stored(tensors), facts["suggested_max_abs_tolerance"], axes)


@torch.no_grad()
def replay_by_kind(kinds: dict[str, Callable[[Case, Path], Iterator[Check]]], case: str, folder: Path) -> list[Check]:
    """Replay a case by what its name starts with."""
    for prefix, replay in kinds.items():
        if case.startswith(prefix):
            loaded = load(case, folder)
            return [*replay(loaded, folder), *loaded.tensors.unread()]
    raise ValueError(f"no replay for a case like {case!r}: known are {', '.join(kinds)}")


def transformer(folder: Path) -> WanTransformer3DModel:
    """The network of the set `wan_tiny`, which lies beside `folder`."""
    path = folder.parent / "wan_tiny" / "wan_dit_diffusers.safetensors"
    if not path.is_file():
        raise ValueError(f"no {path}: put the set wan_tiny beside {folder.name}")
    network = WanTransformer3DModel.from_config(wan_transformer({}, CONFIG)[0].config)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    FrameTimesteps(network)
    return network.eval()


def through(network: WanTransformer3DModel, settings: dict, x: Tensor, attend: Attend | None) -> Tensor:
    """A block's self-attention on its own, attending by `attend` (None: as the network itself does)."""
    frames, site = settings.get("F", settings.get("T")), network.blocks[settings["block"]].attn1
    latents = torch.zeros(len(x), 16, frames, 2 * settings["h"], 2 * settings["w"])
    with temporal_attention(network, attend) if attend else nullcontext():
        if attend:
            site.processor.observe(network, (latents,), {})
        return site(x, rotary_emb=network.rope(latents))


class TinyWan(GoldenModel):
    """The transformer of the traces, guided in two passes."""

    def __init__(self, folder: Path, settings: dict, window: int) -> None:
        solver = FlowUniPC(settings["steps"], settings["shift"])
        super().__init__(solver, window, (16, settings["h"], settings["w"]), settings["guidance"])
        self.abilities, self.denoiser = WAN, transformer(folder)

    def network(self, x, t, condition):
        text = torch.nn.functional.pad(condition, (0, 0, 0, TEXT_TOKENS - len(condition)))
        return self.denoiser(video(x), t[:1], text[None], return_dict=False)[0][0].transpose(0, 1)


Velocities = Callable[[list[Tensor]], list[Tensor]]


def replay_trace(
    method: Method,
    config: MethodConfig,
    case: Case,
    folder: Path,
    window: int,
    joined: Velocities = lambda calls: calls,
) -> Iterator[Check]:
    """A short run of the method for every video of the batch: solver table, every stored velocity and latent.

    `joined` makes one velocity (f, c, h, w) per step of those of all calls.
    """
    settings, expected, tolerance, _ = case
    model = TinyWan(folder, settings, window)
    frames, step = settings.get("F", settings.get("T")), model.solver.step

    def run(number: int, start: Tensor) -> dict[str, list[Tensor]]:
        """Kind of array -> what a video has of it at each step, as stored."""
        model.record, after = [], []

        def record(*args, **kwargs):
            after.append((stepped := step(*args, **kwargs)).sample)
            return stepped

        model.solver.step = record
        texts = (expected[f"text_{side}"] for side in ("cond", "uncond"))
        text = Text("", *(own[number] if own.ndim == 3 else own for own in texts))  # one each, or one for all
        noise = ReplayNoise(stream=lambda shape: start.clone())
        made = torch.cat(list(method.generate(model, [text], frames, config, noise, Trace())))
        sides = [side for side in SIDES if side in model.record[0]]
        found = {f"v_{side}": joined([call[side] for call in model.record]) for side in sides}
        return {kind: [*map(video, steps)] for kind, steps in (found | {"x": [*after[:-1], made]}).items()}

    runs = [run(number, start) for number, start in enumerate(expected["x_init"])]
    stored = {kind: [torch.cat(steps) for steps in zip(*(one[kind] for one in runs), strict=True)] for kind in runs[0]}
    yield compare("timesteps", model.solver.timesteps.flip(0), settings["timesteps_in_order"])
    yield compare("sigmas", model.solver.sigmas, settings["sigmas"], 1e-7)
    kept = settings.get("stored_frames", slice(None))
    for name in expected:
        if match := re.fullmatch(r"step(\d+)\.(\w+)", name):
            number, kind = match.groups()
            limit = tolerance["latents" if kind == "x" else "velocity"]
            yield compare(name, stored[kind][int(number)][:, :, kept], expected[name], limit)
    moments = [[x.double().mean(), x.double().std()] for x in stored["x"]]
    if wanted := settings.get("full_latents_mean_std_per_step_float64"):
        yield compare("full latents, mean and std", moments, wanted, tolerance["latents"])
