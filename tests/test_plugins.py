"""Benchmarks, metrics and judges from outside the repository: what the pages show is installed and seen in a table."""

from __future__ import annotations

import importlib
import io
import re
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest
import yaml

from eval import leaderboard, tables
from eval.benchmark import BENCHMARKS, Prompt, Sheet
from eval.metric import METRICS
from eval.narrlv import JUDGES
from eval.records import collect
from miga.experiment.check import check
from miga.experiment.experiment import load_experiment
from tests.eval.conftest import made_up_scores, made_up_sidecars, moving_square, write_video

ROOT = Path(__file__).parents[1]
BASE = """
title: T
bases: {sprites-unet: {model: sprites-unet}}
files: [controls, miga]
seeds: [1]
frames: 8
"""


def block(page: str, language: str) -> str:
    """The page's first block of code in that language."""
    return re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)[1]


def forget(name: str) -> None:
    for registry in (BENCHMARKS, METRICS, JUDGES):
        registry.refresh()
    sys.modules.pop(name, None)
    importlib.invalidate_caches()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Leaves the package of a page as pip does: a module and a distribution's metadata on the path."""
    installed = []

    def put(page: str) -> None:
        project = tomllib.loads(block(page, "toml"))["project"]
        name = project["name"]
        folder = tmp_path / "site"
        metadata = folder / f"{name}-1.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        groups = project["entry-points"].items()
        lines = [
            line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
        ]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        (folder / f"{name}.py").write_text(block(page, "python"))
        monkeypatch.syspath_prepend(folder)
        installed.append(name)
        forget(name)

    yield put
    monkeypatch.undo()
    for name in installed:
        forget(name)


@pytest.fixture
def videos(tmp_path):
    """Small videos of two entries with their sidecars, laid out as the workflow does."""
    table = made_up_scores(2, 1)
    paths = made_up_sidecars(tmp_path, table[table["entry"].isin(["miga", "static"])], videos=True)
    return [path.with_suffix(".mp4") for path in paths]


def suite(tmp_path, page: str):
    """The experiment of the page's suite."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(BASE) | yaml.safe_load(block(page, "yaml"))))
    experiment = load_experiment(str(path), ROOT)
    check(experiment)
    return experiment


def shown(experiment, videos, folder, prompts):
    """The text of the benchmark's tables, and its leaderboard, written and read again."""
    name = experiment.main
    benchmark, settings = BENCHMARKS.get(name), experiment.suite.benchmarks[name]
    scores = benchmark.score(videos, prompts, settings, folder / "answers", folder / "cache")
    facts = collect(video.with_suffix(".json") for video in videos)
    made = [make(scores, facts, Sheet("T", resamples=100)) for make in benchmark.tables(settings).values()]
    for one in made:
        tables.write(one, folder)
    board = leaderboard.build(
        benchmark.own(scores, settings), facts, "2026-01-31", benchmark.board(settings), resamples=100
    )
    return scores, board, "".join((folder / f"{one.name}.md").read_text() for one in made)


def prompts_of(videos):
    return {video.parent.name: Prompt(id=video.parent.name, prompt="a red circle moves left") for video in videos}


@pytest.mark.parametrize("page", ["add-a-benchmark.md", "add-a-metric.md", "add-a-judge.md"])
def test_the_templates_are_short(page):
    assert len(block(page, "python").splitlines()) < 40


def test_a_metric_gets_a_column(install, videos, tmp_path):
    with pytest.raises(ValueError, match="unknown metric in the benchmark 'sprites': 'brightness'"):
        suite(tmp_path, "add-a-metric.md")
    install("add-a-metric.md")
    scores, board, table = shown(suite(tmp_path, "add-a-metric.md"), videos, tmp_path, prompts_of(videos))
    grey = scores[scores["metric"] == "brightness"]
    assert len(grey) == len(videos) and grey["value"].between(50, 120).all() and set(grey["version"]) == {"1+pixels"}
    assert "Brightness" in table and "brightness" in set(board["metric"])


def test_a_benchmark_has_its_table_and_board(install, videos, tmp_path):
    with pytest.raises(ValueError, match="unknown benchmark 'flashes'"):
        suite(tmp_path, "add-a-benchmark.md")
    install("add-a-benchmark.md")
    videos.append(videos[0].with_name("seed-9.mp4"))  # a video that goes dark and bright in turn
    flashing = moving_square(48, 0, 64, 64)
    flashing[::2] = 0
    write_video(videos[-1], flashing, pix_fmt="yuv420p")
    beside = videos[0].with_suffix(".json").read_text()
    videos[-1].with_suffix(".json").write_text(beside.replace('"seed": 0', '"seed": 9'))
    scores, board, table = shown(suite(tmp_path, "add-a-benchmark.md"), videos, tmp_path, prompts_of(videos))
    assert scores.set_index("seed").loc[9, "value"] > 0.45 and (scores.loc[scores["seed"] == 0, "value"] == 0).all()
    assert "Flashes" in table and set(board["metric"]) == {"flash_share"} and set(board["protocol"]) == {"flashes/30"}


def test_a_judge_is_asked_and_named(install, videos, tmp_path):
    with pytest.raises(ValueError, match="unknown judge in the benchmark 'sprites-narrlv': 'coin'"):
        suite(tmp_path, "add-a-judge.md")
    install("add-a-judge.md")
    experiment = suite(tmp_path, "add-a-judge.md")
    told, moved = experiment.prompts["sprites-narrlv"], []
    for video in videos:  # videos of the prompts that the suite has
        prompt = told[int(video.parent.name[1:])]
        where = video.parent.with_name(prompt.id) / video.name
        where.parent.mkdir(exist_ok=True)
        video.rename(where)
        text = video.with_suffix(".json").read_text()
        where.with_suffix(".json").write_text(text.replace(f'"{video.parent.name}"', f'"{prompt.id}"'))
        moved.append(where)
    scores, board, table = shown(experiment, moved, tmp_path, {prompt.id: prompt for prompt in told})
    assert scores["value"].notna().all() and scores["protocol"].str.contains("coin").all()
    assert "T-NarrLV" in table and "mean3" in set(board["metric"])


SPECIAL = re.compile(r"vbench|narrlv|sprites|(==|in|startswith\s*\()\s*[\"']paper[\"']", re.IGNORECASE)
GENERAL = (
    *(path for path in (ROOT / "workflow").rglob("*") if path.suffix in (".smk", ".py")),
    ROOT / "Snakefile",
    *(ROOT / "eval").glob("*.py"),
    *(ROOT / "eval/report").glob("*.py"),
    *(ROOT / "miga/experiment").glob("*.py"),
)
DEFAULTS = {"experiment.py", "suite.py"}  # of `suite: auto`, which takes one of two shipped suites


def code_of(path: Path) -> str:
    """The source without comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    kept = [t for t in tokens if t.type != tokenize.COMMENT and not t.string.startswith('"""')]
    return " ".join(token.string for token in kept)


@pytest.mark.parametrize("path", GENERAL, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_general_module_knows_a_special_thing_by_name(path):
    found = [match[0] for match in SPECIAL.finditer(code_of(path))]
    assert found == (["sprites"] if path.name in DEFAULTS else [])


def test_a_special_name_is_seen(tmp_path):
    path = tmp_path / "rule.smk"
    path.write_text('"""For VBench."""\nif name.startswith("paper") or kind == "narrlv":  # sprites\n    pass\n')
    assert len(SPECIAL.findall(code_of(path))) == 2
