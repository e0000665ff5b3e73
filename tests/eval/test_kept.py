"""Scores are kept video by video: what is killed loses the one that it was at."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch

from eval import kept, scores, video
from eval.benchmark import Prompt
from eval.vbench.benchmark import VBench, VBenchSettings
from tests.eval.conftest import moving_square, write_video

IDS = ("one", "two", "three")
PROMPTS = {id: Prompt(id=id, prompt="a square moves") for id in IDS}
SETTINGS = VBenchSettings(prompts="-", backbones="sprites", metrics=["temporal_flickering", "motion"])


class Mortal(VBench):
    """Kills its process with -9 when it comes to the video of a prompt."""

    def __init__(self, dies_at: str | None = None) -> None:
        self.dies_at, self.seen = dies_at, []

    def rows(self, path, *rest):
        if path.parent.name == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(path.parent.name)
        return super().rows(path, *rest)


@pytest.fixture
def videos(tmp_path):
    found = []
    for number, id in enumerate(IDS, 1):
        found.append(write_video(tmp_path / f"base/entry/{id}/seed-1.mp4", moving_square(20 * number, number)))
        said = dict(suite="s", base="base", entry="entry", method="m", prompt_id=id, seed=1)
        found[-1].with_suffix(".json").write_text(json.dumps(said))
    return found


def score(benchmark: VBench, videos: list[Path], cache: Path) -> pd.DataFrame:
    return kept.score(benchmark, videos, PROMPTS, SETTINGS, cache / "said", cache, "code")


def test_a_killed_job_loses_one_video(videos, tmp_path):
    cache = tmp_path / "cache"
    child = os.fork()
    if not child:
        score(Mortal("three"), videos, cache)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert sorted(path.parent.name for path in cache.rglob("*.parquet")) == ["one", "two"]
    resumed = Mortal()
    found = score(resumed, videos, cache)
    assert resumed.seen == ["three"]
    whole, out = VBench().score(videos, PROMPTS, SETTINGS, tmp_path, tmp_path), [tmp_path / "one", tmp_path / "other"]
    for table, path in zip((found, whole), out, strict=True):
        scores.write(table, path)
    assert out[0].read_bytes() == out[1].read_bytes()


def test_videos_decoded_ahead_have_the_frames_that_they_have(videos):
    videos[1].write_bytes(videos[1].read_bytes()[:900])  # a broken one in between
    seen = {}
    for path, frames in video.ahead(videos, 7):
        try:
            seen[path] = torch.cat(list(frames))
        except video.VideoError as error:
            seen[path] = str(error)
    alone = {path: torch.cat(list(video.chunks(path))) for path in (videos[0], videos[2])}
    assert torch.equal(seen[videos[0]], alone[videos[0]]) and torch.equal(seen[videos[2]], alone[videos[2]])
    with pytest.raises(video.VideoError) as error:
        list(video.chunks(videos[1]))
    assert seen[videos[1]] == str(error.value)


def test_what_is_not_taken_of_a_video_is_passed_over(videos):
    first = [(path, next(frames)) for path, frames in video.ahead(videos, 4)]
    for path, chunk in first:
        assert torch.equal(chunk, next(video.chunks(path, 4)))
