"""From videos to votes, rows and Table 2: resuming, caching, dead judges, broken videos."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from eval import leaderboard, records
from eval import scores as long_table
from eval.narrlv.answers import Answered, Cache, Settings, Video, answer, column, sample_frames, write_answers
from eval.narrlv.benchmark import JudgeSettings
from eval.narrlv.cards import MEAN3, NARRLV
from eval.narrlv.judges import JudgeError, Sampling, Server, build
from eval.narrlv.metric import SCORES, read_answers, score_folder
from eval.narrlv.score import score_videos
from eval.narrlv.suite import Item, write_suite
from eval.narrlv.table import table2
from eval.parsing import parse
from eval.tables import to_frame, to_markdown, write
from eval.video import VideoError
from miga.commands import main
from tests.eval.conftest import moving_square, write_video
from tests.eval.narrlv_server import Play, breaks, raw, says

ACTION = "Main Target Action Evolution"


def item(tna: int = 2, scene: str = "1", factor: str = "target_action") -> Item:
    questions = {
        "Scene Type": ("Is it blue?",),
        "Main Target Category": (),
        f"{ACTION}_0": tuple(f"Step {k}?" for k in range(tna)),
        f"{ACTION}_1": tuple(f"Step {k} to {k + 1}?" for k in range(tna - 1)),
    }
    return Item(
        f"s_{factor}_tna_{tna}",
        factor,
        tna,
        scene,
        0,
        "a square moves",
        (),
        {k: v for k, v in questions.items() if v or tna < 9},
    )


class Scripted:
    """A judge whose votes are a function of what it sees and is asked; remembers what it was asked."""

    protocol = {"judge": "scripted"}
    concurrency = 4

    def __init__(self, rule=lambda frames, question, seed: "yes") -> None:
        self.rule, self.asked, self.lock = rule, [], threading.Lock()

    def ask(self, frames, question, votes, seed):
        with self.lock:
            self.asked.append((len(frames), question, votes, seed))
        return [self.rule(frames, question, seed + i) for i in range(votes)]


@pytest.fixture
def video(tmp_path) -> Video:
    return Video("1_0_video", write_video(tmp_path / "a.mp4", moving_square(20)), item())


@pytest.mark.parametrize("frames", [1, 3, 10, 37])
def test_frames_are_at_equal_distances(tmp_path, frames):
    clip = np.stack([np.full((16, 16, 3), 6 * t, np.uint8) for t in range(frames)])
    path = write_video(tmp_path / "a.mp4", clip)
    levels = sample_frames(path, 10)[:, 8, 8, 1] / 6
    assert np.abs(levels - np.linspace(0, frames - 1, 10).astype(int)).max() < 0.5


def test_frames_without_a_count_in_the_header(tmp_path):
    clip = np.stack([np.full((16, 16, 3), 6 * t, np.uint8) for t in range(25)])
    path = write_video(tmp_path / "a.mkv", clip)
    assert np.abs(sample_frames(path, 10)[:, 8, 8, 1] / 6 - np.linspace(0, 24, 10).astype(int)).max() < 0.5


def test_first_frame_questions_get_one_frame_and_the_rest_ten(tmp_path, video):
    judge = Scripted()
    [answered] = answer([video], judge, Cache(tmp_path / "c"))
    assert sorted(judge.asked) == [
        (1, "Is it blue?", 5, 0), (10, "Step 0 to 1?", 5, 0), (10, "Step 0?", 5, 0), (10, "Step 1?", 5, 0),
    ]  # fmt: skip
    assert answered.votes == {
        "Scene Type": [["yes"] * 5],
        "Main Target Category": [],
        f"{ACTION}_0": [["yes"] * 5] * 2,
        f"{ACTION}_1": [["yes"] * 5],
    }


def test_a_second_run_asks_nothing_and_more_votes_only_the_rest(tmp_path, video):
    judge, cache = Scripted(lambda frames, question, seed: f"yes {seed}"), Cache(tmp_path / "c")
    first = list(answer([video], judge, cache))
    asked = len(judge.asked)
    assert list(answer([video], judge, cache)) == first and len(judge.asked) == asked
    [more] = answer([video], judge, cache, Settings(votes=7))
    assert {(votes, seed) for *_, votes, seed in judge.asked[asked:]} == {(2, 5)}
    assert more.votes["Scene Type"] == [[f"yes {i}" for i in range(7)]]
    [fewer] = answer([video], judge, cache, Settings(votes=1))
    assert fewer.votes["Scene Type"] == [["yes 0"]] and len(judge.asked) == 2 * asked


def test_the_cache_is_of_content(tmp_path, video):
    judge, cache = Scripted(), Cache(tmp_path / "c")
    list(answer([video], judge, cache))
    asked = len(judge.asked)
    copy = Video("2_0_video", write_video(tmp_path / "b.mp4", moving_square(20)), item())
    list(answer([copy], judge, cache))
    assert len(judge.asked) == asked  # the same frames under another name
    other = Video("2_0_video", write_video(tmp_path / "c.mp4", moving_square(20, step=1)), item())
    list(answer([other], judge, cache))
    assert len(judge.asked) == 2 * asked - 1  # the first frame is the same
    list(answer([video], judge, cache, Settings(seed=1)))
    again = Scripted()
    again.protocol = {"judge": "scripted", "temperature": 1}
    list(answer([video], again, cache))
    assert len(judge.asked) == 3 * asked - 1 and len(again.asked) == asked


def test_a_broken_cache_file_is_asked_again(tmp_path, video):
    judge, cache = Scripted(), Cache(tmp_path / "c")
    list(answer([video], judge, cache))
    asked = len(judge.asked)
    files = sorted((tmp_path / "c").rglob("*.json"))
    for path, body in zip(files, (b"", b"\xff", b'{"votes": [1]}', b"[]"), strict=True):
        path.write_bytes(body)
    [again] = answer([video], judge, cache)
    assert again.failures == [] and len(judge.asked) == 2 * asked


def test_columns_name_the_protocol():
    names = {
        column(Server("http://a/v1", model), settings)
        for model in ("org/A", "org/B")
        for settings in (Settings(), Settings(votes=1), Settings(frames=5))
    }
    assert len(names) == 6 and all(name[:2] in ("A-", "B-") for name in names)
    assert column(Server("http://a/v1", "org/A"), Settings()) == column(Server("http://b/v1", "org/A"), Settings())
    assert column(Server("http://a/v1", "org/A", Sampling(temperature=0)), Settings()) not in names


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, video):
    cache = Cache(tmp_path / "c")
    with Play([says("yes", "no"), raw(b"", 500)]) as play:
        [first] = answer([video], Server(play.url, retries=1, backoff=0.01, concurrency=1), cache)
    assert first.votes["Scene Type"] == [["yes", "no", "yes", "no", "yes"]]
    assert [len(votes) for votes in first.votes[f"{ACTION}_0"]] == [0, 0] and len(first.failures) == 3
    with Play([says("yes")]) as play:
        [second] = answer([video], Server(play.url), cache)
    assert len(play.requests) == 3 and not second.failures
    assert second.votes["Scene Type"] == first.votes["Scene Type"]


def test_many_videos_many_failures_nothing_lost_nothing_invented(tmp_path):
    """Every second request fails in its own way; each question still gets its five votes, in the videos' order."""
    videos = [
        Video(
            f"{i}_0_video", write_video(tmp_path / f"{i}.mp4", moving_square(12, height=32 + 2 * i)), item(scene=str(i))
        )
        for i in range(4)
    ]
    bad = [raw(b"<html>"), raw(b"", 429), breaks, raw(b"\xff\xfe"), raw(b"", 500), raw(b""), raw(b"{}"), raw(b"", 503)]
    script = [behaviour for failure in bad for behaviour in (says("yes", "perhaps"), failure)]
    with Play([*script, says("yes", "perhaps")]) as play:
        judge = Server(play.url, retries=8, backoff=0.001, concurrency=3)
        found = list(answer(videos, judge, Cache(tmp_path / "c")))
    assert [one.video.name for one in found] == [video.name for video in videos]
    for one in found:
        for questions in one.votes.values():
            assert all(votes == ["yes", "perhaps", "yes", "perhaps", "yes"] for votes in questions)
    assert judge.usage.failures == len(bad) and judge.usage.requests == 16 + len(bad)


def test_a_dead_judge_is_not_asked_for_ever(tmp_path, video):
    videos = [video] * 6
    with Play([raw(b"", 500)]) as play:
        judge = Server(play.url, retries=0, concurrency=1)
        found = list(answer(videos, judge, Cache(tmp_path / "c"), give_up=3))
    assert len(play.requests) == 3 and len(found) == 6
    assert all("not asked, since the judge does not answer" in reason for reason in found[-1].failures)
    with Play([raw(b"who are you", 401)]) as play:
        found = list(answer(videos, Server(play.url, concurrency=1), Cache(tmp_path / "c")))
    assert len(play.requests) == 1 and "401" in found[-1].failures[0]


def test_a_judge_may_give_fewer_votes(tmp_path, video):
    class Shy(Scripted):
        def ask(self, frames, question, votes, seed):
            if "to" in question:
                raise JudgeError("no", ["yes"])
            return super().ask(frames, question, votes, seed)[:3]

    [found] = answer([video], Shy(), Cache(tmp_path / "c"))
    assert found.votes["Scene Type"] == [["yes"] * 3] and found.votes[f"{ACTION}_1"] == [["yes"]]
    assert found.failures == ["the judge gave 3 of 5 votes"] * 3 + ["no"]


def test_a_judge_that_is_wrong_itself_is_an_error(tmp_path, video):
    def rule(*_):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(answer([video], Scripted(rule), Cache(tmp_path / "c")))


def test_unreadable_videos_say_why_and_stop_nobody(tmp_path, video):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken = [Video("x", tmp_path / name, item()) for name in ("broken.mp4", "absent.mp4")]
    found = list(answer([broken[0], video, broken[1]], Scripted(), Cache(tmp_path / "c")))
    assert [bool(one.error) for one in found] == [True, False, True] and "no such file" in found[2].error
    with pytest.raises(VideoError):
        sample_frames(tmp_path / "broken.mp4", 10)


def test_answers_are_written_in_the_released_layout(tmp_path, video):
    found = list(answer([video], Scripted(), Cache(tmp_path / "c")))
    write_answers(found, tmp_path)
    path = tmp_path / "answers" / "s_target_action_tna_2.json"
    assert read_answers(path) == {"1_0_video": found[0].votes}
    assert json.loads(path.read_text())["1_0_video"]["qa_infor"]["Scene Type"] == [
        {"question": "Is it blue?", "answer": ["yes"] * 5}
    ]
    scores = score_folder(tmp_path, "paper")["s_target_action_tna_2"]["1_0_video"]
    assert (scores.R_cov, scores.R_coh) == (1, 1) and scores.R_fid != scores.R_fid  # an empty category, as released


# --- rows and the table -----------------------------------------------------------------------------------------------


def suite_of_videos(root: Path, entries=("miga", "fifo_diffusion")) -> tuple[list[Path], dict[str, Item]]:
    items = [
        item(tna, scene, factor) for factor in ("scene_attribute", "target_action") for tna in (1, 2) for scene in "123"
    ]
    items = {
        one.id: Item(**{**one.__dict__, "questions": {k: v for k, v in one.questions.items() if v}}) for one in items
    }
    paths = []
    for number, entry in enumerate(entries):
        for place, one in enumerate(items.values()):
            path = root / "sprites" / "base" / entry / one.id / "seed-0.mp4"
            write_video(path, moving_square(12, step=2 - 2 * number, height=24 + 2 * place))
            sidecar = {"suite": "sprites", "base": "base", "entry": entry, "method": entry, "seed": 0,
                       "frames": 12, "control": False, "prompt_id": one.id}  # fmt: skip
            path.with_suffix(".json").write_text(json.dumps(sidecar))
            paths.append(path)
    return paths, items


def rule(frames, question, seed):
    """The one that moves is told; of the other, the second step is missing."""
    moves = len(frames) < 2 or np.abs(frames[0].astype(int) - frames[-1]).max() > 60
    return "yes" if moves or "1" not in question else "no"


def test_from_videos_to_table_2(tmp_path):
    paths, items = suite_of_videos(tmp_path)
    table, answered = score_videos(paths, items, Scripted(rule), Cache(tmp_path / "c"))
    long_table.write(table, tmp_path / "scores.parquet")
    table = long_table.read(tmp_path / "scores.parquet")
    assert len(table) == len(paths) * len(NARRLV) == 24 * 4 and len(answered) == 24
    assert set(table["protocol"]) == {f"narrlv/paper/strict/{column(Scripted(), Settings())}"}
    one = table[table["prompt_id"].str.contains("tna_1") & (table["metric"] == "R_coh")]
    assert one["value"].isna().all() and set(one["reason"]) == {"one atom: nothing turns into anything"}

    sidecars, labels = (
        [path.with_suffix(".json") for path in paths],
        {name: name.upper() for name in ("fifo_diffusion", "miga")},
    )
    facts = records.collect(sidecars, labels)
    paper = {("base", "miga"): {"tna2_scene_attribute": 63.0, "tna2_target_action": 70.0}}
    made = table2(table, facts, paper=paper, resamples=200)
    assert [column.name for column in made.columns] == [
        "tna1_scene_attribute", "tna1_target_action", "tna2_scene_attribute", "tna2_target_action", "all",
    ]  # fmt: skip
    assert [row.words for row in made.rows[:5]] == [
        ("base", "FIFO_DIFFUSION", name) for name in ("R_fid", "R_cov", "R_coh", "Mean", "Unread.")
    ]
    cells = {(row.entry, row.words[2]): row.cells for row in made.rows}
    assert cells["miga", "R_cov"]["tna2_target_action"].estimate.mean == 1
    assert cells["fifo_diffusion", "R_cov"]["tna2_target_action"].estimate.mean == 0.5
    assert cells["fifo_diffusion", "R_coh"]["tna2_target_action"].estimate.mean == pytest.approx(0.25)
    assert cells["fifo_diffusion", "R_cov"]["all"].estimate.mean == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    assert (
        cells["fifo_diffusion", "R_cov"]["all"].estimate.low
        < 0.75
        < cells["fifo_diffusion", "R_cov"]["all"].estimate.high
    )
    mean = cells["fifo_diffusion", "Mean"]
    assert mean["tna2_target_action"].estimate.mean == pytest.approx((1 + 0.5 + 0.25) / 3)
    assert mean["tna1_target_action"].estimate.mean is None
    assert (
        cells["miga", "Mean"]["tna2_target_action"].paper == 0.7
        and cells["miga", "R_cov"]["tna2_target_action"].paper is None
    )
    assert "does not say how it is formed" in to_markdown(made) and len(to_frame(made)) == 10
    assert all(cell.estimate.mean == 0 for cell in cells["miga", "Unread."].values())
    assert all(column.higher_is_better for column in made.columns)
    assert {path.name for path in write(made, tmp_path / "tables")} >= {"narrlv.csv", "narrlv.md", "narrlv.tex"}


def test_unread_votes_are_a_line_of_the_table_and_of_the_leaderboard(tmp_path):
    paths, items = suite_of_videos(tmp_path)
    judge = Scripted(lambda frames, question, seed: "hm" if seed % 5 < 2 else "yes")  # two votes of five say nothing
    table, _ = score_videos(paths, items, judge, Cache(tmp_path / "c"))
    facts = records.collect(path.with_suffix(".json") for path in paths)
    unread = [row for row in table2(table, facts, resamples=100).rows if row.words[2] == "Unread."]
    assert len(unread) == 2 and all(row.cells["all"].estimate.mean == pytest.approx(0.4) for row in unread)

    leaderboard.write(
        leaderboard.build(table, facts, "2026-01-31", (*NARRLV.values(), MEAN3), 100), tmp_path / "narrlv.csv"
    )
    board = leaderboard.read(tmp_path / "narrlv.csv").set_index(["entry", "metric"])
    assert set(board.index) == {(entry, name) for entry in ("miga", "fifo_diffusion") for name in (*NARRLV, "mean3")}
    assert set(board["protocol"]) == {f"narrlv/paper/strict/{column(Scripted(), Settings())}"}
    row = board.loc["miga", "unparsable"]
    assert row["value"] == pytest.approx(0.4) and not row["higher_is_better"]
    whole = [board.loc[("miga", name), "value"] for name in SCORES]  # R_coh does not exist with one atom
    assert board.loc[("miga", "mean3"), "value"] == pytest.approx(sum(whole) / 3)


def test_rows_say_why_there_is_no_value(tmp_path):
    paths, items = suite_of_videos(tmp_path, ["miga"])
    paths[0].write_bytes(b"")
    with Play([says("yes"), raw(b"", 400)]) as play:
        judge = Server(play.url, concurrency=1)
        table, _ = score_videos(paths, items, judge, Cache(tmp_path / "c"), variant="released", aesthetics={})
    long_table.check(table)
    reasons = table.groupby("prompt_id")["reason"].first()
    assert reasons[paths[0].parent.name] == "empty file"
    assert "questions without an answer" in reasons[paths[3].parent.name] and "400" in reasons[paths[3].parent.name]
    assert table["value"].isna().all()
    released, _ = score_videos(paths[3:4], items, Scripted(), Cache(tmp_path / "d"), variant="released")
    assert "no aesthetic score" in released.set_index("metric")["reason"]["R_fid"]
    q = {f"base/miga/{paths[3].parent.name}/seed-0": 2.5}
    released, _ = score_videos(paths[3:4], items, Scripted(), Cache(tmp_path / "d"), variant="released", aesthetics=q)
    assert released.set_index("metric")["value"]["R_cov"] == pytest.approx(0.75)


def test_wrong_input_is_one_sentence(tmp_path):
    paths, items = suite_of_videos(tmp_path, ["miga"])
    with pytest.raises(ValueError, match="prompt id must be an item's id"):
        score_videos(paths, {}, Scripted(), Cache(tmp_path / "c"))
    paths[0].with_suffix(".json").write_text("{}")
    with pytest.raises(ValueError, match="does not say suite"):
        score_videos(paths, items, Scripted(), Cache(tmp_path / "c"))
    paths[0].with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="no sidecar"):
        score_videos(paths, items, Scripted(), Cache(tmp_path / "c"))


def test_keys_never_reach_what_is_written(tmp_path, video, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-0123456789")
    with Play([says("yes"), raw(b"bad key sk-a-secret-0123456789", 500)]) as play:
        found = list(answer([video], Server(play.url, retries=0, concurrency=1), Cache(tmp_path / "c")))
    write_answers(found, tmp_path)
    assert any("***" in reason for reason in found[0].failures)
    assert not [path for path in tmp_path.rglob("*.json") if "sk-a-sec" in path.read_text()]
    assert isinstance(found[0], Answered)


# --- the commands -----------------------------------------------------------------------------------------------------


def test_a_folder_of_videos_from_the_command_line(tmp_path, capsys):
    suites, videos = tmp_path / "suites", tmp_path / "videos"
    items = [item(2, "1"), item(2, "2")]
    write_suite(items, suites / f"{items[0].suite}.json")
    write_video(videos / f"{items[0].id}.mp4", moving_square(12))
    write_video(videos / items[1].suite / "2_0_a square mov.mp4", moving_square(12, height=40))
    arguments = ["narrlv", "answer", str(videos), "--suites", str(suites), "--out", str(tmp_path), "--concurrency", "1"]
    with Play([says("yes"), raw(b"", 400), says("no")]) as play:
        assert main([*arguments, "--url", play.url]) == 2  # one question failed, the rest is there
        assert "1 questions or videos have no answer" in capsys.readouterr().err
        assert main([*arguments, "--url", play.url]) == 0 and len(play.requests) == 9
    assert main(["narrlv", "metric", str(tmp_path), "--variant", "paper", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert found["s_target_action_tna_2"]["videos"] == 2 and found["s_target_action_tna_2"]["R_cov"] == 0
    assert main(["narrlv", "answer", str(suites), *arguments[3:], "--url", "http://localhost:1/v1"]) == 2
    assert "no video of any item" in capsys.readouterr().err


def test_judges_from_plain_settings():
    judge = build(
        "server", {"url": "http://a/v1", "model": "m", "sampling": {"temperature": 0, "repetition_penalty": None}}
    )
    assert judge.sampling == Sampling(temperature=0, repetition_penalty=None) and judge.protocol["temperature"] == 0
    for wrong in ({"urll": "http://a"}, {"url": "http://a/v1", "sampling": {"temp": 1}}):
        with pytest.raises(ValueError, match=r"unknown .*; known are"):
            build("server", wrong)


def test_the_config_takes_no_keys():
    with pytest.raises(ValueError, match="environment only") as caught:
        parse(JudgeSettings, {"kind": "server", "params": {"url": "http://a/v1", "api_key": "sk-1"}}, "suite")
    assert "sk-1" not in str(caught.value)
