"""What a run has made and reads again, spoilt in every way: it is named and made again, and ends in the same tables."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from eval import records, scores
from miga.experiment.derived import lines, readers, unreadable
from miga.experiment.digest import ROOT
from miga.experiment.passes import Passes
from tests.workflow.forked import Snakemake

BENCHMARK = "sprites"
SUITE = f"""
title: Derived
bases: {{sprites-unet: {{model: sprites-unet, params: {{num_levels: 2}}}}}}
files: [direct, fifo_diffusion]
benchmarks:
  {BENCHMARK}: {{prompts: config/prompts/sprites.yaml, metrics: [temporal_flickering], limit: 4}}
seeds: [1]
frames: 4
reference: direct
stop: {{settled: 1000, prompts: 2, metrics: [temporal_flickering]}}
lengths: {{frames: [4], entries: [direct]}}
"""
OF_ANY_CONTENT = ("run.json", "passes.json")  # written anew, or read as nothing


def other_table() -> bytes:
    file = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_parquet(file)
    return file.getvalue()


SPOILT = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "bytes": lambda content: bytes(range(256)),
    "object": lambda content: b"{}",
    "list": lambda content: b"[]",
    "null": lambda content: b"null",
    "list of numbers": lambda content: b"[3]",
    "other keys": lambda content: b'{"settled": NaN}',
    "no UTF-8": lambda content: b'["\xed\xa0\xbd"]',
    "deep": lambda content: b"[" * 100_000,
    "other table": lambda content: other_table(),
}


@pytest.fixture(scope="module")
def run(forks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(SUITE)
    snakemake = Snakemake(forks, ROOT, folder, config=[f"suite={folder}/small.yaml", "bootstrap=100"])
    done = snakemake("page", "--force-use-threads")
    assert done.returncode == 0, done.stdout + done.stderr
    return snakemake


@pytest.fixture
def suite(run, tmp_path):
    """The folder of the finished suite; what a test does to it is undone."""
    folder, kept = run.folder / "results/small", tmp_path / "kept"
    shutil.copytree(folder, kept)
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)


def spoil(path: Path, content: bytes) -> None:
    """In place, with its date: nothing else says that it has changed."""
    moment = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(moment, moment))


def read_again(suite: Path) -> list[Path]:
    return sorted({path for pattern in readers([BENCHMARK]) for path in suite.glob(pattern) if path.is_file()})


def tables(suite: Path) -> dict[str, bytes]:
    """What no clock decides."""
    paths = [suite / "scores.parquet", *suite.glob("tables/vbench*"), *suite.glob("tables/differences.*")]
    return {path.name: path.read_bytes() for path in paths}


def test_what_a_run_makes_can_be_read(suite):
    assert list(unreadable(suite, [BENCHMARK])) == []
    assert {path.name for path in read_again(suite)} >= {
        "videos.parquet",
        "passes.json",
        "settled.json",
        "length-4.json",
    }


@pytest.mark.parametrize("how", SPOILT)
def test_every_spoilt_file_is_named(suite, how):
    files, wanted = read_again(suite), set()
    for path in files:
        spoil(path, SPOILT[how](path.read_bytes()))
        # of what people read no more is known than that it is there
        if path.name not in OF_ANY_CONTENT and (path.suffix in (".json", ".parquet", ".safetensors") or how == "empty"):
            wanted.add(path)
    found = dict(unreadable(suite, [BENCHMARK]))
    assert found.keys() == wanted and len(files) > 40
    assert all(0 < len(said) < 170 and "\n" not in said for said in found.values())


def test_links_to_nowhere_are_named(suite):
    files = [path for path in read_again(suite) if path.name not in OF_ANY_CONTENT]
    for path in files:
        path.unlink()
        path.symlink_to(suite / "nowhere")
    assert dict(unreadable(suite, [BENCHMARK])) == dict.fromkeys(files, "a link to nowhere")


def test_folders_are_left_alone(suite):
    for path in read_again(suite):
        content = path.read_bytes()
        path.unlink()
        (path / "mine").mkdir(parents=True)
        # where people may have some
        if path.parent.name in ("tables", "plots", "leaderboard", "report") and path.suffix != ".json":
            assert list(unreadable(suite, [BENCHMARK])) == []
        else:
            with pytest.raises(ValueError, match=re.escape(f"{path}: a folder")):
                list(unreadable(suite, [BENCHMARK]))
        shutil.rmtree(path)
        path.write_bytes(content)


def test_a_run_names_them_makes_them_again_and_ends_in_the_same_tables(run, suite):
    shard = suite / "sprites-unet/direct"
    spoilt = {
        "videos.parquet": "half",
        "rounds/2/settled.json": "empty",
        "sprites-unet/text-sprites-0.safetensors": "half",
        "sprites-unet/direct/shard-sprites-0-seed-1.json": "bytes",
        "sprites-unet/direct/sprites/sprites-0-seed-1.parquet": "other table",
        "quality.json": "list",
        "passes.json": "list",
        "run.json": "bytes",
    }
    before, videos = tables(suite), {path: path.stat().st_mtime_ns for path in suite.glob("*/*/*/*.mp4")}
    for name, how in spoilt.items():
        spoil(suite / name, SPOILT[how]((suite / name).read_bytes()))
    planned = run("-n", "page")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    named = [name for name in spoilt if f"{name}: cannot be read" in planned.stderr]
    assert len(named) == 5 and "and 1 more files cannot be read" in planned.stderr
    assert set(re.findall(r"^(\w+) +\d+$", planned.stdout, re.M)) >= {
        "encode",
        "generate",
        "score",
        "settled",
        "videos",
    }
    done = run("page", "--force-use-threads")
    assert done.returncode == 0 and "Error" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert tables(suite) == before and len(before) == 13
    assert {path: path.stat().st_mtime_ns for path in suite.glob("*/*/*/*.mp4")} == videos  # no video was made again
    assert len(records.read(suite / "videos.parquet")) == 4 and len(
        scores.read(shard / "sprites/sprites-0-seed-1.parquet")
    )
    assert "Nothing to be done" in run("-n", "page").stdout


def test_a_run_that_makes_something_else_leaves_them_alone(run, suite):
    """And a spoilt table of videos with a spoilt sidecar beside it does not keep it from its work."""
    for path in (suite / "videos.parquet", suite / "tables/vbench.json", *suite.glob("*/direct/01*/seed-1.json")):
        spoil(path, b"{")
    (suite / "prompts.json").unlink()
    done = run("--force-use-threads", str(suite / "prompts.json"))
    assert done.returncode == 0 and "Error" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert (suite / "videos.parquet").read_bytes() == b"{" and (suite / "prompts.json").is_file()
    shard = suite / "sprites-unet/direct/shard-sprites-0-seed-1.json"
    shard.unlink()
    done = run("--force-use-threads", str(shard))
    assert done.returncode == 0 and "Error" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert len(json.loads(shard.read_text())) == 2


def test_a_folder_in_its_place_is_a_sentence(run, suite):
    (suite / "run.json").unlink()
    (suite / "run.json/mine").mkdir(parents=True)
    done = run("page", "--force-use-threads")
    assert (
        done.returncode == 1 and "run.json: a folder, where a file of this suite belongs: move it away" in done.stderr
    )
    assert "Traceback" not in done.stderr and (suite / "run.json/mine").is_dir()


@pytest.mark.parametrize(
    "said", ["[]", "{", '{"a b": 3}', '{"a b": [1, NaN]}', '{"a b": [1]}', "[" * 100_000, '"\\ud800']
)
def test_counted_passes_that_are_none_count_as_nothing(said, tmp_path):
    (tmp_path / "passes.json").write_text(said)
    assert Passes(None, tmp_path / "passes.json").kept == {}


def test_many_are_counted():
    found = {Path(f"{number}.json"): "it is empty" for number in range(7)}
    *first, last = lines(found)
    assert len(first) == 5 and last == "and 2 more files cannot be read and are made again"


@pytest.mark.parametrize("how", SPOILT)
def test_a_table_of_videos_that_is_none_is_a_sentence(how, tmp_path):
    (tmp_path / "videos.parquet").write_bytes(SPOILT[how](other_table()))
    with pytest.raises(ValueError, match=r"videos.parquet: not a table of videos \(.*\); remove it") as error:
        records.read(tmp_path / "videos.parquet")
    assert "\n" not in str(error.value)
