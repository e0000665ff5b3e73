"""The leaderboard: what it says, what fits its schema, and what does not merge."""

from __future__ import annotations

import numpy as np
import pytest

from eval import leaderboard
from eval.records import collect
from eval.vbench import STANDARD
from eval.vbench.cards import OVERALL
from tests.eval.conftest import MAIN, made_up_facts, made_up_scores


@pytest.fixture
def board(tmp_path, scores):
    facts = made_up_facts(tmp_path, scores)
    return leaderboard.build(scores, facts, "2026-01-31", MAIN, resamples=200)


def test_a_row_per_entry_and_metric(board, scores):
    assert len(board) == scores["entry"].nunique() * (len(STANDARD) + 1)
    row = board[(board["entry"] == "miga") & (board["metric"] == "overall")].iloc[0]
    assert (row["n"], row["total"], row["prompts"], row["frames"], row["control"]) == (24, 24, 12, 48, False)
    assert row["low"] <= row["value"] <= row["high"] and len(row["scores_sha256"]) == 64
    assert board.loc[board["entry"] == "static", "control"].all()


def test_a_written_board_reads_back(tmp_path, board):
    leaderboard.write(board, tmp_path / "board.csv")
    again = leaderboard.read(tmp_path / "board.csv")
    assert again.equals(board)


def test_unmeasured_is_empty_and_counted(tmp_path, scores):
    holes = scores.copy()
    holes.loc[holes["entry"] == "freelong", ["value", "reason"]] = [None, "unreadable"]
    board = leaderboard.build(holes, collect([]), "2026-01-31", [OVERALL], resamples=100)
    row = board[board["entry"] == "freelong"].iloc[0]
    assert row["value"] is None and (row["n"], row["total"]) == (0, 24)


@pytest.mark.parametrize(
    "column, value, sentence",
    [
        ("value", "high", r"b.csv, line 2: value is 'high', not float"),
        ("value", "1.5", r"line 2: subject_consistency is 1.5, outside its range 0 to 1"),
        ("value", "", r"line 2: a value goes with n > 0"),
        ("low", "0.999", r"line 2: the value .* is outside its own interval"),
        ("n", "1000", r"line 2: n = 1000 of 24"),
        ("control", "maybe", r"line 2: control is 'maybe', not bool"),
        ("protocol", "", r"line 2: protocol is empty"),
        ("value", "inf", r"line 2: value is 'inf', not float"),
        ("entry", "fifo_diffusion", r"fifo_diffusion/subject_consistency is there twice"),
    ],
)
def test_a_strangers_file_that_does_not_fit_is_told_where(tmp_path, board, column, value, sentence):
    leaderboard.write(board, tmp_path / "b.csv")
    lines = [line.split(",") for line in (tmp_path / "b.csv").read_text().splitlines()]
    lines[1][lines[0].index(column)] = value
    (tmp_path / "b.csv").write_text("\n".join(map(",".join, lines)))
    with pytest.raises(ValueError, match=sentence):
        leaderboard.read(tmp_path / "b.csv")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00\x01", 'a,"b\nc'])
def test_files_that_are_no_boards(tmp_path, text):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(ValueError, match=r"b\.csv"):
        leaderboard.read(tmp_path / "b.csv")


def test_merging_joins_machines_and_keeps_what_is_the_same(board):
    one, other = board[board["entry"] != "miga"], board[board["entry"] != "freelong"]
    merged = leaderboard.merge({"one": one, "other": other})
    assert sorted(map(tuple, merged[["entry", "metric"]].values)) == sorted(
        map(tuple, board[["entry", "metric"]].values)
    )


@pytest.mark.parametrize("column", ["suite", "protocol", "metric_version"])
def test_merging_refuses_to_mix(board, column):
    other = board[board["entry"] == "miga"].assign(**{column: "another"})
    with pytest.raises(ValueError, match=r"another \(other\)"):
        leaderboard.merge({"one": board[board["entry"] != "miga"], "other": other})


def test_merging_refuses_two_scores_for_one_row(board):
    with pytest.raises(ValueError, match=r"miga/subject_consistency: one, other have different scores"):
        leaderboard.merge({"one": board, "other": board.assign(scores_sha256="0" * 64)})


def test_the_digest_follows_the_values_and_not_the_order():
    scores = made_up_scores(3, 1)
    digest = leaderboard.digest(scores)
    assert digest == leaderboard.digest(scores.sample(frac=1, random_state=0))
    nudged = scores.copy()
    nudged.loc[7, "value"] = np.nextafter(nudged.loc[7, "value"], 1)
    assert digest != leaderboard.digest(nudged)


def test_every_column_is_documented():
    assert all(f"`{column.name}`" in leaderboard.describe() and column.meaning for column in leaderboard.SCHEMA)


def test_the_documentation_shows_the_schema(pytestconfig):
    assert leaderboard.describe() in (pytestconfig.rootpath / "docs/results.md").read_text()


def test_a_frozen_videos_cosine_may_round_above_one(board):
    row = board.index[board["metric"] == "subject_consistency"][0]
    board = board.astype(object)
    board.loc[row, ["value", "low", "high"]] = [1 + 6e-8, 1.0, 1.0]
    assert leaderboard.validate(board)["value"][row] == 1 + 6e-8
    board.loc[row, ["value", "high"]] = [1.001, 1.001]
    with pytest.raises(ValueError, match="outside its range"):
        leaderboard.validate(board)
