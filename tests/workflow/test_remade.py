"""What decides what: a tiny suite is run once, then edits are made in a copy of the sources, and planned again."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pandas as pd
import pytest

from eval import scores
from tests.workflow.forked import Snakemake

ROOT = Path(__file__).parents[2]
TINY = ["suite=tiny", "bootstrap=100"]
BOTH = {"direct", "fifo_diffusion"}
MOMENTS = count(1)
SUITE = """
title: Tiny
bases:
  sprites-unet: {model: sprites-unet, params: {num_levels: 2}}
files: [direct, fifo_diffusion]
benchmarks:
  sprites:
    prompts: config/prompts/sprites.yaml
    metrics: [subject_consistency, motion_smoothness, prompt_fidelity]
    limit: 1
seeds: [1]
frames: 18
shard: 2
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of all that runs, with a tiny suite."""
    root = tmp_path_factory.mktemp("tree")
    unread = shutil.ignore_patterns("__pycache__", "sprites-unet", "sprites-wan", "sprites-wan21", "sprites-df")
    for name in ("miga", "baselines", "eval", "workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, root / name, ignore=unread)
    for model in (ROOT / "miga/sprites/weights").glob("sprites-*"):
        (root / "miga/sprites/weights" / model.name).symlink_to(model)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, root / name)
    (root / "config/suites/tiny.yaml").write_text(SUITE)
    return root


@pytest.fixture(scope="module")
def run(forks, tree, tmp_path_factory):
    """Runs Snakemake on the suite, which was run once."""
    snakemake = Snakemake(forks, tree, tmp_path_factory.mktemp("run"), config=TINY)
    finished(snakemake("tables", "--force-use-threads"))
    return snakemake


def finished(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@contextmanager
def edited(tree: Path, *edits: tuple[str, str, str]):
    """The copy with texts of files replaced, each of which must be there; then as it was."""
    before = {file: ((tree / file).read_bytes(), (tree / file).stat().st_mtime) for file, _, _ in edits}
    try:
        for file, old, new in edits:
            text = (tree / file).read_text(encoding="latin-1")
            assert old in text, f"{file} has no {old!r}"
            write(tree / file, text.replace(old, new, 1).encode("latin-1"))
        yield
    finally:
        for file, (content, moment) in before.items():
            (tree / file).write_bytes(content)
            os.utime(tree / file, (moment, moment))


def write(path: Path, content: bytes) -> None:
    """Each time with another time of change, since compiled modules are found by it in seconds."""
    path.write_bytes(content)
    moment = path.stat().st_mtime + next(MOMENTS)
    os.utime(path, (moment, moment))


def planned(done) -> dict[str, set[str]]:
    """Rule -> entries (or "" where it has none) of the jobs of a dry run."""
    jobs: dict[str, set[str]] = {}
    for rule, text in re.findall(r"^rule (\w+):\n((?: .*\n)+)", finished(done).stdout, re.M):
        entry = re.search(r"entry=([\w-]+)", text)
        jobs.setdefault(rule, set()).add(entry[1] if entry else "")
    return jobs


def test_a_finished_suite_is_finished(run):
    assert not planned(run("-n", "tables"))


def test_where_jobs_run_makes_nothing_again(forks, tree, run, tmp_path):
    (tmp_path / "apptainer").write_text("#!/bin/sh\necho apptainer version 1.4.0\n")  # all that a dry run asks it
    (tmp_path / "apptainer").chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    contained = Snakemake(forks, tree, run.folder, environment=path)
    for image in ("one.sif", "other.sif"):
        assert not planned(contained("-n", "tables", "--sdm", "apptainer", config=[*TINY, f"image={image}"]))


NOBODY_NOTICES = [
    ("miga/engine/solvers.py", "import torch\n", 'import torch\n"""Said twice."""\n'),
    ("miga/engine/queue.py", "import torch\n", "import torch  # tensors\n"),
    ("eval/vbench/score.py", "chunk: int = 16", "chunk: float = 16"),
    ("miga/sprites/interpolator.py", "BATCH = 64  # pairs at once", "BATCH = 64  # pairs in one go"),
    ("miga/experiment/suite.py", "the rest keep the original's defaults", "the others keep those of the original"),
    ("workflow/scripts/generate.py", "params, wildcards", "# what is asked for\nparams, wildcards"),
    ("workflow/scripts/score.py", "params, output", "# what is asked for\nparams, output"),
    ("workflow/rules/generate.smk", "rule generate:", "# a comment\nrule generate:"),
    ("eval/plots.py", "SEEN = 3.0", "SEEN = 4.0"),
    ("eval/report/__init__.py", "import annotations\n", "import annotations\n\nADDED = 1\n"),
]


def test_what_nobody_can_notice_makes_nothing_again(tree, run):
    with edited(tree, *NOBODY_NOTICES):
        assert not planned(run("-n", "tables"))


def test_labels_reach_the_tables_and_make_nothing_else_again(tree, run):
    labels = [
        ("eval/vbench/cards.py", '"Subject consistency"', '"Same subject"'),
        ("miga/sprites/metrics.py", 'label="Prompt fidelity"', 'label="As asked"'),
        ("baselines/direct/__init__.py", 'label="Direct"', 'label="Straight"'),
    ]
    with edited(tree, *labels):
        assert planned(run("-n", "tables")) == {"videos": {""}, "tables": {""}}
        finished(run("tables", "--force-use-threads"))
        table = (run.folder / "results/tiny/tables/vbench.md").read_text()
    assert "Same subject" in table and "As asked" in table and "Straight" in table


@pytest.mark.parametrize(
    ("file", "old", "new", "entries"),
    [
        ("miga/engine/solvers.py", "import torch\n", "import torch\n\nADDED = 1\n", BOTH),
        ("miga/engine/queue.py", "import torch\n", "import torch\n\nADDED = 1\n", BOTH),
        ("miga/models/videocrafter2.py", "DECODE_BATCH = 4", "DECODE_BATCH = 2", BOTH),  # the class, and its decoder
        ("miga/experiment/video.py", "import annotations\n", "import annotations\n\nADDED = 1\n", BOTH),
        ("baselines/direct/__init__.py", "import annotations\n", "import annotations\n\nADDED = 1\n", {"direct"}),
    ],
)  # fmt: skip
def test_what_decides_frames_makes_videos_again(tree, run, file, old, new, entries):
    with edited(tree, (file, old, new)):
        found = planned(run("-n", "scores"))
    assert found["generate"] == found["score"] == entries


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("miga/sprites/weights/reader.safetensors", '"trunk', '"trank'),
        ("miga/sprites/interpolator.py", "REACH = 4", "REACH = 3"),
        ("miga/sprites/lens.py", "[:, :64]", "[:, :32]"),
        ("eval/vbench/metrics.py", "255 - differences.double()", "254 - differences.double()"),
        ("eval/vbench/cards.py", 'of("subject", consistency)', 'of("background", consistency)'),
        ("miga/sprites/metrics.py", "truth.prompt_fidelity(_read", "truth.prompt_accuracy(_read"),
    ],
)
def test_what_decides_scores_makes_scores_again_and_no_video(tree, run, file, old, new):
    with edited(tree, (file, old, new)):
        found = planned(run("-n", "scores"))
    assert found["score"] == BOTH and not found.keys() & {"encode", "generate"}


def test_a_suite_that_grows_makes_and_scores_what_is_new(tree, run):
    """A higher limit and another seed: one video of four was there."""
    entry = run.folder / "results/tiny/sprites-unet/direct"
    (old,) = entry.glob("*/seed-*.mp4")
    shards = [entry / f"sprites/sprites-0-seed-{seed}.parquet" for seed in (1, 2)]
    before, scored = old.stat().st_mtime_ns, scores.read(shards[0])
    with edited(
        tree, ("config/suites/tiny.yaml", "limit: 1", "limit: 2"), ("config/suites/tiny.yaml", "[1]", "[1, 2]")
    ):
        finished(run(*map(str, shards), "--force-use-threads"))
    logs = run.folder / "results/tiny/logs/sprites-unet/direct"
    assert len(list(entry.glob("*/seed-*.mp4"))) == 4 and old.stat().st_mtime_ns == before
    assert (logs / "generate-sprites-0-seed-1.log").read_text().count("is there") == 1
    assert "1 of 2 videos to score" in (logs / "score-sprites-sprites-0-seed-1.log").read_text()
    grown = scores.read(shards)
    again = grown.merge(scored[scores.KEY]).sort_values(scores.KEY, ignore_index=True)
    pd.testing.assert_frame_equal(again, scored, check_dtype=False)
    assert len(grown) == 4 * len(scored)
