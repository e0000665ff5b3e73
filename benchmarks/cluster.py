"""A node of pretended GPUs at work on a suite: `python benchmarks/cluster.py --gpus 16 --videos 1000 --kills 20`.

Snakemake, its jobs, the leases of GPUs, shards of the plan's size, sidecars and files are those of a run. The network
sleeps for as long as the plan says that it computes (`standin/sleeper.py`). Meanwhile jobs are killed with -9 at
random. Says for which part of the time GPUs were at work, and fails where a video is missing or was made twice, or
where a GPU had two jobs at once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import yaml

from eval import records
from miga.experiment.digest import ROOT

STANDIN = Path(__file__).with_name("standin") / "sleeper.py"
PLUGIN = {
    "METADATA": "Metadata-Version: 2.1\nName: sleeper\nVersion: 1\n",
    "entry_points.txt": "[miga.base_models]\nsleeper = sleeper:SPEC\n",
}
PACE = 0.12  # of the stand-in
ENTRIES = ("direct", "fifo_diffusion")
SHARD_SECONDS = 80  # of a job, instead of two hours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, default=16)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare(home, options)
        began = time.time()
        run = start(home, options.gpus)
        kills = Kills(run.pid, home, options)
        kills.start()
        status = run.wait()
        ended = time.time()
        kills.over.set()
        kills.join()
        if status:
            sys.exit((home / "log").read_text()[-4000:])
        report(home, options, kills, began, ended)


def prepare(home: Path, options: argparse.Namespace) -> None:
    """The suite, the stand-in as an installed package, and an `nvidia-smi` that lists the GPUs."""
    prompts = [{"id": f"p{n:04}", "prompt": f"number {n}"} for n in range(options.videos // len(ENTRIES))]
    (home / "prompts.yaml").write_text(yaml.safe_dump(prompts))
    suite = {
        "title": "Cluster",
        "bases": {"sleeper": {"model": "sleeper", "seconds_per_call": PACE}},
        "files": list(ENTRIES),
        "benchmarks": {"sprites": {"prompts": str(home / "prompts.yaml"), "metrics": ["motion"]}},
        "seeds": [1],
        "frames": options.frames,
        "shard": 64,
    }
    (home / "cluster.yaml").write_text(yaml.safe_dump(suite))
    for name, text in PLUGIN.items():
        write(home / "plugin/sleeper-1.dist-info" / name, text)
    shutil.copy(STANDIN, home / "plugin")
    write(home / "plugin/weights/model_index.json", '{"unet": ["none", "None"]}')
    listed = "\n".join(f"echo 'GPU {n}: Pretended (UUID: GPU-{n:04})'" for n in range(options.gpus))
    write(home / "bin/nvidia-smi", f"#!/bin/sh\n{listed}\n")
    (home / "bin/nvidia-smi").chmod(0o755)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def start(home: Path, gpus: int) -> subprocess.Popen:
    """`snakemake videos` as on a node with so many GPUs."""
    environment = os.environ | {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(home / "plugin"),
        "SLEEPER_LOG": str(home / "slept"),
        "TMPDIR": str(home),  # where the locks of leases are
    }
    profile = ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", str(gpus), "--retries", "5"]
    leased = ["--resources", f"gpu={gpus}", "--set-resources", "generate:gpu=1", "encode:gpu=1"]
    config = [f"suite={home / 'cluster.yaml'}", "results=results", f"shard_hours={SHARD_SECONDS / 3600}"]
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *profile, *leased]
    with (home / "log").open("w") as log:
        return subprocess.Popen(
            [*command, "--config", *config, "--", "videos"], cwd=home, env=environment, stdout=log, stderr=log
        )


class Kills(threading.Thread):
    """Kills jobs at random moments, and notes which videos were whole then."""

    def __init__(self, run: int, home: Path, options: argparse.Namespace) -> None:
        super().__init__(daemon=True)
        self.of, self.home, self.wanted = run, home, options.kills
        self.chance, self.over = random.Random(options.seed), threading.Event()
        self.done, self.whole = 0, {}
        self.videos = options.videos

    def run(self) -> None:
        """One after each so many new videos, so that they fall everywhere in the run."""
        for number in range(1, self.wanted + 1):
            while len(found := whole(self.home)) < number * self.videos / (self.wanted + 1):
                if self.over.wait(0.5):
                    return
            if jobs := generating(self.of):
                self.whole |= found
                self.chance.choice(jobs).kill()
                self.done += 1


def generating(run: int) -> list[psutil.Process]:
    """The generation jobs of a run that are alive."""
    found = []
    for process in psutil.Process(run).children(recursive=True):
        with suppress(psutil.Error, IndexError):  # gone meanwhile
            if process.cmdline()[-1].endswith(".generate.py"):
                found.append(process)
    return found


def whole(home: Path) -> dict[Path, int]:
    """The sidecars that are there, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (home / "results/cluster").glob(records.SIDECARS)}


def report(home: Path, options: argparse.Namespace, kills: Kills, began: float, ended: float) -> None:
    slept = pd.read_csv(home / "slept", sep=" ", names=["gpu", "began", "ended", "passes"])
    for gpu, own in slept.groupby("gpu"):
        own = own.sort_values("began")
        if (own["began"].to_numpy()[1:] < own["ended"].to_numpy()[:-1] - 1e-3).any():
            sys.exit(f"{gpu} had two jobs at once")
    left = whole(home)
    again = [path for path, moment in kills.whole.items() if left.get(path) != moment]
    videos = records.read(home / "results/cluster/videos.parquet")
    counted = json.loads((home / "results/cluster/passes.json").read_text())
    passes = {key.split()[0].split("/")[1]: least for key, (least, *_) in counted.items()}
    asked, needed = len(ENTRIES) * (options.videos // len(ENTRIES)), videos["entry"].map(passes).sum()
    if len(videos) != len(left) or len(videos) != asked or again:
        sys.exit(f"{len(videos)} videos of {asked}, {len(again)} were made twice")
    time_of_all = options.gpus * (ended - began)
    print(
        f"{slept['gpu'].nunique()} of {options.gpus} GPUs, {len(videos):,} videos, each made once; "
        f"{kills.done} jobs killed, {slept['passes'].sum() / needed - 1:.1%} of the passes lost by that; "
        f"{ended - began:.0f} s, GPUs busy {(slept['ended'] - slept['began']).sum() / time_of_all:.1%} of it "
        f"from the command to its end, {busy(slept, options.gpus):.1%} from the first pass to the last one"
    )


def busy(slept: pd.DataFrame, gpus: int) -> float:
    span = slept["ended"].max() - slept["began"].min()
    return float((slept["ended"] - slept["began"]).sum() / span / gpus)


if __name__ == "__main__":
    main()
