"""Twenty kills with -9, at random moments, of generation, scoring, publishing, the DAG: the same tables in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval import records, scores
from miga.experiment.digest import ROOT
from tests.faults.killed import KILLS, RESAMPLES

SUITE = """
title: Killed
bases: {sprites-unet: {model: sprites-unet, params: {num_levels: 2}}}
files: [direct]
benchmarks:
  sprites: {prompts: config/prompts/sprites.yaml, metrics: [motion, temporal_flickering], limit: 2}
seeds: [1]
frames: 4
"""
OF_THE_DAG = 4


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def stages(suite, tmp_path_factory):
    """The folder with the results of a whole run and of the killed ones, and what happened."""
    out = tmp_path_factory.mktemp("stages")
    command = [sys.executable, "-m", "tests.faults.killed", str(suite), str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout.splitlines()[-1])


def hashes(folder: Path) -> dict[str, str]:
    return {path.parent.name: records.read_sidecar(path).frames_sha256 for path in folder.glob(records.SIDECARS)}


def results(folder: Path) -> dict[str, bytes]:
    """Scores, tables and leaderboards; what a table of costs says differs from run to run."""
    paths = [folder / "scores.parquet", *sorted(folder.glob("tables/vbench.*")), *folder.glob("leaderboard/*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_killed_stages_end_in_the_same_tables(stages):
    out, told = stages
    assert {name: stage["deaths"] for name, stage in told.items()} == KILLS
    whole, killed = results(out / "whole/small"), results(out / "killed/small")
    assert len(whole) == 6 and whole == killed
    assert hashes(out / "whole/small") == hashes(out / "killed/small") and len(hashes(out / "whole/small")) == 2
    status = json.loads((out / "killed/small/wandb/status.json").read_text())
    assert status["state"] in ("published", "unchanged"), status
    assert len(list((out / "killed/small/wandb").glob(f"offline-run-*-{status['id']}"))) == 1


def test_nothing_hidden_passes_for_a_result(stages):
    """What a killed writer leaves is hidden, and no table counts it."""
    killed = stages[0] / "killed/small"
    shown = [path.name for path in killed.glob("sprites-unet/*/*/*") if not path.name.startswith(".")]
    assert sorted(shown) == ["seed-1.json", "seed-1.json", "seed-1.mp4", "seed-1.mp4"]
    assert len(records.read(killed / "videos.parquet")) == len(hashes(killed)) == 2


def test_a_killed_dag_ends_in_the_same_tables(suite, stages, tmp_path):
    """Its results are moved to another place behind a link before the last run."""
    work, chance = tmp_path / "work", random.Random(14)
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def started(results):
        config = [f"suite={suite}", f"results={results}", f"bootstrap={RESAMPLES}"]
        targets = [f"{results}/small/{name}" for name in ("scores.parquet", "tables/vbench.csv")]
        command = [sys.executable, "-m", "snakemake", "-s", f"{ROOT}/Snakefile", "--cores", "2"]
        command += ["--config", *config, "--", *targets]
        with (tmp_path / "log").open("a") as log:
            return subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log, process_group=0)

    old, new, link = (tmp_path / name for name in ("old", "new", "link"))
    for _ in range(OF_THE_DAG):
        run, before = started(old), len(written(old))
        while run.poll() is None and len(written(old)) == before:  # the next file is there, of whatever job
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        assert run.poll() is None, (tmp_path / "log").read_text()
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        subprocess.run([sys.executable, ROOT / "workflow/unlock.py"], cwd=work, check=True)  # as `make reproduce` does
    old.rename(new)
    link.symlink_to(new)
    assert started(link).wait(timeout=400) == 0, (tmp_path / "log").read_text()
    whole, folder = stages[0] / "whole/small", new / "small"
    assert hashes(folder) == hashes(whole)
    assert scores.read(folder / "scores.parquet").equals(scores.read(whole / "scores.parquet"))
    tables = {path.name: path.read_bytes() for path in whole.glob("tables/vbench.*")}
    assert {path.name: path.read_bytes() for path in folder.glob("tables/vbench.*")} == tables and len(tables) == 4


def written(folder: Path) -> list[Path]:
    """Results, hidden and half ones among them; no logs."""
    return [path for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts]
