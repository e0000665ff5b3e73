"""A base model from outside the repository: the page that tells how to add one is installed, listed and run."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from eval import video
from miga import models
from miga.commands.generate import generate
from miga.commands.models import models as list_models
from miga.models import registry

PAGE = Path(__file__).parents[1] / "docs" / "add-a-base-model.md"


def block(language: str) -> str:
    """The page's first block of code in that language."""
    return re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The page's package as pip leaves it: a module and a distribution's metadata on the path."""
    (points,) = tomllib.loads(block("toml"))["project"]["entry-points"].items()
    metadata = tmp_path / "quiet-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: quiet\nVersion: 1\n")
    lines = [f"[{points[0]}]", *(f"{name} = {value}" for name, value in points[1].items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "quiet.py").write_text(block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    registry.BASES.refresh()
    yield
    registry.BASES.refresh()
    sys.modules.pop("quiet", None)


def test_the_example_is_short_and_unknown_until_installed():
    assert len(block("python").splitlines()) < 40
    with pytest.raises(ValueError, match="unknown base model 'quiet'"):
        models.load("quiet")


def test_once_installed_it_is_listed_and_makes_videos(installed, tmp_path, capsys):
    list_models()
    assert "Quiet" not in (shown := capsys.readouterr().out) and "quiet" in shown
    model = models.load("quiet")
    assert (type(model).__name__, model.stands_for, model.guidance_scale) == ("Quiet", "quiet", 2.0)
    common = dict(method="direct", frames=5, model_param=[["num_levels=2"]])
    for name in ("quiet", "sprites-wan"):
        generate("a red circle moves left", model=name, out=tmp_path / f"{name}.mp4", **common)
    assert video.frames_digest(tmp_path / "quiet.mp4") != video.frames_digest(tmp_path / "sprites-wan.mp4")
