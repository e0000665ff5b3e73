"""This checkout against another one: CPU seconds per frame of `miga generate`, the same videos in turn.

`python benchmarks/before.py FOLDER` takes a checkout of an earlier commit that is set up (`make setup` in it).
Each runs on one thread, at two lengths: what the longer video takes more is what frames take, without the start.
Says how many calls each made of the denoiser and how far the frames are apart, in steps of 8-bit video coded without
loss: otherwise the encoder makes more of a difference than there is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from decord import VideoReader

from miga.experiment.digest import ROOT

PROMPT = "a red circle moves right over a plain grey background"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="a checkout, set up")
    parser.add_argument("--model", default="sprites-unet")
    parser.add_argument("--method", default="miga")
    parser.add_argument("--params", nargs="*", default=[], help="of the method, as key=value")
    parser.add_argument("--model-params", nargs="*", default=["num_levels=16", "dtype=fp32"])
    parser.add_argument("--frames", type=int, nargs=2, default=[24, 120], help="the two lengths")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    ratios, slow, fast = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.pairs):
            took = {root: per_frame(root, options, Path(folder)) for root in (options.other, ROOT)}
            slow.append(took[options.other])
            fast.append(took[ROOT])
            ratios.append(fast[-1] / slow[-1])
        before, now = (about(Path(folder), root, options.frames[1]) for root in (options.other, ROOT))
    apart = np.abs(before[1].astype(int) - now[1])
    print(f"{options.model} {options.method} {' '.join(options.params + options.model_params)}")
    print(f"CPU ms per frame: {1e3 * statistics.median(slow):.1f} before, {1e3 * statistics.median(fast):.1f} now; "
          f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    print(f"model calls: {before[0]} before, {now[0]} now; frames apart by {apart.mean():.3f}, at most {apart.max()}")


def per_frame(root: Path, options: argparse.Namespace, folder: Path) -> float:
    short, long = (seconds(root, options, frames, folder) for frames in options.frames)
    return (long - short) / (options.frames[1] - options.frames[0])


def seconds(root: Path, options: argparse.Namespace, frames: int, folder: Path) -> float:
    """CPU seconds of one video."""
    out = video(folder, root, frames)
    for old in folder.glob(f"{out.stem}.*"):
        old.unlink()
    command = [root.resolve() / ".venv/bin/miga", "generate", "--prompt", PROMPT, "--model", options.model,
               "--method", options.method, "--frames", str(frames), "--out", str(out), "--crf", "0"]  # fmt: skip
    command += ["--param", *options.params] if options.params else []
    command += ["--model-param", *options.model_params]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{root}: `miga generate` failed; see above")
    return usage.ru_utime + usage.ru_stime


def video(folder: Path, root: Path, frames: int) -> Path:
    return folder / f"{'now' if root == ROOT else 'before'}-{frames}.mp4"


def about(folder: Path, root: Path, frames: int) -> tuple[int, np.ndarray]:
    """Model calls and frames."""
    file = video(folder, root, frames)
    sidecar = json.loads(file.with_suffix(".json").read_text())
    return sidecar["model_calls"], VideoReader(str(file)).get_batch(range(frames)).asnumpy()


if __name__ == "__main__":
    main()
