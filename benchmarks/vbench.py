"""The fast scorer against the `vbench` package: the same videos and weights, in one run.

    VBENCH_PYTHON=DIR/bin/python python benchmarks/vbench.py --videos 20 --frames 16 --size 320 512

`python -m eval.vbench.official DIR` builds the package's environment. The networks have their real size and random
weights, so nothing is downloaded and the scores mean nothing, but they are compared. Each backend runs in a process of
its own. cold: from the start of that process to the scores of all videos. warm: the same videos once more in that
process, a dimension at a time; the package loads its networks again for every dimension, as it always does. CPU seconds
count all threads and depend less than wall time on what else the machine does. peak: of the process after the cold
pass, or on CUDA of the device's allocator. `--small` takes tiny DINO and CLIP (AMT stays): many frames, to see how
memory grows; `--once` skips the warm passes.
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
DIMENSIONS = ("subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering")
SHORT = ("S.C.", "B.C.", "M.S.", "T.F.")
HEADER = (
    "frames", "backend", "cold, s", "cold, CPU s", "peak, MB", "largest difference", "warm, s", "warm, CPU s",
    *(f"{name}, CPU s" for name in SHORT),
)  # fmt: skip


def timed(run, job: dict) -> dict[str, float | list[float]]:
    """`run` on all dimensions in this process, started at $STARTED, then once more on each."""
    run(DIMENSIONS)
    found = {"cold": [time.time() - float(os.environ["STARTED"]), time.process_time()], "peak": peak(job["device"])}
    warm, each = time.time(), []
    for dimension in () if job["once"] else DIMENSIONS:
        before = time.process_time()
        run((dimension,))
        each.append(time.process_time() - before)
    return found | {"warm": [time.time() - warm, sum(each), *each] if each else []}


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
    values = []

    def run(dimensions):
        runner["evaluate"](job | {"dimensions": list(dimensions)})
        results = json.loads((folder / "output/run_eval_results.json").read_text())
        for d in dimensions:
            values.extend([Path(item["video_path"]).name, d, item["video_results"]] for item in results[d][1])

    return timed(run, job) | {"values": values}


def fast(folder: Path) -> dict:
    """In this project's environment: the same."""
    sys.path[0] = str(ROOT)
    from eval.vbench import backbones
    from eval.vbench.score import score_video

    job, networks, values = json.loads((folder / "job.json").read_text()), [], []

    def run(dimensions):
        if not networks:
            networks.append(backbones.load(job["weights"], job["device"], job["package"]))
        for path in sorted(Path(job["videos"]).iterdir()):
            rows = score_video(path, networks[0], metrics=dimensions)
            values.extend([path.name, row["metric"], row["value"]] for row in rows)

    return timed(run, job) | {"values": values}


def prepare(folder: Path, frames: int, args: argparse.Namespace) -> None:
    """Videos, and the job that both backends read; the weights are there already."""
    from eval.vbench import official as package
    from tests.eval.conftest import write_video
    from tests.eval.standin import panning

    made = folder / "made"
    names = {f"{i:06}": made / f"{i:06}.mp4" for i in range(args.videos)}
    for seed, path in enumerate(names.values()):
        write_video(path, panning(frames, *args.size, seed), pix_fmt="yuv420p")
    package.lay_out(folder, names, folder.parent / "weights", DIMENSIONS, args.device)
    job = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(
        json.dumps(job | {"package": str(package.package(args.python)), "once": args.once})
    )


def weights(folder: Path, package: Path, small: bool) -> None:
    """Random weights of the real networks, or of small ones beside AMT, laid out as the package expects them."""
    from eval.vbench import backbones
    from tests.eval import standin

    amt = backbones.amt(package).state_dict()
    dino, clip = ((), ()) if small else ((768, 12), (768, 12, 512))
    standin.lay_out(folder, amt, standin.dino(*dino), standin.clip(*clip))


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
    parser.add_argument("--small", action="store_true", help="tiny DINO and CLIP")
    parser.add_argument("--once", action="store_true", help="no warm passes")
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
        weights(Path(place) / "weights", package(args.python), args.small)
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
        warm = [f"{seconds:.1f}" for seconds in found["warm"]] or [""] * (2 + len(SHORT))
        cold = [f"{seconds:.1f}" for seconds in found["cold"]]
        print(
            "| " + " | ".join([str(frames), backend, *cold, f"{found['peak']:.0f}", differ, *warm]) + " |", flush=True
        )


if __name__ == "__main__":
    main()
