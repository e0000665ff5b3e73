"""VBench's dimensions against their definition written out as loops; identities; streaming; unscorable files."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import av
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval import scores as table
from eval import video
from eval.metric import METRICS
from eval.vbench import STANDARD, metrics
from eval.vbench.folder import foreign
from eval.vbench.matching import STILLNESS, _search, displacement, middle
from eval.vbench.score import Backbones, observe, score_video, score_videos
from tests.eval.conftest import moving_square, write_video


def by_metric(rows):
    return {row["metric"]: row for row in rows}


def loops(frames: np.ndarray, features: np.ndarray, interpolate) -> dict[str, float]:
    """VBench's definitions, a frame at a time in float64."""

    def cosine(a, b):
        return max(0.0, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))

    similar = [
        (cosine(features[i - 1], features[i]) + cosine(features[0], features[i])) / 2 for i in range(1, len(frames))
    ]
    flicker = [np.abs(frames[i].astype(float) - frames[i + 1]).mean() for i in range(len(frames) - 1)]
    even, odd = frames[::2], frames[1::2]
    smooth = [
        np.abs(interpolate(even[i][None], even[i + 1][None])[0].astype(float) - odd[i]).mean()
        for i in range(len(even) - 1)
    ]
    return {
        "subject_consistency": np.mean(similar),
        "temporal_flickering": (255 - np.mean(flicker)) / 255,
        "motion_smoothness": (255 - np.mean(smooth)) / 255,
    }


@settings(max_examples=20, deadline=None)
@given(count=st.integers(3, 23), chunk=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_pass_equals_the_definition_whatever_the_chunk(count, chunk, seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    project = torch.from_numpy(rng.normal(size=(6 * 8 * 3, 5)).astype(np.float32))

    def features(images):
        return images.flatten(1).float() @ project

    def interpolate(a, b):
        return ((a.int() + 2 * b.int()) // 3).to(torch.uint8)

    bb = Backbones("t", "1", features, features, interpolate)
    seen = observe(torch.from_numpy(frames).split(chunk), bb)
    wanted = loops(
        frames,
        features(torch.from_numpy(frames)).numpy().astype(float),
        lambda a, b: interpolate(torch.from_numpy(a), torch.from_numpy(b)).numpy(),
    )
    for name, value in wanted.items():
        got, series = metrics.measured(name, seen)
        assert got == pytest.approx(value, abs=2e-6 if name == "subject_consistency" else 1e-12), name
        assert got == pytest.approx(np.mean(series), abs=1e-12)
    assert len(seen["interpolation"]) == math.ceil(count / 2) - 1
    assert len(seen["change"]) == len(seen["displacement"]) == count - 1


def test_opposite_features_are_clamped_at_zero_each_on_its_own():
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    assert metrics.consistency(features) == (0.25, [0.0, 0.5])


def test_a_still_video_is_perfect_and_does_not_move(backbones):
    frames = torch.from_numpy(moving_square(40, step=0))
    seen = observe(frames.split(16), backbones)
    value = {name: metrics.measured(name, seen)[0] for name in STANDARD}
    assert value["motion"] == 0 and value["drift"] == pytest.approx(0, abs=1e-9)
    for name in ("subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering"):
        assert value[name] == pytest.approx(1, abs=1e-6)


def test_drift_finds_a_change_that_stays_and_shuffling_hides_it():
    start, end = torch.eye(2)
    lasting = torch.stack([start] * 24 + [end] * 24)
    value, series = metrics.drift(lasting, 16)
    assert value == 1 and series[0] == 1 and series[-1] == 0 and len(series) == 48
    mixed = lasting[torch.randperm(48, generator=torch.Generator().manual_seed(0))]
    assert abs(metrics.drift(mixed, 16)[0]) < 0.35
    assert metrics.drift(torch.stack([start] * 5 + [end] * 5), 16)[0] == 1  # shorter than two windows: halves


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_matching_finds_a_known_motion(step):
    frames = np.full((8, 64, 96, 3), 90, np.uint8)
    texture = np.random.default_rng(0).integers(0, 255, (30, 30, 3))
    for t in range(8):
        frames[t, 10:40, 5 + step * t : 35 + step * t] = texture
    assert (displacement(torch.from_numpy(frames)) * 64).numpy() == pytest.approx(float(step), abs=0.01)


def test_matching_interpolates_a_moving_square_better_than_a_blend():
    frames = torch.from_numpy(moving_square(9, 2, 48, 64))
    before, true, after = frames[:-2:2], frames[1:-1:2].float(), frames[2::2]
    blend = (before.float() + after.float()) / 2
    ours = (middle(before, after).float() - true).abs().mean()
    assert ours < 0.2 * (blend - true).abs().mean()


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (6, 5)])
def test_blocks_are_averaged_as_average_pooling_does_it(size):
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (4, *size, 3), dtype=np.uint8)) / 3
    first, second = frames.permute(0, 3, 1, 2).split(2)
    moves = [((0, 0), (0, 0)), ((0, 0), (1, -1)), ((-1, 0), (0, 2))]
    padded = [torch.nn.functional.pad(images, (2,) * 4, mode="replicate") for images in (first, second)]
    costs = []
    for pair in moves:
        one, other = (
            images[..., 2 + dy :, 2 + dx :][..., : size[0], : size[1]]
            for images, (dy, dx) in zip(padded, pair, strict=True)
        )
        mean = torch.nn.functional.avg_pool2d
        rows = mean((one - other).abs().mean(1, keepdim=True), (1, 7), 1, (0, 3), count_include_pad=False)
        cost = mean(rows, (7, 1), 1, (3, 0), count_include_pad=False)[:, 0]
        costs.append(cost + STILLNESS * math.dist(*pair))
    assert torch.equal(_search(first, second, moves), torch.stack(costs).argmin(0))


def test_displacement_does_not_depend_on_the_resolution():
    coarse = torch.from_numpy(moving_square(6, 2, 64, 96))
    fine = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)
    assert torch.allclose(displacement(coarse), displacement(fine), atol=1e-6)


def test_rows_of_a_file(tmp_path, backbones):
    path = write_video(tmp_path / "a.mp4", moving_square(21))
    rows = by_metric(score_video(path, backbones))
    assert set(rows) == set(STANDARD)
    for name, row in rows.items():
        assert row["reason"] is None and METRICS.get(name).low <= row["value"] <= METRICS.get(name).high
        assert row["frames"] == 21 and row["protocol"] == "vbench-test"
        assert row["version"] == ("1+pixels" if name in ("motion", "temporal_flickering") else "1+1")
    assert len(rows["temporal_flickering"]["series"]) == 20
    assert rows == by_metric(score_video(path, backbones, chunk=4))


@pytest.mark.parametrize("metric", STANDARD)
def test_a_metric_alone_has_the_same_row_and_runs_no_network_that_it_does_not_need(tmp_path, backbones, metric):
    path = write_video(tmp_path / "a.mp4", moving_square(21))
    wanted = by_metric(score_video(path, backbones))[metric]
    needed = {"subject_consistency": "subject", "drift": "subject", "background_consistency": "background"}
    networks = {"subject", "background", "interpolate"} - {needed.get(metric)}
    networks -= {"interpolate"} if metric == "motion_smoothness" else set()
    assert score_video(path, replace(backbones, **dict.fromkeys(networks)), metrics=[metric]) == [wanted]


def test_each_prompt_has_its_own_metrics(tmp_path, backbones):
    identity = {"suite": "s", "base": "b", "entry": "e", "method": "m", "seed": 0}
    videos = [write_video(tmp_path / name / "seed-0.mp4", moving_square(6)) for name in ("p", "q")]
    for path in videos:
        path.with_suffix(".json").write_text(json.dumps(identity))
    found = score_videos(videos, backbones, metrics={"p": ["motion"], "q": ["temporal_flickering", "drift"]})
    assert list(zip(found["prompt_id"], found["metric"], strict=True)) == [
        ("p", "motion"), ("q", "temporal_flickering"), ("q", "drift"),
    ]  # fmt: skip


@pytest.mark.parametrize("height, width", [(33, 47), (17, 64), (6, 6)])
def test_odd_sizes_are_scored(tmp_path, backbones, height, width):
    frames = np.random.default_rng(0).integers(0, 255, (5, height, width, 3), dtype=np.uint8)
    path = write_video(tmp_path / "odd.mp4", frames)
    assert all(row["reason"] is None for row in score_video(path, backbones))


def broken_files(folder):
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video")
    whole = write_video(folder / "whole.mp4", moving_square(30)).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    write_video(folder / "one.mp4", moving_square(1))
    write_video(folder / "deep.mp4", moving_square(4), pix_fmt="yuv420p10le")


@pytest.mark.parametrize(
    "name, why",
    [("missing", "no such file"), ("empty", "empty file"), ("text", "unreadable"), ("cut", "unreadable"),
     ("sound", "audio only"), ("one", "1 frame:"), ("deep", "8 bits")],
)  # fmt: skip
def test_what_cannot_be_scored_is_a_row_with_a_reason(tmp_path, backbones, name, why):
    broken_files(tmp_path)
    rows = score_video(tmp_path / f"{name}.mp4", backbones)
    assert {row["metric"] for row in rows} == set(STANDARD)
    assert all(row["value"] is None and why in row["reason"] for row in rows)


def test_two_frames_have_no_smoothness_but_the_rest(tmp_path, backbones):
    rows = by_metric(score_video(write_video(tmp_path / "two.mp4", moving_square(2)), backbones))
    assert rows["motion_smoothness"]["reason"] == "2 frames: motion_smoothness needs at least 3"
    assert all(row["reason"] is None for name, row in rows.items() if name != "motion_smoothness")


def test_frames_too_small_for_the_interpolator_lack_only_what_it_gives(tmp_path, backbones):
    def refuse(before, after):
        raise video.VideoError("too small")

    path = write_video(tmp_path / "a.mp4", moving_square(21))
    whole, found = score_video(path, backbones), score_video(path, replace(backbones, interpolate=refuse))
    for wanted, row in zip(whole, found, strict=True):
        if row["metric"] == "motion_smoothness":
            assert row["value"] is None and row["reason"] == "too small"
        else:
            assert row == wanted


def test_features_that_are_not_finite_are_a_reason(tmp_path):
    def broken(frames):
        return torch.full((len(frames), 2), torch.nan)

    path = write_video(tmp_path / "a.mp4", moving_square(6))
    rows = by_metric(score_video(path, Backbones("t", "1", broken, broken, middle)))
    for name in ("subject_consistency", "background_consistency", "drift"):
        assert rows[name]["value"] is None and "not finite" in rows[name]["reason"]
    assert rows["temporal_flickering"]["reason"] is None


def test_sidecars_make_the_long_table(tmp_path, backbones):
    identity = {"suite": "s", "base": "b", "entry": "e", "method": "m", "prompt_id": "p", "seed": 3}
    path = write_video(tmp_path / "p" / "seed-3.mp4", moving_square(6))
    with pytest.raises(ValueError, match=r"no sidecar seed-3.json"):
        score_videos([path], backbones)
    path.with_suffix(".json").write_text(json.dumps(identity))
    table.write(score_videos([path], backbones), tmp_path / "scores.parquet")
    read = table.read(tmp_path / "scores.parquet")
    assert list(read.columns) == list(table.COLUMNS) and len(read) == len(STANDARD)
    assert read.loc[0, list(identity)].to_dict() == identity


def test_a_table_with_a_hole_or_a_double_is_refused(tmp_path, backbones):
    path = write_video(tmp_path / "a.mp4", moving_square(6))
    ((_, identity),) = foreign(tmp_path)
    good = pd.DataFrame([identity | row for row in score_video(path, backbones)])
    table.check(good)
    hole = good.assign(value=good["value"].where(good["metric"] != "drift"))
    with pytest.raises(ValueError, match=r"drift.* needs either a value or a reason"):
        table.check(hole)
    with pytest.raises(ValueError, match="is there twice"):
        table.check(pd.concat([good, good]))
    assert set(good["prompt_id"]) == {path.stem}


def test_facts_of_a_file(tmp_path):
    facts = video.facts(write_video(tmp_path / "a.mp4", moving_square(6, height=32, width=48), fps=10))
    assert (facts.width, facts.height, facts.fps, facts.frames, facts.bits) == (48, 32, 10, 6, 8)


def test_eval_imports_neither_the_engine_nor_the_baselines():
    import ast
    from pathlib import Path

    for path in Path(__file__).parents[2].joinpath("eval").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.split(".")[0] for name in names} & {"miga", "baselines", "workflow"}, path
