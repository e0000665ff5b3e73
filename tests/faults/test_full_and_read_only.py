"""A disk that is full and one that cannot be written, as they are: each command ends with a sentence, and what was
there before still is. Skipped where nothing can be mounted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from eval import leaderboard, plots, records, report, scores, tables, track
from eval.files import write_json
from eval.report import pages
from miga.commands import main
from miga.experiment.digest import ROOT
from tests.eval.conftest import MAIN, made_up_facts, made_up_scores, made_up_sidecars
from tests.faults import inputs
from tests.faults.test_commands import state

GENERATE = "generate --method static --model-param num_levels=2 guidance_scale=1 --frames 24 --prompt a --out"
SCORE = "score {videos} --dimensions motion --out"
WRITING = {  # what writes -> where to, beside what was there
    f"{GENERATE} new.mp4": "new.mp4",
    f"{GENERATE} mine/red.mp4 --seed 5": "red.mp4",
    f"{SCORE} scores.parquet": "scores.parquet",
    "degrade {videos}/a-0.mp4 --fault noise --out worse.mp4": "worse.mp4",
    "show mine/red.mp4": "red.html",
    # ours were made before: training found it at its first checkpoint
    "sprites train --model sprites-unet --replace --folder training": "training",
    "init lab": "lab",  # left half of it, and would not begin again; named the file that it read
}


TABLE = made_up_scores(2, 1)
with tempfile.TemporaryDirectory() as place:
    FACTS = made_up_facts(Path(place), TABLE)
BOARD = leaderboard.build(TABLE, FACTS, "2026-01-31", MAIN, resamples=10)
WRITTEN = {  # what the last rules of a suite write, in its folder
    "scores.parquet": lambda suite: scores.write(TABLE, suite / "scores.parquet"),
    "videos.parquet": lambda suite: records.write(FACTS, suite / "videos.parquet"),
    "tables/vbench.csv": lambda suite: tables.write(
        tables.comparison("vbench", "t", TABLE, FACTS, MAIN, resamples=10), suite / "tables"
    ),
    "leaderboard/vbench.csv": lambda suite: leaderboard.write(BOARD, suite / "leaderboard/vbench.csv"),
    "plots/drift.svg": lambda suite: plots.consistency_motion(TABLE, FACTS, suite / "plots/drift", columns=MAIN),
    "report/index.html": lambda suite: report.write(suite, "Tiny", "", list(TABLE["entry"].unique()), ["vbench"]),
    "results-sprites.md": lambda suite: pages.write(suite, suite.parent, "T", ["vbench"], "vbench", "c", "2026-01-31"),
    "wandb/status.json": lambda suite: track.publish(suite, "offline", videos=0),
}


def finish(suite):
    """A finished suite; of its offline run a stand-in, and nothing that says it is published."""
    made_up_sidecars(suite.parent, TABLE)
    for name, write in WRITTEN.items():
        if name != "wandb/status.json":
            write(suite)
    id = track.run_id(suite)
    write_json(suite / f"wandb/offline-run-20260131_000000-{id}/run-{id}.wandb", "whole")


@pytest.fixture(scope="module", params=["full", "read-only"])
def disk(request, tmp_path_factory):
    """A disk with a finished video on it, and no room for more."""
    place = tmp_path_factory.mktemp("disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert main(f"{GENERATE} {place}/mine/red.mp4".split()) == 0
        finish(place / "docs/sprites")
        if request.param == "full":
            with suppress(OSError), open(place / "other", "wb") as other:
                while other.write(bytes(4096)):
                    other.flush()
        else:
            subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("typed", WRITING, ids=WRITING.values())
def test_a_sentence_and_nothing_lost(typed, disk, tmp_path, monkeypatch, capfd):
    inputs.good(tmp_path / "a-0.mp4", 4)
    monkeypatch.chdir(disk)
    before = state(disk)
    assert main(typed.format(videos=tmp_path).split()) == 2
    *_, said = capfd.readouterr().err.splitlines()
    assert said.startswith("miga: ") and WRITING[typed] in said
    assert "no space left" in said.lower() or "read-only file system" in said.lower()
    assert state(disk) == before


def test_a_table_that_does_not_fit_leaves_the_old_one(disk):
    before = (disk / "mine/red.json").read_bytes()
    with pytest.raises(OSError) as error:
        write_json(disk / "mine/red.json", {"x": "y" * 100_000})
    assert Path(error.value.filename).name == "red.json" and (disk / "mine/red.json").read_bytes() == before
    assert sorted(os.listdir(disk / "mine")) == ["red.json", "red.mp4"]


@pytest.mark.parametrize("name", WRITTEN)
def test_the_last_files_of_a_suite_stay_as_they_are(name, disk):
    kept = state(disk)
    with pytest.raises(OSError) as error:
        WRITTEN[name](disk / "docs/sprites")
    assert str(error.value.filename).endswith(name)
    after = state(disk)
    assert {path: after.get(path) for path in kept} == kept
    assert not list(disk.rglob("*.partial")) and len(list(disk.glob("docs/sprites/wandb/offline-run-*"))) == 1


def test_a_script_without_room_for_its_log_says_why_it_ended(disk, tmp_path):
    if os.statvfs(disk).f_flag & os.ST_RDONLY:
        pytest.skip("Snakemake makes no log there, and says so")
    script = """if True:
        import sys
        from types import SimpleNamespace as Of
        from start import start
        from eval.files import write_text
        log, table = sys.argv[1:]
        start(Of(log=[log], threads=1, resources={}))
        write_text(table, "x" * 100_000)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workflow/scripts")])}
    for log, said in ((disk / "tables.log", True), (tmp_path / "tables.log", False)):
        command = [sys.executable, "-c", script, log, disk / "docs/sprites/tables/vbench.csv"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        sentence = f"OSError: [Errno 28] No space left on device: '{disk}/docs/sprites/tables/vbench.csv'\n"
        assert done.returncode and done.stderr == (sentence if said else "")
        assert log.read_text().endswith("" if said else sentence)
    (disk / "tables.log").unlink()
