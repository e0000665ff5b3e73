"""Clips of VBench-Long, VBench's prompts and preflight, its result files, and the command that scores a folder."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval import scores, video
from eval.vbench import VBENCH, export, long, prompts
from eval.vbench.folder import foreign
from eval.vbench.metrics import consistency, measured
from eval.vbench.score import observe, score_video
from miga.commands import scores as cli
from miga.commands import vbench as commands
from tests.eval.conftest import moving_square, write_video


@given(count=st.integers(1, 50), length=st.integers(1, 12), chunk=st.integers(1, 20))
def test_clips_cover_the_video_and_the_last_reaches_back(count, length, chunk):
    frames = torch.arange(count).reshape(-1, 1, 1, 1)
    found = list(long.clips(frames.split(chunk), length))
    assert sorted({int(i) for _, clip in found for i in clip}) == list(range(count))
    assert all(len(clip) == min(length, count) for _, clip in found)
    assert all(int(clip[0]) == start and torch.equal(clip.flatten(), torch.arange(start, start + len(clip)))
               for start, clip in found)  # fmt: skip
    assert [start for start, _ in found[:-1]] == list(range(0, (len(found) - 1) * length, length))


def test_long_is_the_mean_of_its_clips_scored_as_videos(tmp_path, backbones):
    frames = moving_square(21)
    whole = write_video(tmp_path / "whole.mp4", frames, fps=4)
    found = {row["metric"]: row for row in long.score_video(whole, backbones)}
    decoded = torch.cat(list(video.chunks(whole)))
    parts = [decoded[0:8], decoded[8:16], decoded[13:21]]
    for metric in VBENCH:
        wanted = [measured(metric, observe([part], backbones))[0] for part in parts]
        assert found[metric]["series"] == pytest.approx(wanted) and found[metric]["value"] == pytest.approx(
            np.mean(wanted)
        )
        assert found[metric]["protocol"] == "vbench-test-long" and found[metric]["frames"] == 21
    first = backbones.subject(torch.stack([part[0] for part in parts]))
    assert found["subject_consistency_clip_to_clip"]["value"] == pytest.approx(consistency(first)[0])
    assert long.score_video(whole, backbones, metrics=["temporal_flickering"]) == [found["temporal_flickering"]]


def test_long_says_why_not(tmp_path, backbones):
    slow = write_video(tmp_path / "slow.mp4", moving_square(5), fps=1)
    assert all("frames per second" in row["reason"] for row in long.score_video(slow, backbones))
    short = {
        row["metric"]: row for row in long.score_video(write_video(tmp_path / "s.mp4", moving_square(5)), backbones)
    }
    assert short["subject_consistency_clip_to_clip"]["reason"].startswith("1 clip")
    assert short["subject_consistency"]["reason"] is None


@pytest.fixture
def info(tmp_path):
    rows = [{"prompt_en": f"subject {i}", "dimension": ["subject_consistency", "motion_smoothness"]} for i in range(6)]
    rows += [{"prompt_en": f"scene {i}", "dimension": ["background_consistency", "scene"]} for i in range(6)]
    rows += [{"prompt_en": "In a still frame, a door", "dimension": ["temporal_flickering"]}]
    rows += [{"prompt_en": "a cat", "dimension": ["object_class"]}]
    path = tmp_path / "info.json"
    path.write_text(json.dumps(rows))
    return path


def test_prompts_keep_their_ids_whatever_is_selected(info):
    whole = prompts.read(info)
    assert len(whole) == 13 and whole[-1].samples == 25 and whole[0].samples == 5
    some = prompts.read(info, limit=5, seed=1)
    assert {prompt.dimensions[0] for prompt in some} == {d for d in VBENCH if d != "motion_smoothness"}  # spread evenly
    assert set(some) < set(whole) and some == prompts.read(info, limit=5, seed=1) != prompts.read(info, limit=5, seed=2)
    assert [prompt.id for prompt in prompts.read(info, ["background_consistency"])] == [f"{i:04}" for i in range(6, 12)]
    with pytest.raises(ValueError, match="no such file"):
        prompts.read(info.with_name("missing.json"))
    with pytest.raises(ValueError, match="no dimension 'subject'"):
        prompts.read(info, ["subject"])


def test_preflight_names_everything(tmp_path, info):
    chosen = prompts.read(info)[:3]
    folder = tmp_path / "videos"
    with pytest.raises(ValueError, match="videos: no such folder"):
        list(prompts.preflight(folder, chosen, 2))
    folder.mkdir()
    assert len(list(prompts.preflight(folder, chosen, 2))) == 6  # all missing
    for prompt in chosen:
        for i in range(2):
            write_video(folder / f"{prompt.prompt}-{i}.mp4", moving_square(6))
    assert list(prompts.preflight(folder, chosen, 2)) == []
    (folder / "subject 0-0.mp4").unlink()
    (folder / "notes.txt").touch()
    (folder / "subject 0-1.mp4").write_bytes(b"")
    write_video(folder / "subject 1-0.mp4", moving_square(6), pix_fmt="yuv420p10le")
    write_video(folder / "subject 1-1.mp4", moving_square(2), fps=16)
    found = "\n".join(prompts.preflight(folder, chosen, 2))
    for sentence in (
        "subject 0-0.mp4: is missing", "notes.txt: is not the video of any prompt", "subject 0-1.mp4: empty file",
        "subject 1-0.mp4: 10 bits", "subject 1-1.mp4: 2 frames are too few", "subject 1-1.mp4: frames per second 16",
        "subject 1-1.mp4: frames 2, most videos have 6",
    ):  # fmt: skip
        assert sentence in found


def vbench_scores(lengths=(3, 5)) -> pd.DataFrame:
    rows = []
    for i, length in enumerate(lengths):
        for metric in VBENCH:
            series = [0.5 + 0.1 * i] * length
            identity = ("s", "b", "e", "m", f"a prompt, {i}", i, length + 1)
            rows.append((*identity, metric, "vbench", "1", float(np.mean(series)), None, series))
    return pd.DataFrame(rows, columns=list(scores.COLUMNS))


def test_results_files_have_the_packages_layout_and_aggregates(tmp_path):
    found = export.eval_results(vbench_scores())
    assert found["subject_consistency"][0] == pytest.approx((3 * 0.5 + 5 * 0.6) / 8)  # over frames
    assert found["motion_smoothness"][0] == pytest.approx(0.55)  # over videos
    assert found["motion_smoothness"][1][0] == {"video_path": "a prompt, 0-0.mp4", "video_results": 0.5}
    with zipfile.ZipFile(export.submission(vbench_scores(), tmp_path / "model.zip")) as archive:
        assert sorted(archive.namelist()) == sorted(f"{metric}_eval_results.json" for metric in VBENCH)
        for name in archive.namelist():
            ((dimension, (mean, items)),) = json.loads(archive.read(name)).items()
            assert name.startswith(dimension) and 0 <= mean <= 1 and len(items) == 2
    assert json.loads(export.submission(vbench_scores(), tmp_path / "m_eval_results.json").read_text()) == found


def test_what_is_no_vbench_score_does_not_leave_under_its_name(scores):
    with pytest.raises(ValueError, match="one method"):
        export.eval_results(scores)
    with pytest.raises(ValueError, match=r"'vbench-sprites' are not VBench scores"):
        export.eval_results(scores[scores["entry"] == "miga"])
    holes = vbench_scores()
    holes.loc[0, ["value", "reason"]] = [None, "empty file"]
    with pytest.raises(ValueError, match=r"a prompt, 0, seed 0 has no value: empty file"):
        export.eval_results(holes)


def test_the_command_exports_and_names_no_total(tmp_path, capsys):
    other = vbench_scores().assign(entry="other", value=0.0)
    scores.write(pd.concat([vbench_scores(), other]), tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match="one method"):
        commands.export(tmp_path / "scores.parquet", tmp_path / "model.zip")
    assert commands.export(tmp_path / "scores.parquet", tmp_path / "model.zip", entry="e") == 0
    assert "no total: 12 of 16 dimensions" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        found = json.loads(archive.read("motion_smoothness_eval_results.json"))
    assert found["motion_smoothness"][0] == pytest.approx(0.55)


def test_the_command_checks_a_folder(tmp_path, info, capsys):
    chosen = prompts.read(info, ["subject_consistency"], 1)
    write_video(tmp_path / "videos" / f"{chosen[0].prompt}-0.mp4", moving_square(6))
    arguments = dict(prompts=info, dimensions=("subject_consistency",), limit=1)
    assert commands.check(tmp_path / "videos", **arguments, samples=1) == 0
    assert commands.check(tmp_path / "videos", **arguments, samples=2) == 1
    assert f"{chosen[0].prompt}-1.mp4: is missing" in capsys.readouterr().out


def test_a_folder_of_strangers_videos_is_named_as_vbench_names_it(tmp_path):
    for name in ("a dog runs-3.mp4", "no number.mp4", "-7.mp4", "note.txt"):
        (tmp_path / name).touch()
    found = {path.name: (identity["prompt_id"], identity["seed"]) for path, identity in foreign(tmp_path)}
    assert found == {"a dog runs-3.mp4": ("a dog runs", 3), "no number.mp4": ("no number", 0), "-7.mp4": ("-7", 0)}
    with pytest.raises(ValueError, match="no such folder"):
        foreign(tmp_path / "x")
    (tmp_path / "a dog runs-03.gif").touch()
    with pytest.raises(ValueError, match=r"a dog runs-03.gif and a dog runs-3.mp4 are both sample 3"):
        foreign(tmp_path)


def test_the_command_scores_a_folder(tmp_path, backbones, monkeypatch, capsys):
    from eval.vbench import backbones as networks

    monkeypatch.setattr(networks, "load", lambda *_: backbones)
    write_video(tmp_path / "a dog-0.mp4", moving_square(20))
    (tmp_path / "a dog-1.mp4").touch()
    assert cli.score(tmp_path, tmp_path / "out/scores.parquet") == 0
    table = scores.read(tmp_path / "out/scores.parquet")
    assert table["value"].notna().sum() == len(score_video(tmp_path / "a dog-0.mp4", backbones))
    said = capsys.readouterr().out
    assert "note: a dog-1.mp4: empty file" in said and "1 without a value: empty file" in said
    assert cli.score(tmp_path, tmp_path / "long.parquet", protocol="vbench-long") == 0
    chosen = ("temporal_flickering", "drift")
    assert cli.score(tmp_path, tmp_path / "two.parquet", dimensions=chosen) == 0
    two = scores.read(tmp_path / "two.parquet")
    pd.testing.assert_frame_equal(two, table[table["metric"].isin(chosen)].reset_index(drop=True))


@pytest.mark.parametrize(
    "options, why",
    [
        (dict(dimensions=("temporal_style",)), "--dimensions temporal_style: fast knows aesthetic_quality"),
        (dict(dimensions=("drift",), protocol="vbench-long"), "--dimensions drift: fast knows"),
        (dict(out=Path("scores.csv")), "scores.csv: the table is a .parquet file"),
        (dict(backend="official"), "--python"),
    ],
)
def test_the_command_refuses_before_it_scores(tmp_path, monkeypatch, options, why):
    monkeypatch.delenv("VBENCH_PYTHON", raising=False)
    write_video(tmp_path / "a dog-0.mp4", moving_square(6))
    with pytest.raises(ValueError, match=why):
        cli.score(tmp_path, **options)


@pytest.mark.parametrize("protocol", ["vbench", "vbench-long"])
def test_a_run_that_is_cut_off_keeps_what_it_scored(tmp_path, backbones, monkeypatch, protocol):
    from eval.vbench import backbones as networks

    looked = []

    def background(frames):
        if len(looked) == 2 and failing:
            raise KeyboardInterrupt
        looked.append(len(frames))
        return backbones.background(frames)

    monkeypatch.setattr(networks, "load", lambda *_: replace(backbones, background=background))
    folder, out = tmp_path / "v", tmp_path / "scores.parquet"
    for i in range(3):
        write_video(folder / f"a dog-{i}.mp4", moving_square(6 + i))
    failing = True
    with pytest.raises(KeyboardInterrupt):
        cli.score(folder, out, protocol)
    assert set(scores.read(out)["seed"]) == {0, 1}
    failing = False
    (folder / "a cat-0.mp4").touch()  # the same content
    with (folder / "a dog-1.mp4").open("ab") as file:
        file.write(b"\0\0\0\x08free")  # another file, though its frames are the same
    assert cli.score(folder, out, protocol, resume=True, dimensions=("background_consistency",)) == 0
    assert looked[2:] == [7, 8]
    assert cli.score(folder, out, protocol, resume=True) == 0
    assert len(looked) == 4
    assert cli.score(folder, tmp_path / "whole.parquet", protocol) == 0
    pd.testing.assert_frame_equal(scores.read(out), scores.read(tmp_path / "whole.parquet"))
    looked.clear()
    monkeypatch.setattr(networks, "load", lambda *_: replace(backbones, background=background, version="2"))
    assert cli.score(folder, out, protocol, resume=True) == 0 and looked == [6, 7, 8]  # other networks


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of a process from Linux's /proc")
def test_memory_does_not_grow_with_the_length(tmp_path):
    program = """if True:
        import sys
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        from eval.vbench.score import Backbones, score_video
        pixels = lambda frames: frames.float().flatten(1)[:, ::97]
        rows = score_video(sys.argv[1], Backbones("t", "1", pixels, pixels, lambda a, b: a))
        # ru_maxrss would have the parent's memory in it
        peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
        print(rows[0]["frames"], int(peak) // 1024)
    """
    used = {}
    for count in (96, 576):
        path = write_video(tmp_path / f"{count}.mp4", moving_square(count, height=256, width=384))
        done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
        frames, used[count] = map(int, done.stdout.split())
        assert frames == count
    assert used[576] - used[96] < 70  # MB; the other 480 frames are 142 MB as bytes and 566 MB as floats
