"""Commands on scores and results: score a folder, verify a suite, check and merge leaderboards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
from tyro.conf import Positional

from eval.metric import of_videos
from eval.vbench import CUSTOM, STANDARD, VBENCH


def score(
    folder: Positional[Path],
    out: Path = Path("scores.parquet"),
    protocol: Literal["vbench", "vbench-long", "vbench-long-fused"] = "vbench",
    backend: Literal["fast", "official"] = "fast",
    weights: Path | None = None,
    python: Path | None = None,
    dimensions: tuple[str, ...] = (),
    device: str | None = None,
    resume: bool = False,
) -> int:
    """Score videos that anybody made: a row per video and dimension, with a value or the reason why there is none.

    Example: miga score videos --out scores.parquet

    Args:
        folder: Videos named `<prompt>-<i>.mp4`.
        out: The long table, a .parquet file.
        protocol: VBench's four dimensions on whole videos, or on clips of two seconds; fused, as papers have it, with
            the consistency between clips by DINOv2 and DreamSim.
        backend: Our scorer, or the vbench package in its own environment; the numbers are the same.
        weights: Folder laid out as the package's cache; default $VBENCH_CACHE_DIR or ~/.cache/vbench.
        python: The python of the environment with the vbench package, default $VBENCH_PYTHON
            (`python -m eval.vbench.official DIR` builds it); the fast backend takes the code of AMT from there.
        dimensions: Only these; a network that none of them needs is neither loaded nor run. Default: VBench's four,
            and on whole videos drift and motion with the fast backend. `miga metrics` lists what there is; the official
            backend knows VBench's seven.
        device: cpu or cuda; default: cuda where it is there.
        resume: Keep what the fast backend has in `out` already, and compute only what has no value there; videos
            whose content is another one, and values of other networks, are done again, videos that are gone go.
    """
    from eval import scores
    from eval.files import only_ours, writable
    from eval.parsing import device_of
    from eval.vbench import backbones, between, long, official, prompts
    from eval.vbench import weights as files
    from eval.vbench.folder import foreign, left_aside, score_folder
    from eval.vbench.score import score_video

    known = {("fast", "vbench"): of_videos(), ("official", "vbench"): VBENCH + official.OTHERS}.get(
        (backend, protocol), CUSTOM
    )
    if unknown := [name for name in dimensions if name not in known]:
        raise ValueError(f"--dimensions {unknown[0]}: {backend} knows {', '.join(known)} under {protocol}")
    if out.suffix != ".parquet":
        raise ValueError(f"--out {out}: the table is a .parquet file")
    only_ours(out, scores.read, "a table of scores")
    writable(out)
    videos = foreign(folder)
    for sentence in left_aside(folder):
        print(sentence)
    for sentence in prompts.unlike([path for path, _ in videos]):
        print(f"note: {sentence}")
    python = python or official.python()
    if backend == "official":
        if protocol != "vbench" or python is None:
            raise ValueError("the official backend scores the protocol vbench and needs --python, its environment's")
        if resume:
            raise ValueError("--resume is for the fast backend: the package scores all videos at once")
        device = str(device_of(device))
        dimensions = dimensions or VBENCH
        paths = {str(path): path for path, _ in videos}
        found = official.score(paths, python, weights, dimensions, device)
        rows = [identity | found[str(path), dimension] for path, identity in videos for dimension in dimensions]
        scores.write(pd.DataFrame(rows, columns=list(scores.COLUMNS)), out)
    else:
        dimensions = dimensions or (STANDARD if protocol == "vbench" else VBENCH)
        scorer = score_video if protocol == "vbench" else long.score_video
        networks = backbones.load(weights, device, official.package(python) if python else None, dimensions)
        if protocol == "vbench-long-fused":
            networks = between.fused(networks, dimensions, weights)
        score_folder(
            videos, scorer, networks, protocol.replace("vbench", networks.protocol, 1), dimensions, out, resume
        )
    used = files.needed(dimensions) if backend == "official" else (*files.FILES, *files.QUALITY)
    if protocol == "vbench-long-fused":
        used = (*used, *files.BETWEEN)
    for file, path, words in files.inventory(weights):
        if path and file in used and set(file.dimensions) & set(dimensions):
            print(f"{Path(file.place).name}: {words}")
    table = scores.read(out)
    table = table[table["entry"] == videos[0][1]["entry"]]
    for metric, part in table.groupby("metric", sort=False):
        mean = f"{part['value'].mean():.4f}" if part["value"].notna().any() else "–"
        print(f"{metric:<38} {mean}  n = {part['value'].notna().sum()} of {len(part)}")
    for reason, count in table.drop_duplicates(["prompt_id", "seed", "reason"])["reason"].value_counts().items():
        print(f"{count} without a value: {reason}")
    return 0


def verify(suite: Positional[Path], videos: bool = True) -> int:
    """Check what the folder of a suite says about itself; exit status 1 where something does not match.

    Example: miga verify results/sprites

    Args:
        suite: A finished suite, such as results/sprites.
        videos: Decode the videos and compare their frames with the sidecars' digests.
    """
    from eval import manifest

    checks = list(manifest.verify(suite, videos))
    wrong = [(what, why) for what, fine, why in checks if not fine]
    for what, why in wrong:
        print(f"{what}: {why}")
    print(f"{len(checks) - len(wrong)} of {len(checks)} checks match")
    return 1 if wrong else 0


def merge(boards: Positional[list[Path]], out: Path) -> int:
    """Join leaderboards of several machines; refuses to mix suites, protocols or versions.

    Example: miga leaderboard merge a.csv b.csv --out all.csv

    Args:
        boards: Leaderboard files.
        out: The joined leaderboard.
    """
    from eval import leaderboard
    from eval.files import only_ours

    only_ours(out, leaderboard.read, "a leaderboard")
    leaderboard.write(leaderboard.merge({str(path): leaderboard.read(path) for path in boards}), out)
    return 0


def validate(boards: Positional[list[Path]]) -> int:
    """Check that leaderboards fit the schema; the first thing that does not is one sentence.

    Example: miga leaderboard validate results/sprites/leaderboard/sprites.csv

    Args:
        boards: Leaderboard files.
    """
    from eval import leaderboard

    for path in boards:
        print(f"{path}: {len(leaderboard.read(path))} rows fit the schema")
    return 0
