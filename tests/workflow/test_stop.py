"""`stop`: prompts are asked for in rounds, until every paired difference to the reference is settled."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import save_file

from eval import records, scores
from eval.metric import METRICS
from eval.statistics import Estimate
from eval.stopping import unsettled
from eval.tables import Cell, Row, Table
from miga.experiment.experiment import load_experiment
from tests.workflow.forked import Snakemake

ROOT = Path(__file__).parents[2]
SUITE = {
    "title": "Rounds",
    "bases": {"sprites-unet": {"model": "sprites-unet", "params": {"num_levels": 2}}},
    "files": ["direct", "fifo_diffusion"],
    "reference": "direct",
    "stop": {"settled": 1000, "prompts": 2, "metrics": ["temporal_flickering"]},
    "seeds": [1],
    "frames": 4,
    "shard": 6,
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Six prompts, of which the first two are not measured on what is looked at."""
    folder = tmp_path_factory.mktemp("suite")
    measured = ["motion_smoothness"] * 2 + ["temporal_flickering"] * 4
    prompts = [
        {
            "id": f"p{number}",
            "prompt": f"a red circle moves {way} over a plain blue background",
            "dimensions": [dimension],
        }
        for number, (way, dimension) in enumerate(zip(["left", "right", "up", "down"] * 2, measured, strict=False))
    ]
    (folder / "prompts.yaml").write_text(yaml.safe_dump(prompts))
    said = {"prompts": str(folder / "prompts.yaml"), "metrics": ["temporal_flickering", "motion"]}
    (folder / "rounds.yaml").write_text(yaml.safe_dump(SUITE | {"benchmarks": {"sprites": said}}))
    return folder / "rounds.yaml"


@pytest.fixture
def snakemake(forks, suite, tmp_path):
    return Snakemake(forks, ROOT, tmp_path, config=[f"suite={suite}", "bootstrap=100"])


def planned(done) -> set[str]:
    """Entries and shards of the generation jobs of a dry run."""
    assert done.returncode == 0, done.stdout + done.stderr
    return set(re.findall(r"^    output: \S+/(\w+/shard-\S+)\.json$", done.stdout, re.M))


def first_round(folder: Path, settled: bool) -> None:
    """Stand-ins of what the first round leaves, and what it says."""
    for entry in ("direct", "fifo_diffusion"):
        write(folder / "sprites-unet" / entry / "shard-sprites-0-seed-1.json", '["p0/seed-1.mp4"]')
        none = pd.DataFrame(columns=scores.COLUMNS)
        scores.write(none, folder / "sprites-unet" / entry / "sprites/sprites-0-seed-1.parquet")
    for name in ("vbench", "differences"):
        for kind in ("csv", "md", "tex", "json"):
            write(folder / f"rounds/2/{name}.{kind}", "stand-in")
    write(folder / "rounds/2/settled.json", json.dumps({"settled": settled}))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_rounds_are_asked_for_one_after_the_other(suite, snakemake, tmp_path):
    found, folder = planned(snakemake("-n")), tmp_path / "results/rounds"
    assert found == {f"{entry}/shard-sprites-0-seed-1" for entry in ("direct", "fifo_diffusion")}
    (folder / "sprites-unet").mkdir(parents=True)
    save_file({"negative": np.zeros(1)}, folder / "sprites-unet/text-sprites-0.safetensors", {"p0": "a"})
    first_round(folder, settled=False)
    done = snakemake("-n")
    assert planned(done) == {f"{entry}/shard-sprites-1-seed-1" for entry in ("direct", "fifo_diffusion")}
    first_round(folder, settled=True)
    done = snakemake("-n")
    assert not planned(done) and re.search(r"^scores +1$", done.stdout, re.M)


def test_a_shard_is_of_one_round(suite):
    experiment = load_experiment(str(suite), ROOT)
    assert experiment.rounds() == [2, 4, 6] and len(experiment.shards_of("direct")) == 3
    assert list(experiment.shards_of("direct", prompts=4)) == list(experiment.shards_of("direct"))[:2]


def test_a_suite_stops_where_all_is_settled(snakemake, tmp_path):
    """The first round has no interval, the second one has."""
    done = snakemake("scores", "videos", "--force-use-threads")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "results/rounds"
    said = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("rounds/*/settled.json")}
    assert said["2"] == {
        "settled": False,
        "open": ["sprites-unet, Direct − FIFO-Diffusion: temporal_flickering has no interval yet"],
    }
    assert said["4"] == {"settled": True, "open": []}
    assert set(records.read(folder / "videos.parquet")["prompt_id"]) == {"p0", "p1", "p2", "p3"}
    assert "[" in (folder / "rounds/4/differences.md").read_text()
    assert not planned(snakemake("-n", "scores", "videos"))


@pytest.mark.parametrize(
    ("low", "high", "settled"),
    [(0.01, 0.5, True), (-0.5, -0.01, True), (-0.002, 0.007, True), (-0.002, 0.008, False), (None, None, False)],
)
def test_a_difference_is_settled_where_it_excludes_zero_or_is_narrow(low, high, settled):
    cell = Cell(Estimate(0.005, low, high, 4, 4, 4))
    table = Table(
        "t", "T", ("Base", "Difference"), (METRICS.get("overall"),), (Row("b", "e", ("b", "A − B"), {"overall": cell}),)
    )
    assert (not list(unsettled(table, ["overall"], 1.0))) == settled


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"reference": None}, "stop: differences to what"),
        ({"stop": {"settled": 1, "metrics": ["overal"]}}, "unknown metric in `stop`: 'overal': did you mean 'overall'"),
        ({"stop": {"settled": 0}}, "stop.settled: input should be greater than 0"),
    ],
)
def test_what_is_wrong_is_said_before_the_dag(suite, tmp_path, change, sentence):
    said = yaml.safe_load(suite.read_text()) | change
    said["benchmarks"]["sprites"]["metrics"] = [
        "subject_consistency",
        "background_consistency",
        "motion_smoothness",
        "temporal_flickering",
    ]
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_experiment(str(tmp_path / "wrong.yaml"), ROOT)
