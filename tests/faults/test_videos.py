"""What is scored is what was asked: each odd file has a value of all its frames, or a reason; nothing is left aside in
silence; names are names. The comment of a row says what happened before."""

import os
import unicodedata

import numpy as np
import pandas as pd
import pytest
import torch

from eval import scores, video
from eval.names import prompt_and_index
from eval.vbench.folder import foreign, left_aside, score_folder
from eval.vbench.prompts import Prompt, preflight, unlike
from eval.vbench.score import Backbones, score_video
from tests.faults import inputs


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return inputs.good(tmp_path_factory.mktemp("source") / "good.mp4")


def as_is(source, out):
    out.write_bytes(source.read_bytes())


def coded(*words):
    return lambda source, out: inputs.ffmpeg("-i", source, *words, out)


# name -> how it is made, what comes of it: a number of frames, or words of the reason
FILES = {
    "cover.mp4": (inputs.cover_first, 48),  # 1 frame, the cover
    "cover.mkv": (inputs.cover_first, 48),  # 1 frame, the cover
    "cover-only.m4v": (inputs.cover_only, "cover picture only"),  # scored as a video of one frame
    "turned.mp4": (inputs.turned, 48),  # scored lying on its side
    "trimmed.mp4": (inputs.trimmed, 36),
    "fragmented.mp4": (inputs.fragmented, 48),
    "live.mkv": (inputs.live, 48),
    "two.mp4": (inputs.two_videos, 48),  # the 5 frames of the first
    "whole.avi": (inputs.recoded, 48),  # not looked at
    "whole.gif": (coded(), 48),
    "whole.webm": (coded("-c:v", "libvpx"), 48),
    "whole.flv": (coded(), 48),  # not looked at
    "half.mp4": (inputs.half(as_is), "not whole"),  # a value of 23 frames
    "half-fragmented.mp4": (inputs.half(inputs.fragmented), "not whole"),  # a value
    "half.mkv": (inputs.half(inputs.remuxed), "3.2 of the 6.0 seconds"),  # a value
    "half.webm": (inputs.half(coded("-c:v", "libvpx")), "3.0 of the 6.0 seconds"),  # a value
    "half.avi": (inputs.half(inputs.recoded), "not whole"),  # not looked at
    "half.flv": (inputs.half(coded()), "not whole"),  # not looked at
    "half.gif": (inputs.half(coded()), "cut"),  # a value
    "half.mov": (inputs.half(inputs.remuxed), "unreadable"),
    "dirty.mp4": (inputs.dirty, "unreadable after frame"),
    "ten-bit.mp4": (inputs.ten_bit, "more than 8 bits"),
    "page.mp4": (inputs.text, "unreadable"),
    "empty.mp4": (inputs.empty, "empty file"),
    "gone.mp4": (inputs.gone, "no such file"),
    "sound.mp4": (inputs.sound, "audio only"),
    # right already, but for those with a comment
    "fewer-sizes.mp4": (inputs.patched(b"stsz", 12, 10), "1.2 of the 6.0 seconds"),  # a value of 10 frames
    "all-at-once.mp4": (inputs.patched(b"stts", 16, 0), "6.0 seconds"),  # a value of half of the frames
    "more-sizes.mp4": (inputs.patched(b"stsz", 12, 2000), 48),
    "no-duration.mp4": (inputs.patched(b"mvhd", 20, 0), 48),
    "no-duration-of-track.mp4": (inputs.patched(b"mdhd", 20, 0), 48),
    "huge-in-its-head.mp4": (inputs.patched(b"avc1", 28, 2**32 - 1), 48),
    "no-frames.mp4": (coded("-frames:v", 0), "nor any other"),  # "audio only"
    "timescale.mp4": (coded("-c", "copy", "-video_track_timescale", 2**31 - 1), 48),
    "below-zero.mkv": (coded("-c", "copy", "-output_ts_offset", -1), 48),
    "open-gop.mp4": (coded("-c:v", "libx264", "-x264-params", "open-gop=1:bframes=3:keyint=6"), 48),
    "full-colour.mp4": (coded("-pix_fmt", "yuv444p"), 48),
    "grey.mkv": (coded("-c:v", "ffv1", "-pix_fmt", "gray"), 48),
    "palette.avi": (coded("-c:v", "rawvideo", "-pix_fmt", "pal8"), 48),
    "see-through.webm": (coded("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime"), 48),
    "prores.mov": (coded("-c:v", "prores_ks"), "more than 8 bits"),
    "interlaced.mpg": (coded("-c:v", "mpeg2video", "-r", 25, "-flags", "+ilme+ildct"), 150),
    "wrong-suffix.webm": (as_is, 48),
    "rubbish-behind.mp4": (lambda source, out: out.write_bytes(source.read_bytes() + bytes(range(256)) * 9), 48),
    "rubbish-before.mp4": (lambda source, out: out.write_bytes(b"HTTP/1.1 200 OK" + source.read_bytes()), "unreadable"),
    "two-joined.mp4": (lambda source, out: out.write_bytes(source.read_bytes() * 2), 48),
    "one-pixel.mkv": (coded("-vf", "scale=1:1", "-c:v", "ffv1", "-pix_fmt", "bgr0"), 48),
    "odd-size.mkv": (coded("-vf", "scale=33:17", "-c:v", "ffv1"), 48),
    "another-size.mpg": (inputs.two_sizes, "frame size changes"),
}


@pytest.mark.parametrize("name", FILES)
def test_all_frames_or_a_reason(name, source, tmp_path):
    make, expected = FILES[name]
    make(source, tmp_path / name)
    if isinstance(expected, int):
        assert sum(map(len, video.chunks(tmp_path / name))) == expected
        assert video.fingerprint(tmp_path / name)[1] == expected
    else:
        with pytest.raises(video.VideoError, match=expected):
            list(video.chunks(tmp_path / name))


def test_nobody_waits_for_a_pipe_among_videos(tmp_path):
    """`miga score` waited for who would write into it."""
    os.mkfifo(tmp_path / "a-0.mp4")
    networks = Backbones("test", "1", None, None, None)
    score_folder(foreign(tmp_path), score_video, networks, "test", ["motion"], tmp_path / "o.parquet")
    (row,) = scores.read(tmp_path / "o.parquet").to_dict("records")
    assert row["value"] is None or np.isnan(row["value"])
    assert row["reason"] == "no such file"


BY_DECORD = ("cover.mp4", "cover.mkv", "turned.mp4", "fragmented.mp4", "two.mp4", "whole.avi", "whole.webm")


@pytest.mark.parametrize("name", BY_DECORD)
def test_frames_are_those_of_decord(name, source, tmp_path):
    """By which VBench and others read."""
    decord = pytest.importorskip("decord")  # has no wheels but for x86-64
    FILES[name][0](source, tmp_path / name)
    reader = decord.VideoReader(str(tmp_path / name))
    frames = reader.get_batch(range(len(reader))).asnumpy()
    assert np.array_equal(torch.cat(list(video.chunks(tmp_path / name))), frames)


@pytest.mark.parametrize(
    "name, words", {"turned.mp4": "turned by 90", "live.mkv": "how long it is", "two.mp4": "holds 2 videos"}.items()
)
def test_what_a_value_does_not_say_is_a_note(name, words, source, tmp_path):
    FILES[name][0](source, tmp_path / name)
    assert any(words in sentence for sentence in unlike([tmp_path / name]))


def test_a_turned_video_is_seen_as_players_show_it(source, tmp_path):
    inputs.turned(source, tmp_path / "turned.mp4")
    inputs.ffmpeg("-i", tmp_path / "turned.mp4", "-crf", 0, tmp_path / "shown.mp4")  # FFmpeg turns what it decodes
    facts, seen = video.facts(tmp_path / "turned.mp4"), next(video.chunks(tmp_path / "turned.mp4"))
    shown = next(video.chunks(tmp_path / "shown.mp4"))
    assert (facts.width, facts.height) == (64, 96) and seen.shape == shown.shape == (16, 96, 64, 3)
    assert np.abs(seen.numpy().astype(int) - shown.numpy()).mean() < 2


@pytest.mark.parametrize(
    "name, prompt, index",
    [
        ("a cat-0.mp4", "a cat", 0),
        ("a cat-12.mp4", "a cat", 12),
        ("a cat-007.mp4", "a cat", 7),
        ("kling-20251126101530123456.mp4", "kling-20251126101530123456", 0),  # OverflowError after decoding
        ("kling-20251126101530.mp4", "kling-20251126101530", 0),  # sample 20251126101530 of "kling"
        ("a cat-٣.mp4", "a cat-٣", 0),  # sample 3
        ("a cat-３.mp4", "a cat-３", 0),  # sample 3
        ("a cat-².mp4", "a cat-²", 0),  # ValueError of int
        ("a cat--1.mp4", "a cat-", 1),
        ("-3.mp4", "-3", 0),
        ("a-b-c.mp4", "a-b-c", 0),
        ("v1.5+x-2.MP4", "v1.5+x", 2),
        ("a\ncat-4.mp4", "a\ncat", 4),
        ("x" * 240 + "-1.mp4", "x" * 240, 1),
        (unicodedata.normalize("NFD", "façade-1.mp4"), "façade", 1),  # another prompt than the composed one
        (os.fsdecode(b"caf\xe9-1.mp4"), "caf\\xe9", 1),  # UnicodeEncodeError in the table
    ],
)
def test_an_index_is_one_only_by_the_rule(name, prompt, index, tmp_path):
    path = tmp_path / name
    path.touch()
    assert prompt_and_index(path) == (prompt, index)
    ((_, identity),) = foreign(tmp_path)
    assert (identity["prompt_id"], identity["seed"]) == (prompt, index)
    rows = [identity | row for row in score_video(path, NONE, metrics=["motion"])]
    scores.write(pd.DataFrame(rows), tmp_path / "table.parquet")
    assert len(scores.read(tmp_path / "table.parquet")) == 1


def test_what_is_left_aside_is_counted_and_named(source, tmp_path):
    for name in ("a-0.mp4", "b-0.AVI", "._a-0.mp4", ".b-0.mp4.partial.mp4", "a-0.json", "notes.txt"):
        (tmp_path / name).write_bytes(source.read_bytes())
    for name in ("more", "x.mp4"):
        (tmp_path / name).mkdir()
    assert sorted(path.name for path, _ in foreign(tmp_path)) == ["a-0.mp4", "b-0.AVI"]
    assert list(left_aside(tmp_path)) == [
        "left aside: 2 sub-folders (more, x.mp4)",
        "left aside: 2 hidden files (._a-0.mp4, .b-0.mp4.partial.mp4)",
        "left aside: 1 file of another kind (notes.txt)",
    ]
    for number in range(8):
        (tmp_path / f"{number}.png").touch()
    assert "9 files of another kind (0.png, 1.png, 2.png, 3.png, 4.png, 5.png and 3 more)" in "".join(
        left_aside(tmp_path)
    )


def test_a_folder_of_pictures_says_what_is_there(tmp_path):
    (tmp_path / "0001.png").touch()
    with pytest.raises(ValueError, match=r"no videos .*1 file of another kind \(0001.png\)"):
        foreign(tmp_path)


def test_both_spellings_of_a_name_are_one_video(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "façade-0.mp4")).touch()
    with pytest.raises(ValueError, match="both sample 0"):
        foreign(tmp_path)


@pytest.mark.parametrize(
    "name, words",
    [
        (unicodedata.normalize("NFD", "façade-0.mp4"), "decomposed letters"),  # missing, and no video of any prompt
        ("façade-0.MP4", "capitals in the suffix"),  # missing, and no video of any prompt
        ("façade-00.mp4", "is not the video of any prompt"),
    ],
)
def test_a_name_that_vbench_does_not_find(name, words, source, tmp_path):
    (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "sub").mkdir()
    found = list(preflight(tmp_path, [Prompt("0", "façade", ("subject_consistency",))], samples=1))
    assert found[0] == "sub: is a folder, in which VBench does not look"
    assert any(words in sentence for sentence in found) and not any("DS_Store" in sentence for sentence in found)
    assert any("is missing" in sentence for sentence in found) is (words.startswith("is not"))


# --- --resume believes content ---

NONE = Backbones("t", "1", None, None, None)


def table(folder, out, looked=None):
    def scorer(path, backbones, metrics):
        if looked is not None:
            looked.append(path.name)
        return score_video(path, backbones, metrics=metrics)

    score_folder(foreign(folder), scorer, NONE, "t", ["motion"], out, resume=True)
    return scores.read(out)


def _replace(folder, source):
    inputs.good(folder / "a-0.mp4", frames=20)
    os.utime(folder / "a-0.mp4", (1, 1))


def _cut(folder, source):
    stamp = (folder / "a-0.mp4").stat()
    inputs.cut(folder / "a-0.mp4", 0.5)
    os.utime(folder / "a-0.mp4", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def _swap(folder, source):
    inputs.good(folder / "new.mp4", frames=20).rename(folder / "x")
    (folder / "a-0.mp4").rename(folder / "y")
    (folder / "x").rename(folder / "a-0.mp4")
    (folder / "y").unlink()


CHANGES = {  # what is done to the folder -> which videos are looked at again, how many rows there are
    "nothing": (lambda folder, source: None, [], 2),
    "touched": (lambda folder, source: (folder / "a-0.mp4").touch(), [], 2),  # was done again
    "replaced with an old date": (_replace, ["a-0.mp4"], 2),  # the old score
    "cut with its date kept": (_cut, ["a-0.mp4"], 2),  # the old score
    "renamed over": (_swap, ["a-0.mp4"], 2),
    "removed": (lambda folder, source: (folder / "a-0.mp4").unlink(), [], 1),  # stayed in the mean
    "renamed": (lambda folder, source: (folder / "a-0.mp4").rename(folder / "c-0.mp4"), ["c-0.mp4"], 2),  # 3 rows
    "added": (lambda folder, source: (folder / "c-0.mp4").write_bytes(source.read_bytes()), ["c-0.mp4"], 3),
    "hidden": (lambda folder, source: (folder / "a-0.mp4").rename(folder / ".a-0.mp4"), [], 1),
    "a link to nowhere": (lambda f, s: ((f / "a-0.mp4").unlink(), inputs.gone(s, f / "a-0.mp4")), ["a-0.mp4"], 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_resume_believes_content(name, source, tmp_path):
    change, again, rows = CHANGES[name]
    folder = tmp_path / "v"
    folder.mkdir()
    for video_name in ("a-0.mp4", "b-0.mp4"):
        (folder / video_name).write_bytes(source.read_bytes())
    table(folder, tmp_path / "t.parquet")
    change(folder, source)
    looked = []
    found = table(folder, tmp_path / "t.parquet", looked)
    assert looked == again and len(found) == rows
    pd.testing.assert_frame_equal(found, table(folder, tmp_path / "fresh.parquet"))


def test_a_namesake_folder_has_no_part_in_a_table_and_another_folder_stays(source, tmp_path):
    for place, frames in (("v", 48), ("b/v", 20), ("w", 48)):
        (tmp_path / place).mkdir(parents=True)
        inputs.good(tmp_path / place / "a-0.mp4", frames)
    table(tmp_path / "v", tmp_path / "t.parquet")
    assert table(tmp_path / "b/v", tmp_path / "t.parquet")["frames"].tolist() == [20]
    assert set(table(tmp_path / "w", tmp_path / "t.parquet")["entry"]) == {"v", "w"}


def test_a_table_without_digests_is_not_believed(source, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a-0.mp4").write_bytes(source.read_bytes())
    out, looked = tmp_path / "t.parquet", []
    scores.write(table(tmp_path / "v", out), out)
    table(tmp_path / "v", out, looked)
    assert looked == ["a-0.mp4"]
