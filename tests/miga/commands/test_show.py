"""`miga show`: a page with what is known of a video, and a sentence for what is not."""

import json

import pytest

from eval.video import frames_digest
from miga import commands as cli
from miga import generate
from tests.eval.conftest import moving_square, write_video
from tests.toy import ToyModel


@pytest.fixture
def reflected(tmp_path):
    """A video of MIGA on a model that nobody has registered."""
    path = tmp_path / "a b.mp4"
    for _ in generate(ToyModel(12), "a <red> circle", frames=8, save=path):
        pass
    return path


def test_a_page_of_a_video(reflected, capsys):
    assert cli.main(["show", str(reflected)]) == 0
    page = reflected.with_suffix(".html").read_text()
    assert 'src="a%20b.mp4"' in page and "a &lt;red&gt; circle" in page
    for title in ("Frames", "Noise levels that each window saw", "Self-reflection"):
        assert page.count(f"<h2>{title}</h2>") == 1
    assert "Drift is not shown: unknown base model &#39;toy&#39;" in page
    assert cli.main(["show", str(reflected)]) == 0  # its own page may be written again


def test_drift_is_seen_through_the_networks_of_the_model(tmp_path):
    video = write_video(tmp_path / "a.mp4", moving_square(12, 1, 64, 64), fps=8)
    said = dict(suite="s", base="mine", entry="e", method="m", prompt_id="p", seed=0, prompt="-", frames=12, fps=8)
    said |= dict(model="sprites-unet", options={"window": 4}, frames_sha256=frames_digest(video))
    video.with_suffix(".json").write_text(json.dumps(said))
    assert cli.main(["show", str(video), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "<h2>Similarity to the first window</h2>" in page and "Drift is not shown" not in page


def test_what_cannot_be_shown_is_one_sentence(reflected, tmp_path, capsys):
    lonely = write_video(tmp_path / "b.mp4", moving_square(4, 1, 32, 48), fps=8)
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    for words, sentence in (
        ([lonely], "no sidecar b.json"),
        ([tmp_path / "none.mp4"], "no sidecar none.json"),
        ([reflected, "--out", mine], "mine.html is there already and is not a page of `miga show`"),
        ([reflected, "--out", tmp_path / "x.png"], "the page is an .html file"),
    ):
        assert cli.main(["show", *map(str, words)]) == 2
        assert sentence in capsys.readouterr().err
    lonely.replace(reflected)
    assert cli.main(["show", str(reflected)]) == 2
    assert "its frames are not those that a b.json is about" in capsys.readouterr().err
    assert mine.read_text() == "mine"
