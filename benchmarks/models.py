"""The base models' own speed: seconds per window, frames per second and peak memory, at random weights.

    python benchmarks/models.py --models videocrafter2 wan2.1-1.3b --precisions fp32 bf16 --compile

With a CUDA GPU the networks have their real architecture and the paper's resolution. Without one they are much smaller
and run at fewer levels, and the table says so: such numbers compare code with code, nothing else. Weights are random:
nothing is downloaded, and speed and memory do not depend on them. Each measurement is a process of its own, so that
peaks do not add up.

window: one guided call of the denoiser on one window (median of several). base, fifo_diffusion, miga: seconds until the
first frames, then frames per second (decoding included, FIFO-Diffusion without its discarded frames).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise
from miga.engine.sampling import sample_clip
from miga.engine.trace import Trace
from miga.experiment.measure import PeakMemory
from miga.models import convert, registry
from miga.models.pretrained import PRECISIONS, Pretrained, precision_of

WORKLOADS = ("window", "base", "fifo_diffusion", "miga")
HEADER = (
    "model",
    "size",
    "precision",
    "compiled",
    "workload",
    "calls",
    "seconds to first",
    "frames per second",
    "peak, MB",
)
SMALL = dict(  # of the reduced networks: narrow and shallow
    unet=dict(model_channels=32, channel_mult=[1, 1, 1, 1], num_res_blocks=1, num_head_channels=8, context_dim=32),
    vae=dict(ch=32, ch_mult=[1, 1, 1, 1], num_res_blocks=1),
    dit=dict(dim=48, num_heads=2, ffn_dim=96, num_layers=4, text_dim=32),
    wan_vae=dict(dim=4, num_res_blocks=1),
)
SMALL_RUN = dict(height=64, width=64, window=8, num_levels=16)


@dataclass(frozen=True)
class Measured:
    calls: int
    first: float  # seconds until the first result
    rate: float | None  # video frames per second from then on; of `window` none
    memory: float


def networks(name: str, reduced: bool) -> dict[str, Any]:
    """Configurations of a base model's denoiser and autoencoder, by part."""
    small = SMALL if reduced else {key: {} for key in SMALL}
    if registry.get(name).abilities.attention == "pixel":
        config = convert.VIDEOCRAFTER2
        return dict(
            unet=convert.lvdm_unet({}, config["unet"] | small["unet"])[0].config,
            vae=convert.lvdm_vae({}, config["vae"] | small["vae"])[0].config,
        )
    config = convert.WAN[name]
    return dict(
        transformer=convert.wan_transformer({}, config["dit"] | small["dit"])[0].config,
        vae=convert.wan_vae({}, config["vae"] | small["wan_vae"])[0].config,
    )


def random_model(name: str, device: torch.device, precision: str, compiled: bool, reduced: bool) -> Pretrained:
    """A base model whose networks are of the registered architecture (or a reduced one) with random weights."""
    spec, configs = registry.get(name), networks(name, reduced)
    changes: dict[str, Any] = dict(compile=compiled)
    if spec.abilities.attention == "pixel":
        changes["fps_condition"] = None
    if reduced:
        changes |= SMALL_RUN

    class Random(resolve_name(spec.cls)):
        def part(self, cls, part, dtype):
            with torch.device(device):
                network = cls.from_config(configs[part])
            for key, tensor in [*network.named_parameters(), *network.named_buffers()]:
                if not set(key.split(".")) & set(cls._keep_in_fp32_modules or ()):
                    tensor.data = tensor.data.to(dtype)
            return network.eval().requires_grad_(False)

        def embed(self, prompts):
            config = self.denoiser.config
            width = config.get("cross_attention_dim") or config.text_dim
            return [torch.randn(77, width, device=device) for _ in prompts]

    options = spec.options.model_copy(update=changes)
    with tempfile.TemporaryDirectory() as empty:
        model = Random(Path(empty), name, options, device, precision_of(precision))
        model.abilities = spec.abilities
        return model


def windows(model: Pretrained, repeats: int = 5) -> Measured:
    """One guided call of the denoiser on one window with a noise level per frame, after a warm-up call."""
    (text,) = model.encode([""])
    latents = torch.randn(1, model.window, *model.latent_shape, device=model.device)
    levels = torch.arange(model.window, device=model.device)[None] % model.solver.num_levels
    memory, seconds = PeakMemory(model.device), []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        model.denoise(latents, levels, text)
        synchronize(model.device)
        seconds.append(time.perf_counter() - start)
    return Measured(2, statistics.median(seconds[1:]), None, memory.read())


def generation(model: Pretrained, name: str) -> Iterator[Tensor]:
    """Chunks of latents: the base model's own clip, or a method until it is closed."""
    (text,) = model.encode([""])
    if name == "base":
        return iter([sample_clip(model, text, KeyedNoise(0))])
    method = METHODS.get(name)
    config = method.config(drop_first=0) if name == "fifo_diffusion" else method.config()
    return method.generate(model, [text], None, config, KeyedNoise(0), Trace())


@torch.inference_mode()
def frames(model: Pretrained, name: str, limit: float) -> Measured:
    """Generate and decode: the first chunk, then more until `limit` seconds have passed (one more at least)."""
    memory, start = PeakMemory(model.device), time.perf_counter()
    decoder, shown, first = model.decoder(), 0, None
    for latents in generation(model, name):
        count = len(decoder.push(latents))
        synchronize(model.device)
        passed = time.perf_counter() - start
        if first is None:
            first, clip = passed, count
            continue
        shown += count
        if passed > limit:
            break
    rate = shown / (passed - first) if shown else clip / first
    return Measured(model.calls, first, rate, memory.read())


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(args: argparse.Namespace, name: str, precision: str, compiled: bool, workload: str) -> dict[str, Any]:
    """One measurement, in this process."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = random_model(name, device, precision, compiled, device.type == "cpu")
    found = windows(model) if workload == "window" else frames(model, workload, args.limit)
    return asdict(found) | dict(size=f"{model.run_options.width}x{model.run_options.height}")


def row(name: str, precision: str, compiled: bool, workload: str, found: dict[str, Any]) -> str:
    rate = "–" if found["rate"] is None else f"{found['rate']:.2f}"
    cells = [name, found["size"], precision, "yes" if compiled else "no", workload, found["calls"]]
    return "| " + " | ".join(map(str, [*cells, f"{found['first']:.2f}", rate, f"{found['memory']:.0f}"])) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bases = [name for name in registry.names() if registry.get(name).repo]
    parser.add_argument("--models", nargs="+", choices=bases, default=["videocrafter2", "wan2.1-1.3b"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32"])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--compile", action="store_true", help="measure compiled networks too")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a generation is stopped")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        found = measure(args, args.models[0], args.precisions[0], args.compile, args.workloads[0])
        print(json.dumps(found))
        return
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, real architectures, random weights\n")
    else:
        print(
            f"No GPU: REDUCED networks, windows and levels; {platform.machine()}, torch {torch.__version__}, "
            "random weights\n"
        )
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|", flush=True)
    cases = [
        (name, precision, compiled, workload)
        for name in args.models
        for precision in args.precisions
        for compiled in ([False, True] if args.compile else [False])
        for workload in args.workloads
    ]
    for name, precision, compiled, workload in cases:
        command = [sys.executable, __file__, "--one", "--models", name, "--precisions", precision]
        command += ["--workloads", workload, "--limit", str(args.limit), *(["--compile"] if compiled else [])]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            print(f"| {name} | {precision} | {workload} | failed: {ran.stderr.strip().splitlines()[-1]} |", flush=True)
        else:
            print(row(name, precision, compiled, workload, json.loads(ran.stdout.splitlines()[-1])), flush=True)


if __name__ == "__main__":
    main()
