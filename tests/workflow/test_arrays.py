"""Job arrays: all jobs of one ask for the most that any of them needs, and a run that would never end is refused."""

import json
from pathlib import Path

import pytest
import yaml

from tests.workflow.forked import Snakemake

ROOT = Path(__file__).parents[2]
PROMPTS = {"prompts": "config/prompts/sprites.yaml", "metrics": ["temporal_flickering"], "limit": 11}
SUITE = {
    "title": "Arrays",
    "bases": {
        "small": {"model": "videocrafter2", "params": {"num_levels": 4}, "seconds_per_call": 1},
        "large": {"model": "wan2.1-1.3b", "params": {"num_levels": 4}, "seconds_per_call": 60},
    },
    "files": ["direct", "fifo_diffusion"],
    "benchmarks": {"sprites": PROMPTS},
    "seeds": [1],
    "frames": 64,
    "shard": 3,
}
JOBS = 45  # of that suite
ROOM = {"jobs": JOBS, "max_jobs_per_timespan": f"{JOBS}/1s", "listing_array_limit": 25}


@pytest.fixture(scope="module")
def snakemake(forks, tmp_path_factory):
    """Runs with options, of which a value of None leaves one out."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "arrays.yaml").write_text(yaml.safe_dump(SUITE))
    snakemake = Snakemake(forks, ROOT, folder, config=[f"suite={folder}/arrays.yaml"])

    def run(**options):
        said = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
        return snakemake("scores", "--executor", "listing", *said)

    return run


def asked(done) -> dict[str, list[tuple[int, ...]]]:
    """Rule -> MB, minutes and GPUs that its jobs are sent with."""
    assert "listed" in done.stdout + done.stderr, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("[[")]
    rules: dict[str, list[tuple[int, ...]]] = {}
    for rule, *needs in json.loads(line):
        rules.setdefault(rule, []).append(tuple(needs))
    return rules


def test_all_jobs_of_an_array_ask_for_the_most_of_any(snakemake):
    alone, arrays = asked(snakemake(jobs=1)), asked(snakemake(listing_array_jobs="generate", **ROOM))
    assert sum(map(len, alone.values())) == JOBS
    assert len(set(alone["generate"])) > 2 and len(set(alone["encode"])) == 2
    assert set(arrays["generate"]) == {tuple(map(max, zip(*alone["generate"], strict=True)))}
    assert sorted(arrays["encode"]) == sorted(alone["encode"])
    assert all(len(set(needs)) == 1 for needs in asked(snakemake(listing_array_jobs="all", **ROOM)).values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobs": JOBS - 1},
        {"max_jobs_per_timespan": f"{JOBS - 1}/1s"},
        {"listing_array_limit": 26},
        {"resources": "gpu=2"},
    ],
)
def test_arrays_that_would_not_end_are_refused(wrong, snakemake):
    """Without room for all jobs, or with more of them in an array than a line of a shell holds."""
    done = snakemake(listing_array_jobs="generate,score", **ROOM | wrong)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said and "listed" not in said
    assert f"--jobs {JOBS} --max-jobs-per-timespan {JOBS}/1s --slurm-array-limit 25, and no --resources" in said


def test_without_arrays_jobs_wait_for_room(snakemake):
    assert asked(snakemake(jobs=1, resources="gpu=2"))
