"""The official scorer: the `vbench` package, unpatched, in an environment of its own.

    python -m eval.vbench.official DIR                                         builds that environment in DIR
    VBENCH_PYTHON=DIR/bin/python pytest tests/eval/test_vbench_official.py     compares its numbers with ours

It is slow, and its memory grows with the length of a video; `score.py` with `backbones.py` gives the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval import video
from eval.metric import METRICS
from eval.vbench import VBENCH
from eval.vbench.backbones import SMALLEST, too_small
from eval.vbench.weights import DINO, digest, located, needed

PACKAGE = "vbench-0.1.5"
RECIPE = Path(__file__).parents[2] / "workflow/envs"
RUNNER = Path(__file__).with_name("runner.py")
OTHERS = ("dynamic_degree", "aesthetic_quality", "imaging_quality")  # its dimensions that only this backend scores
# The package's scale of a single video's value, where it is not 0..1.
SCALES = {"imaging_quality": 100.0}


def build(folder: str | Path) -> Path:
    """Make the environment and return its python; about 1.3 GB."""
    folder = Path(folder)
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(RECIPE / "vbench.txt")], check=True)
    subprocess.run([*pip, "--no-deps", "-r", str(RECIPE / "vbench-nodeps.txt")], check=True)
    return python


def python() -> Path | None:
    """The python of that environment as $VBENCH_PYTHON names it."""
    named = os.environ.get("VBENCH_PYTHON")
    return Path(named) if named else None


def package(python: str | Path) -> Path:
    """The folder of the installed package of an environment, named by its python."""
    found = list(Path(python).absolute().parents[1].glob("lib/python*/site-packages/vbench"))
    if not found:
        raise ValueError(
            f"{python}: no vbench package beside it; `python -m eval.vbench.official DIR` installs it in DIR"
        )
    return found[0]


def score(
    videos: Mapping[str, Path],
    python: str | Path,
    weights: str | Path | None = None,
    dimensions: Sequence[str] = VBENCH,
    device: str = "cpu",
) -> dict[tuple[str, str], dict[str, Any]]:
    """(name, dimension) -> row (frames, metric, protocol, version, value, reason, series) for videos by name.

    Videos that the package fails on are rows with a reason and are not given to it. `ValueError` with the
    package's last words where it fails.
    """
    files = located(weights, needed(dimensions))
    version = f"{PACKAGE}+{hashlib.sha256(''.join(map(digest, files)).encode()).hexdigest()[:12]}"
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for name, path in videos.items():
        facts = _inspected(path)
        for dimension in dimensions:
            rows[name, dimension] = {
                "frames": facts[0], "metric": dimension, "protocol": "vbench", "version": version,
                "value": None, "reason": _reason(dimension, *facts), "series": None,
            }  # fmt: skip
    together: dict[tuple[str, ...], list[str]] = {}  # videos -> the dimensions that all of them are fit for
    for dimension in dimensions:
        fit = tuple(name for name in videos if rows[name, dimension]["reason"] is None)
        together.setdefault(fit, []).append(dimension)
    for fit, named in together.items():
        for (name, dimension), value in (_run(videos, fit, python, weights, named, device) if fit else {}).items():
            rows[name, dimension]["value"] = value / SCALES.get(dimension, 1)
    return rows


def _inspected(path: Path) -> tuple[int, int, int, str | None]:
    """Frames, height and width of a video, and why it cannot be read."""
    frames, height, width = 0, 0, 0
    try:
        for chunk in video.chunks(path):
            height, width = chunk.shape[1:3]
            frames += len(chunk)
    except video.VideoError as error:
        return 0, 0, 0, str(error)
    return frames, height, width, None


def _reason(dimension: str, frames: int, height: int, width: int, unreadable: str | None) -> str | None:
    """Why the package fails on a video in this dimension."""
    needed = METRICS.get(dimension).frames if dimension in VBENCH else 3
    if unreadable:
        return unreadable
    if frames < needed:
        return f"{frames} frame{'s' * (frames != 1)}: {dimension} needs at least {needed}"
    if dimension == "motion_smoothness" and min(height, width) < SMALLEST:
        return too_small(height, width)
    return None


def _run(videos, chosen, python, weights, dimensions, device) -> dict[tuple[str, str], float]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        links = lay_out(folder, {name: videos[name] for name in chosen}, weights, dimensions, device)
        done = subprocess.run(
            # -P: the runner's own folder holds modules whose names the package knows otherwise
            [str(python), "-P", str(RUNNER), str(folder / "job.json")], capture_output=True, text=True, cwd=folder,
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        )  # fmt: skip
        if done.returncode:
            words = " ".join(done.stderr.strip().splitlines()[-3:]) or "no words"
            raise ValueError(f"the vbench package failed: {words}")
        found = json.loads((folder / "output/run_eval_results.json").read_text())
    return {
        (links[Path(item["video_path"]).name], dimension): float(item["video_results"])
        for dimension in dimensions
        for item in found[dimension][1]
    }


def lay_out(
    folder: Path, videos: Mapping[str, Path], weights: str | Path | None, dimensions: Sequence[str], device: str
) -> dict[str, str]:
    """Write folder/job.json for `runner.py`, and the folders it names; returns the name of each video by its link.

    The package gets links, named so that its name parsing finds nothing to parse.
    """
    links = {f"{number:06}.mp4": name for number, name in enumerate(videos)}
    for link, name in links.items():
        _link(folder / "videos" / link, videos[name])
    files = needed(dimensions)
    for file, path in zip(files, located(weights, files), strict=True):
        _link(folder / "weights" / file.place, path)
        if file is DINO:  # where the package really reads it from, whatever path it was given
            _link(folder / "torch/hub/checkpoints" / Path(file.place).name, path)
    job = {
        "videos": str(folder / "videos"), "output": str(folder / "output"), "name": "run", "device": device,
        "dimensions": list(dimensions), "weights": str(folder / "weights"),
        "torch_home": str(folder / "torch"),
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "output").mkdir()
    return links


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(Path(target).resolve())


if __name__ == "__main__":
    print(build(sys.argv[1]))
