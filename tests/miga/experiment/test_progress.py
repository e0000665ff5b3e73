"""How far a run is: counted from what is there, and told by the plan."""

import os
import time

import pytest

from eval.files import write_json
from miga.experiment.progress import Part, Progress, begin, clock, missing, progress

HOUR = 3600


def part(count, seconds=None, frames=48):
    """Videos of one entry; `seconds` is what one takes."""
    passes = (100.0, 100.0)
    videos = [f"base/entry/{prompt}/seed-0.json" for prompt in range(count)]
    return Part(frames=frames, passes=passes, pace=seconds and seconds / 100, videos=videos)


def make(folder, videos, moment=None):
    for video in videos:
        write_json(folder / video, {})
        if moment:
            os.utime(folder / video, (moment, moment))


def test_the_first_line_says_how_much_how_long_and_what_is_less(tmp_path):
    run = begin("paper", tmp_path, [part(10, seconds=HOUR)], asked=12, devices=2, smaller="paper-lite")
    assert run.sentence() == (
        "paper: 10 videos to make of 12, 10.0 hours of one device, 2 at work: "
        f"ends about {clock(run.began + 5 * HOUR)} (less: --config suite=paper-lite)"
    )


def test_searches_that_may_come_make_a_span(tmp_path):
    searching = part(1, seconds=HOUR).model_copy(update={"passes": (100, 300)})
    assert "1.0 to 3.0 hours" in begin("mine", tmp_path, [searching], asked=1, devices=1).sentence()


def test_without_a_pace_no_time_is_promised(tmp_path):
    run = begin("mine", tmp_path, [part(10), part(5, seconds=1)], asked=15, devices=1)
    assert "15 videos to make of 15; how long that takes shows" in run.sentence()
    assert Progress(run, tmp_path).pace(run.began + 10) == "0.0 frames/s"


def test_nothing_to_make_is_said(tmp_path):
    assert "all 12 videos are there" in begin("mine", tmp_path, [], asked=12, devices=1).sentence()


def test_videos_count_once_they_are_new(tmp_path):
    wanted = part(4)
    make(tmp_path, wanted.videos[:1], moment=time.time() - HOUR)  # made by earlier code
    run = begin("mine", tmp_path, [wanted], asked=10, devices=1)
    seen = Progress(run, tmp_path)
    assert seen.look() == 6
    make(tmp_path, wanted.videos[:2], moment=run.began + 10)
    assert seen.look() == 8
    assert seen.pace(run.began + 60) == f"1.6 frames/s, videos end about {clock(run.began + 120)}"
    make(tmp_path, wanted.videos, moment=run.began + 10)
    assert seen.look() == 10 and seen.pace(run.began + 60) == "all there"


def test_what_was_made_otherwise_is_missing(tmp_path):
    videos = [("a", "a dog", 0), ("b", "a cat", 0), ("c", "a cow", 0)]
    for prompt, code in (("a", "new"), ("b", "old")):
        write_json(tmp_path / f"base/entry/{prompt}/seed-0.json", dict(code=code, frames_asked=48))
    found = missing(tmp_path, "base", "entry", videos, code="new", frames_asked=48)
    assert found == ["base/entry/b/seed-0.json", "base/entry/c/seed-0.json"]


def test_another_terminal_is_told(tmp_path, capsys):
    wanted = part(4, seconds=60)
    run = begin("mine", tmp_path, [wanted], asked=4, devices=1)
    make(tmp_path, wanted.videos[:1], moment=run.began + 1)
    progress(tmp_path)
    assert capsys.readouterr().out.startswith("mine: 1 of 4 videos; ")
    with pytest.raises(ValueError, match=r"no run has begun there"):
        progress(tmp_path / "other")
