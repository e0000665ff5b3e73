"""How long Snakemake takes to see that a finished suite is finished: `python benchmarks/noop.py --videos 10000`.

A folder is filled with stand-ins of all files of such a suite, a few bytes each, and Snakemake is told by `--touch`
that all jobs have run; then the command that runs a suite is timed, which must find nothing to do. No video is made.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
import yaml
from safetensors.torch import save_file

from eval import records, scores
from miga.experiment.digest import ROOT
from miga.experiment.experiment import Experiment, load_experiment

SUITE = {
    "title": "Finished",
    "bases": {name: {"model": name} for name in ("sprites-unet", "sprites-wan")},
    "files": ["controls", "direct", "sliding_window", "freenoise", "freelong", "freepca", "fifo_diffusion", "miga"],
    "ablations": ["tta_dce"],
    "reference": "miga",
    "seeds": [1],
    "frames": 48,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--shard", type=int, default=16, help="videos of a job")
    parser.add_argument("--profile", help="a file for what cProfile sees")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        experiment = begin(home, options.videos, options.shard)
        videos, jobs = fill(home, experiment)
        profiled = ["-m", "cProfile", "-o", options.profile] if options.profile else []
        wall, spent, said = timed(home, profiled)
    if "Nothing to be done" not in said:
        sys.exit(f"there was something to be done:\n{said}")
    print(f"{videos:,} videos, {jobs:,} jobs: {wall:.1f} s until nothing is to be done, {spent:.1f} s of a processor")


def begin(home: Path, videos: int, shard: int) -> Experiment:
    """The suite in a file, with as many prompts as that many videos take."""

    def written(prompts: int) -> Experiment:
        texts = [{"id": f"p{number:05}", "prompt": f"a red circle moves {number} steps"} for number in range(prompts)]
        (home / "prompts.yaml").write_text(yaml.safe_dump(texts))
        return load_experiment(str(home / "finished.yaml"), ROOT)

    benchmarks = {"sprites": {"prompts": str(home / "prompts.yaml")}}
    (home / "finished.yaml").write_text(yaml.safe_dump(SUITE | {"benchmarks": benchmarks, "shard": shard}))
    return written(-(-videos // sum(1 for _ in videos_of(written(1)))))


def videos_of(experiment: Experiment):
    """(base, entry, shard, videos) of each shard of the suite."""
    for entry in experiment.rows_of_all():
        for base in experiment.bases_of(entry):
            for shard, videos in experiment.shards_of(entry, base=base).items():
                yield base, entry, shard, videos


def fill(home: Path, experiment: Experiment) -> tuple[int, int]:
    """Stand-ins of all files, and Snakemake's notes of the jobs; how many videos and jobs there are."""
    suite, count = home / "results" / experiment.name, 0
    planned = run(home, "-n").stdout
    outputs = re.findall(r"^    output: (.+)$", planned, re.M)
    for path in (home / name for line in outputs for name in line.split(", ")):
        path.parent.mkdir(parents=True, exist_ok=True)
        stand_in(path)
    for base, entry, shard, videos in videos_of(experiment):
        paths = [suite / records.place(base, entry, prompt, seed) for prompt, _, seed in videos]
        for path in paths:
            path.parent.mkdir()
            path.write_text("stand-in\n")
            records.sidecar_of(path).write_text("{}\n")
        records.write_shard(paths, suite / base / entry / f"shard-{shard}.json")
        count += len(paths)
    records.write(records.collect([]), suite / "videos.parquet")
    run(home, "--touch", "--forceall")
    return count, len(outputs)


def stand_in(path: Path) -> None:
    """A file that reads as what is expected there, since Snakemake is told to make again what nobody can read."""
    if path.suffix == ".parquet":
        scores.write(scores.SCHEMA.empty_table().to_pandas(), path)
    elif path.suffix == ".safetensors":
        save_file({"negative": torch.zeros(1)}, path, {"p": "a prompt"})
    else:
        said = {"files": {}, "config": {}, "verdict": "", "groups": [], "columns": [], "rows": [], "state": ""}
        path.write_text(json.dumps(said))


def command(home: Path, *arguments: str) -> list[str]:
    config = [f"suite={home / 'finished.yaml'}", "results=results"]
    profile = ["--workflow-profile", str(ROOT / "profiles/default")]
    return ["-m", "snakemake", "-s", str(ROOT / "Snakefile"), *profile, *arguments, "--config", *config]


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *command(home, *arguments)], cwd=home, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done


def timed(home: Path, profiled: list[str]) -> tuple[float, float, str]:
    """Seconds by the clock and of a processor, and what was said, of a run."""
    before, began = processor(), time.monotonic()
    done = subprocess.run(
        [sys.executable, *profiled, *command(home)], cwd=home, capture_output=True, text=True, check=True
    )
    return time.monotonic() - began, processor() - before, done.stdout + done.stderr


def processor() -> float:
    spent = psutil.Process().cpu_times()
    return spent.children_user + spent.children_system


if __name__ == "__main__":
    main()
