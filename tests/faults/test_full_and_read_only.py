"""A disk that is full and one that cannot be written, as they are: each command ends with a sentence, and what was
there before still is. Skipped where nothing can be mounted."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from eval.files import write_json
from miga.commands import main
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


@pytest.fixture(scope="module", params=["full", "read-only"])
def disk(request, tmp_path_factory):
    """A disk with a finished video on it, and no room for more."""
    place = tmp_path_factory.mktemp("disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert main(f"{GENERATE} {place}/mine/red.mp4".split()) == 0
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
