"""The DAG of every shipped suite, its named targets, and what it says when the config is wrong."""

import itertools
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from miga.experiment.check import check
from miga.experiment.experiment import load_experiment
from tests.workflow.forked import Snakemake

ROOT = Path(__file__).parents[2]
SUITES = sorted(path.stem for path in (ROOT / "config/suites").glob("*.yaml"))


@pytest.fixture(scope="module")
def snakemake(forks, tmp_path_factory):
    """Runs in the repository, with results elsewhere. Nothing is made there, so that runs do not see each other."""
    return Snakemake(forks, ROOT, tmp_path_factory.mktemp("run"))


def jobs(done):
    """Rule -> number of jobs of a dry run."""
    assert done.returncode == 0, done.stdout + done.stderr
    stats = done.stdout.split("Job stats:")[1].split("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\S+) +(\d+)$", stats, re.M) if name != "total"}


def shards(entry, limit=None, size=None):
    """Generation jobs that an entry of the suite `sprites` needs: its videos in shards, base model by base model."""
    experiment = load_experiment("sprites", ROOT, limit)
    return len(experiment.bases_of(entry)) * len(experiment.shards_of(entry, size))


@pytest.mark.parametrize("suite", SUITES)
def test_every_shipped_suite_has_a_dag(suite, snakemake):
    found = jobs(snakemake("-n", config=[f"suite={suite}", "shard=2", "limit=2"]))  # no passes to count
    assert {"prompts", "encode", "generate", "score", "scores", "tables", "plots", "leaderboard", "publish"} <= set(
        found
    )
    assert (
        found["score"] >= found["generate"] >= len(load_experiment(suite, ROOT).entries)
    )  # each shard by each benchmark


def test_fetch_is_a_target_that_says_what_it_gets(snakemake):
    done = snakemake("fetch", config=["suite=sprites"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sprites-unet comes with this package" in done.stderr
    assert set(jobs(snakemake("-n", "fetch", config=["suite=paper", "shard=2"]))) == {"fetch"}


def test_memory_and_time_are_measured_once_per_length(snakemake):
    experiment = load_experiment("sprites", ROOT)
    found = jobs(snakemake("-n", config=["suite=sprites"]))
    wanted = experiment.suite.lengths
    assert found["length"] == len(wanted.frames) * len(wanted.entries) * len(experiment.suite.bases)
    assert found["lengths"] == 1


def test_measuring_takes_every_core_so_that_nothing_runs_beside(snakemake):
    job = f"{snakemake.folder}/results/sprites/sprites-unet/miga/length-24.json"
    done = snakemake("-n", job, config=["suite=sprites"])
    assert jobs(done) == {"length": 1} and "threads: 2" in done.stdout


def test_shards_are_of_the_size_asked(snakemake):
    limit = ["suite=sprites", "limit=2"]
    whole = jobs(snakemake("-n", "miga", config=limit))
    split = jobs(snakemake("-n", "miga", config=[*limit, "shard=1"]))
    assert whole["generate"] == shards("miga", limit=2)
    assert split["generate"] == shards("miga", limit=2, size=1) > whole["generate"]
    assert split["score"] - whole["score"] == split["generate"] - whole["generate"]  # a job each


@pytest.mark.parametrize("entry", ["miga", "fifo_diffusion", "static"])
def test_an_entry_is_a_target_that_makes_nothing_else(entry, snakemake):
    found = jobs(snakemake("-n", entry, config=["suite=sprites"]))
    assert set(found) == {"encode", "generate", "score", entry}
    assert found["generate"] == shards(entry)


def test_ablations_are_targets(snakemake):
    targets = {f"ablation_{ablation.of}" for ablation in load_experiment("sprites", ROOT).ablations.values()}
    found = jobs(snakemake("-n", *sorted(targets), config=["suite=sprites"]))
    assert set(found) == {"encode", "generate", "score", "ablation", *targets}
    assert found["ablation"] == len(load_experiment("sprites", ROOT).ablations)  # a table and a plot each


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (["sute=sprites"], "config: unknown key 'sute'; did you mean 'suite'?"),
        (["suite=sprits"], "unknown suite 'sprits': did you mean 'sprites'?"),
        (["suite=sprites", "limit=0"], "config: limit: input should be greater than or equal to 1"),
        (["suite=1e3"], "config: suite: input should be a valid string (given: 1000.0); typed was suite=1e3"),
    ],
)
def test_a_wrong_config_is_one_sentence(config, sentence, snakemake):
    done = snakemake("-n", config=config)
    assert done.returncode == 1
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("method: mige", "unknown method 'mige': did you mean 'miga'?"),
        ("method: miga\n    params: {l_zag: 3}", "method 'miga': unknown key 'l_zag'; did you mean 'l_zig'?"),
    ],
)
def test_an_unknown_method_or_parameter_is_found_before_the_dag(text, sentence, tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config/methods/mine.yaml").write_text(f"entries:\n  mine:\n    {text}\n")
    suite = tmp_path / "config/suites/sprites.yaml"
    suite.write_text(re.sub(r"^files: \[", "files: [mine, ", suite.read_text(), flags=re.M))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check(load_experiment("sprites", tmp_path))


def test_an_unknown_metric_is_found_before_the_dag(tmp_path):
    suite = yaml.safe_load((ROOT / "config/suites/sprites.yaml").read_text())
    suite["benchmarks"]["sprites"]["metrics"] = ["subject_consistensy"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(suite))
    with pytest.raises(
        ValueError, match=r"unknown metric .* 'subject_consistensy': did you mean 'subject_consistency'"
    ):
        check(load_experiment(str(path), ROOT))


def test_snakemakes_own_report_is_built_with_captions(tmp_path, snakemake):
    suite = load_experiment("sprites", ROOT).suite
    made = {
        "tables": (("ablation", *suite.tables()), ("csv", "md", "tex", "json")),
        "plots": (("ablation", "lengths", "faults", *suite.figures()), ("svg", "png")),
        "leaderboard": (("vbench", "narrlv"), ("csv",)),
    }
    for folder, (names, kinds) in made.items():
        (tmp_path / "results/sprites" / folder).mkdir(parents=True)
        for name, kind in itertools.product(names, kinds):
            (tmp_path / f"results/sprites/{folder}/{name}.{kind}").write_text("a,b\n1,2\n")
    done = snakemake("--report", str(tmp_path / "report.zip"), config=["suite=sprites", f"results={tmp_path}/results"])
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        page = report.read("report/report.html").decode()
    for caption in (ROOT / "workflow/report").glob("*.rst"):
        words = caption.read_text().splitlines()[0].split("{{")[0] or "bootstrap interval over prompts"
        assert words.strip() in page, caption


def test_lint(snakemake):
    done = snakemake("--lint", config=["suite=sprites"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_snakefile_is_short():
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 60
