"""`verify` finds nothing in an untouched folder and names exactly what was changed afterwards."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from eval import leaderboard, manifest, records, scores, tables, video
from tests.eval.conftest import LABELS, MAIN, made_up_scores, made_up_sidecars, moving_square, write_video

SETTINGS = {"miga": "with", "static": "without"}  # an ablation


@pytest.fixture
def suite(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "sprites")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("finished")
    table = made_up_scores(2, 1)
    table = table[table["entry"].isin(["miga", "static"])]
    paths = made_up_sidecars(tmp_path, table, videos=True)
    for path in paths:
        fact = json.loads(path.read_text())
        path.write_text(json.dumps(fact | {"frames_sha256": video.frames_digest(path.with_suffix(".mp4"))}))
    folder, facts = tmp_path / "sprites", records.collect(paths, LABELS)
    scores.write(table, folder / "scores.parquet")
    records.write(facts, folder / "videos.parquet")
    tables.write(tables.comparison("vbench", "t", table, facts, MAIN, resamples=100), folder / "tables")
    tables.write(tables.cost(facts, resamples=100), folder / "tables")
    tables.write(tables.differences("differences", "t", table, facts, "static", MAIN, resamples=100), folder / "tables")
    tables.write(
        tables.comparison("ablation", "t", table, facts, MAIN, [*SETTINGS], SETTINGS, "Setting", resamples=100),
        folder / "tables",
    )
    leaderboard.write(
        leaderboard.build(table, facts, "2026-01-31", MAIN, resamples=100), folder / "leaderboard/vbench.csv"
    )
    experiment = {"suite": {"reference": "static"}, "entries": dict.fromkeys(SETTINGS)}
    experiment["ablations"] = {"one": {"table": "ablation", "rows": SETTINGS}}
    config = {"config": {"bootstrap": 100}, "experiment": experiment}
    found = manifest.build(folder, "snakemake --cores 2", {"eval": "0"}, config)
    manifest.write(found, folder / "manifest.json")
    return folder


def wrong(suite):
    return {what: why for what, fine, why in manifest.verify(suite) if not fine}


def test_an_untouched_folder_verifies(suite):
    checked = [what for what, _, _ in manifest.verify(suite)]
    assert not wrong(suite)
    assert "sprites-unet/miga/p00/seed-0.mp4" in checked and "tables/vbench.csv, recomputed" in checked


def test_the_manifest_says_what_made_it(suite):
    found = json.loads((suite / "manifest.json").read_text())
    assert found["packages"]["torch"] and found["hardware"]["cores"] and found["command"] == "snakemake --cores 2"
    assert found["methods"]["sprites-unet/miga"] == "1" and found["weights_sha256"]["sprites-unet"] == "ab" * 32
    assert found["videos"] == 4 and "scores.parquet" in found["files"]


def test_a_changed_number_is_found_even_with_its_file_digest_fixed(suite):
    path = suite / "tables/vbench.csv"
    table = pd.read_csv(path)
    table.loc[0, "drift"] -= 0.01
    table.to_csv(path, index=False)
    assert set(wrong(suite)) == {"tables/vbench.csv", "tables/vbench.csv, recomputed"}
    data = json.loads((suite / "manifest.json").read_text())
    data["files"]["tables/vbench.csv"] = manifest.file_digest(path)
    manifest.write(data, suite / "manifest.json")
    assert "the scores say" in wrong(suite)["tables/vbench.csv, recomputed"]


@pytest.mark.parametrize(
    "name, column", [("vbench", "overall_high"), ("cost", "calls_per_frame"), ("differences", "drift"),
                     ("vbench", "drift_n"), ("ablation", "overall")])  # fmt: skip
def test_every_number_of_a_table_is_made_again(suite, name, column):
    path = suite / f"tables/{name}.csv"
    table = pd.read_csv(path)
    table.loc[0, column] += 1
    table.to_csv(path, index=False)
    assert f"miga: {column} is" in wrong(suite)[f"tables/{name}.csv, recomputed"]


@pytest.mark.parametrize("name", ["vbench", "cost", "differences", "ablation"])
def test_a_row_that_is_left_out_of_a_table_is_found(suite, name):
    path = suite / f"tables/{name}.csv"
    pd.read_csv(path).iloc[:-1].to_csv(path, index=False)
    assert "is in one of table and scores only" in wrong(suite)[f"tables/{name}.csv, recomputed"]


@pytest.mark.parametrize("column", ["overall_n", "setting", "drift_high"])
def test_a_column_that_is_left_out_of_a_table_is_found(suite, column):
    path = suite / "tables/ablation.csv"
    pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
    assert wrong(suite)["tables/ablation.csv, recomputed"] == f"it has no column {column}"


def test_words_and_marks_of_a_table_are_made_again(suite):
    path = suite / "tables/ablation.csv"
    table = pd.read_csv(path)
    table["setting"] = table["setting"].replace("without", "within")
    table.to_csv(path, index=False)
    why = wrong(suite)["tables/ablation.csv, recomputed"]
    assert "static: setting is within, the scores say without" in why


def test_a_row_that_is_left_out_of_a_board_is_found(suite):
    path = suite / "leaderboard/vbench.csv"
    board = leaderboard.read(path)
    leaderboard.write(board[board["entry"] != "static"], path)
    assert "static/background_consistency is in one of leaderboard" in wrong(suite)["leaderboard/vbench.csv"]


def test_a_board_that_keeps_its_digests_and_changes_a_value_is_found(suite):
    path = suite / "leaderboard/vbench.csv"
    board = leaderboard.read(path)
    board.loc[0, ["value", "high"]] = [0.999, 0.9999]
    leaderboard.write(board, path)
    manifest_file = json.loads((suite / "manifest.json").read_text())
    manifest_file["files"]["leaderboard/vbench.csv"] = manifest.file_digest(path)
    manifest.write(manifest_file, suite / "manifest.json")
    (why,) = wrong(suite).values()
    assert "miga/subject_consistency: value is 0.999, the scores say" in why


def test_a_changed_sidecar_is_found(suite):
    path = suite / "sprites-unet/miga/p00/seed-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wall_seconds": 1.0}))
    assert {"sprites-unet/miga/p00/seed-0.json", "videos.parquet, read again"} <= set(wrong(suite))


def test_changed_scores_are_found(suite):
    table = scores.read(suite / "scores.parquet")
    table.loc[0, "value"] += 1e-6
    scores.write(table, suite / "scores.parquet")
    found = wrong(suite)
    assert {"scores.parquet", "leaderboard/vbench.csv", "tables/vbench.csv, recomputed"} <= set(found)
    assert "was computed from other scores" in found["leaderboard/vbench.csv"]


def test_another_video_under_a_name_is_found(suite):
    write_video(suite / "sprites-unet/miga/p00/seed-0.mp4", moving_square(48, 3, 64, 64))
    (suite / "sprites-unet/miga/p01/seed-0.mp4").unlink()
    assert wrong(suite) == {
        "sprites-unet/miga/p00/seed-0.mp4": "its frames are not those that its sidecar describes",
        "sprites-unet/miga/p01/seed-0.mp4": "no such file",
    }


def test_a_folder_without_manifest_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        list(manifest.verify(tmp_path))
