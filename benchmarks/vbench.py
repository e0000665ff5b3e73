"""The fast scorer against the `vbench` package: the same videos and weights, in one run.

    VBENCH_PYTHON=DIR/bin/python python benchmarks/vbench.py --videos 20 --frames 16 --size 320 512

`python -m eval.vbench.official DIR` builds the package's environment. The networks have their real size and random
weights, so nothing is downloaded and the scores mean nothing, but they are compared. Each backend runs in a process of
its own. cold: from the start of that process to the scores of all videos. warm: the same videos once more in that
process; the package loads its networks again for every dimension, as it always does. CPU seconds count all threads and
depend less than wall time on what else the machine does. peak: of the process, or on CUDA of the device's allocator.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# This file also runs in the package's environment, which has nothing of this project: imports are where they are used.
ROOT = Path(__file__).parents[1]
BACKENDS = ("official", "fast")
HEADER = ("frames", "backend", "cold, s", "cold, CPU s", "warm, s", "warm, CPU s", "peak, MB", "largest difference")


def timed(run, device: str) -> dict[str, float]:
    """Call `run` twice in this process, started at $STARTED."""
    marks = [(float(os.environ["STARTED"]), 0.0)]
    for _ in range(2):
        run()
        marks.append((time.time(), time.process_time()))
    (start, _), (middle, used), (end, total) = marks
    found = {"cold": middle - start, "cold_cpu": used, "warm": end - middle, "warm_cpu": total - used}
    return found | {"peak": peak(device)}


def peak(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**10


def official(folder: Path) -> dict:
    """In the package's environment: both passes, and the value of every video and dimension."""
    sys.path.pop(0)  # the folder of this file, whose name is the package's
    job = json.loads((folder / "job.json").read_text())
    runner = runpy.run_path(str(ROOT / "eval/vbench/runner.py"))
    runner["prepare"](job)
    found = timed(lambda: runner["evaluate"](job), job["device"])
    results = json.loads((folder / "output/run_eval_results.json").read_text())
    items = {(Path(item["video_path"]).name, d): item["video_results"] for d in results for item in results[d][1]}
    return found | {"values": [[*key, value] for key, value in items.items()]}


def fast(folder: Path) -> dict:
    """In this project's environment: the same."""
    sys.path[0] = str(ROOT)
    from eval.cards import VBENCH
    from eval.vbench import backbones
    from eval.vbench.score import score_video

    job, networks, values = json.loads((folder / "job.json").read_text()), [], []

    def run():
        if not networks:
            networks.append(backbones.load(job["weights"], job["device"], job["package"]))
        for path in sorted(Path(job["videos"]).iterdir()):
            rows = score_video(path, networks[0])
            values.extend([path.name, row["metric"], row["value"]] for row in rows if row["metric"] in VBENCH)

    return timed(run, job["device"]) | {"values": values}


def prepare(folder: Path, frames: int, args: argparse.Namespace) -> None:
    """Videos, and the job that both backends read; the weights are there already."""
    from eval.cards import VBENCH
    from eval.vbench import official as package
    from tests.eval.conftest import write_video
    from tests.eval.standin import panning

    made = folder / "made"
    names = {f"{i:06}": made / f"{i:06}.mp4" for i in range(args.videos)}
    for seed, path in enumerate(names.values()):
        write_video(path, panning(frames, *args.size, seed), pix_fmt="yuv420p")
    package.lay_out(folder, names, folder.parent / "weights", VBENCH, args.device)
    job = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps(job | {"package": str(package.package(args.python))}))


def weights(folder: Path, package: Path) -> None:
    """Random weights of the real networks, laid out as the package expects them."""
    from eval.vbench import backbones
    from tests.eval import standin

    amt = backbones.amt(package).state_dict()
    standin.lay_out(folder, amt, standin.dino(768, 12), standin.clip(768, 12, 512))


def measure(backend: str, folder: Path, args: argparse.Namespace) -> dict:
    python = args.python if backend == "official" else sys.executable
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python, __file__, "--inside", backend, str(folder)], capture_output=True, text=True,
        env=environment | {"STARTED": str(time.time())},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{backend} failed: {' '.join(done.stderr.strip().splitlines()[-3:])}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def hardware(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    facts = Path("/proc/cpuinfo").read_text()
    name = facts.split("model name\t: ")[1].splitlines()[0] if "model name\t: " in facts else platform.machine()
    return f"{name}, {torch.get_num_threads()} threads of {os.cpu_count()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=os.environ.get("VBENCH_PYTHON"), help="the package's; $VBENCH_PYTHON")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, nargs="+", default=[16])
    parser.add_argument("--size", type=int, nargs=2, default=[128, 192], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        backend, folder = args.inside
        print(json.dumps({"official": official, "fast": fast}[backend](Path(folder))))
        return
    if not args.python:
        print("skipped: VBENCH_PYTHON names no environment; python -m eval.vbench.official DIR builds one")
        return
    sys.path[0] = str(ROOT)
    from eval.vbench.official import package

    print(f"{args.videos} videos of {args.size[0]}x{args.size[1]}; {hardware(args.device)}\n")
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        weights(Path(place) / "weights", package(args.python))
        for frames in args.frames:
            folder = Path(place) / str(frames)
            prepare(folder, frames, args)
            compare(frames, folder, args)


def compare(frames: int, folder: Path, args: argparse.Namespace) -> None:
    """A row for each backend; the second one's says how far its values are from the first one's."""
    wanted = None
    for backend in args.backends:
        found = measure(backend, folder, args)
        values = {(name, dimension): value for name, dimension, value in found["values"]}
        differ = "" if wanted is None else f"{max(abs(values[key] - wanted[key]) for key in wanted):.0e}"
        wanted = wanted or values
        numbers = [f"{found[name]:.1f}" for name in ("cold", "cold_cpu", "warm", "warm_cpu")] + [f"{found['peak']:.0f}"]
        print("| " + " | ".join([str(frames), backend, *numbers, differ]) + " |", flush=True)


if __name__ == "__main__":
    main()
