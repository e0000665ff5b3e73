"""Model calls, seconds per frame and peak memory of every method against the number of frames.

    python benchmarks/methods.py --model sprites-unet --model-param num_levels=8 --frames 64 256 1024 --methods miga

Each measurement is a process of its own, so that peaks do not add up. Frames are decoded and thrown away. Memory is the
peak of the process (CUDA: of the device's allocator) above what it was when the model stood ready; calls are
denoiser forwards, a guided window counts 2; `original` is what the released code calls (its formula, where it has one).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from miga import models
from miga.commands.generate import key_values
from miga.engine.method import METHODS
from miga.experiment.measure import measure

PROMPT = "a red circle moves right over a plain blue background"
HEADER = (
    *("method", "frames", "latents", "calls", "original"),
    *("calls per latent", "seconds per frame", "peak memory, MB"),
)


def original_calls(name: str, num_latents: int, window: int, levels: int) -> int | None:
    """Forwards of the released code for as many latents: 2 a guided window, base clip included."""
    if METHODS.get(name).card.length == "finite":
        return 2 * levels
    if levels % window or window % 2:  # the original has n windows of levels, and an even window
        return None
    partitions, iterations = levels // window, num_latents + levels - window
    if name == "fifo_diffusion":  # 2N + 2R (V + N - f), R = 2n windows
        return 2 * levels + 4 * partitions * iterations
    if name == "scalingnoise":  # 2N + 2n + 2 m (k + 2n - 1) I, m = 2 beams, k = 3 candidates
        return 2 * levels + 2 * partitions + 4 * (3 + 2 * partitions - 1) * iterations
    return None


def measured(model_name: str, options: list[str], name: str, frames: int) -> dict:
    """One video, in this process; `options` of the base model as key=value."""
    method, model = METHODS.get(name), models.load(model_name, **key_values([options]))
    found = measure(model, method, method.config(), model.encode([PROMPT]), frames)
    if found["reason"]:
        raise SystemExit(found["reason"])
    original = original_calls(name, found["latents"], model.window, model.solver.num_levels)
    return dict(found, method=name, original=original)


def row(found: dict) -> str:
    per_latent = found["calls"] / found["latents"]
    cells = [found["method"], found["frames"], found["latents"], found["calls"], found["original"] or "–"]
    return " | ".join(map(str, [*cells, f"{per_latent:.1f}", f"{found['seconds']:.3f}", f"{found['memory']:.0f}"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sprites-unet", help="a registered base model, or a directory of one")
    parser.add_argument("--model-param", nargs="*", default=[], help="options of the base model, as key=value")
    parser.add_argument("--frames", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--methods", nargs="+", default=[n for n in METHODS.names() if not METHODS.get(n).card.control])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.model, args.model_param, args.methods[0], args.frames[0])))
        return
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|", flush=True)
    for name in args.methods:
        for frames in args.frames:
            command = [sys.executable, __file__, "--one", "--model", args.model]
            command += ["--model-param", *args.model_param, "--methods", name, "--frames", str(frames)]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                said = ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"]  # killed: it says nothing
                print(f"| {name} | {frames} | failed: {said[-1]} |", flush=True)
            else:
                print(f"| {row(json.loads(ran.stdout.splitlines()[-1]))} |", flush=True)


if __name__ == "__main__":
    main()
