"""A method from outside the repository: the page that tells how to add one is installed, run, scored and ranked."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

from eval import leaderboard
from eval.parsing import parse
from eval.records import collect
from eval.vbench.matching import middle
from eval.vbench.score import Backbones, score_videos
from miga.engine.method import METHODS
from miga.experiment import run
from miga.experiment.job import Job, configure
from miga.experiment.suite import MethodFile
from tests.eval.conftest import MAIN
from tests.toy import ToyModel

PAGE = Path(__file__).parents[1] / "docs" / "add-a-method.md"


def block(language: str) -> str:
    """The page's first block of code in that language."""
    return re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


def forget() -> None:
    METHODS.refresh()
    sys.modules.pop("mirror", None)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The page's package as pip leaves it: a module and a distribution's metadata on the path."""
    groups = tomllib.loads(block("toml"))["project"]["entry-points"]
    lines = [
        line for group, points in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))
    ]
    metadata = tmp_path / "mirror-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mirror\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "mirror.py").write_text(block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield METHODS.get("mirror")
    forget()


def test_the_template_is_short_and_unknown_until_installed():
    assert len(block("python").splitlines()) < 30
    forget()
    assert "mirror" not in METHODS.names()
    with pytest.raises(ValueError, match="unknown method 'mirror'"):
        METHODS.get("mirror")


def test_once_installed_it_has_a_name_and_checked_parameters(installed):
    assert "mirror" in METHODS.names()
    written = parse(MethodFile, yaml.safe_load(block("yaml")), str(PAGE))
    for entry in (written.entries | written.variants).values():
        assert configure(entry.method, entry.params)[0] is installed
    with pytest.raises(ValueError, match="periods"):
        configure("mirror", {"periods": 3})


def test_it_reaches_the_leaderboard(installed, tmp_path):
    model, videos = ToyModel(), []
    for text in model.encode(["a red circle", "a blue square"]):
        for entry in ("mirror", "direct"):
            where = tmp_path / "toy" / entry / text.prompt.replace(" ", "-") / "seed-1.mp4"
            where.parent.mkdir(parents=True)
            job = Job(
                suite="toy", base="toy", entry=entry, method=entry, prompt_id=where.parent.name, prompt=text.prompt,
                seed=1, frames=18, video=where,
            )  # fmt: skip
            run.generate(job, model, [text])
            videos.append(where)

    def features(frames):
        return torch.nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 2).flatten(1)

    scores = score_videos(videos, Backbones("toy", "1", features, features, middle))
    facts = collect((video.with_suffix(".json") for video in videos), {"mirror": METHODS.get("mirror").card.label})
    board = leaderboard.build(scores, facts, "2026-01-31", MAIN, resamples=100)
    rows = board[board["entry"] == "mirror"]
    assert len(rows) == len(board) / 2 and set(rows["label"]) == {"Mirrored noise"}
    assert rows["value"].notna().all() and (rows["total"] == 2).all()
