"""`from miga import load, generate`: the examples of the page run, and give what the command line gives."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import miga
from eval.video import chunks, frames_digest
from miga import commands as cli
from miga import generate, models
from tests.miga.tiny_models import tiny_unet
from tests.test_docs import blocks
from tests.toy import ToyModel

PROMPT = "a red circle moves right"


@pytest.fixture
def model():
    return ToyModel(12)


def taken(video):
    return np.concatenate(list(video))


@pytest.mark.filterwarnings("ignore:.* is cut")  # the tiny text tower reads 16 letters
def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    """On a tiny model, a few frames each."""
    tiny = models.load(tiny_unet(tmp_path / "tiny", num_levels=8, guidance_scale=1.0))
    monkeypatch.setattr(models, "load", lambda name, **options: tiny)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks("python.md", "python"):
        block = re.sub(r"frames=\d\d|>= \d\d", lambda asked: asked[0][:-2] + "6", block)
        exec(compile(block, "python.md", "exec"), names)
    assert sum(map(len, chunks("blue.mp4"))) == 6 <= names["shown"] == sum(map(len, chunks("green.mp4")))
    assert len(np.concatenate(names["frames"])) == 6
    assert "6 of 6" in capsys.readouterr().out


def test_python_and_the_command_line_give_the_same_video(model, tmp_path, monkeypatch):
    frames = taken(generate(model, PROMPT, frames=6, seed=3, params={"delta": 0.5}))
    assert frames.dtype == np.uint8 and frames.shape == (6, 16, 32, 3)
    np.testing.assert_array_equal(
        frames, taken(generate(model, PROMPT, frames=6, seed=3, params={"delta": 0.5}, save=tmp_path / "a.mp4"))
    )
    monkeypatch.setattr(models, "load", lambda name: ToyModel(12))
    asked = f"--model toy --frames 6 --seed 3 --param delta=0.5 --out {tmp_path / 'b.mp4'}"
    assert cli.main(["generate", *asked.split(), "--prompt", PROMPT]) == 0
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert frames_digest(tmp_path / "a.mp4") == one["frames_sha256"]
    own = {"prompt_id", "wall_seconds", "peak_memory_mb"}
    assert {key for key in one if one[key] != other[key]} <= own


def test_what_is_left_early_is_dropped_and_what_has_no_end_is_kept(model, tmp_path):
    for frames, kept in ((12, []), (None, ["x.json", "x.mp4"])):
        video = generate(model, PROMPT, method="fifo_diffusion", frames=frames, save=tmp_path / "x.mp4")
        count = len(next(video)) + len(next(video))
        video.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == kept
    assert json.loads((tmp_path / "x.json").read_text())["frames"] == count == sum(map(len, chunks(tmp_path / "x.mp4")))


def test_what_the_caller_does_meanwhile_is_no_cost_of_the_video(model, tmp_path):
    first = generate(model, PROMPT, frames=8, save=tmp_path / "a.mp4")
    alone = taken(generate(model, PROMPT, frames=8, save=tmp_path / "b.mp4"))
    next(first)
    taken(generate(model, PROMPT, frames=8))
    list(first)
    calls = [json.loads((tmp_path / f"{name}.json").read_text())["model_calls"] for name in "ab"]
    assert calls[0] == calls[1] > 0 and len(alone) == 8


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (dict(prompt=[]), "the prompt is empty"),
        (dict(frames=0), "frames 0: give a positive number, or None for a video without end"),
        (dict(seed=-1), "seed -1: give a number from 0"),
        (dict(method="mige"), "did you mean 'miga'"),
        (dict(prompt=["a", "b"]), "miga takes one prompt, not 2"),
        (dict(params={"detla": 1}), "did you mean 'delta'"),
        (dict(start="nowhere.png"), "nowhere.png: no such file"),
        (dict(save="x.gif"), "x.gif: the output must be an .mp4 file"),
        (dict(save="taken.mp4"), "taken.mp4 is there already"),
        (dict(checkpoint_every=4), "for a video that is saved"),
        (dict(method="direct", frames=None), "direct makes videos of a given length only"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_any_work(model, tmp_path, monkeypatch, asked, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.mp4").write_text("somebody's")
    with pytest.raises(ValueError, match=sentence):
        generate(model, **{"prompt": PROMPT, **asked})
    assert model.calls == 0 and [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]


def test_importing_it_is_light_and_complete():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, miga; print(miga.__version__, 'torch' in sys.modules)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [miga.__version__, "False"]
    assert all(callable(getattr(miga, name)) for name in miga.EXPORTS)
    with pytest.raises(ImportError, match="laod"):
        exec("from miga import laod")
