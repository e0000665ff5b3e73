"""Votes as the page exports them: read, refused by sentence, and counted."""

from __future__ import annotations

import csv

import pytest

from eval import records
from eval.votes import Vote, read, wins
from miga.commands import main
from tests.eval.conftest import LABELS, made_up_scores, made_up_sidecars


def ballot(**changes):
    made = dict(
        suite="sprites", base="sprites-unet", prompt_id="p00", seed=0, left="miga", right="freelong",
        left_frames="cd" * 32, right_frames="", choice="left", voter="a", time="2026-01-02T03:04:05.678Z",
    )  # fmt: skip
    return made | changes


def file(path, *votes):
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, Vote.model_fields)
        writer.writeheader()
        writer.writerows(votes)
    return path


def test_wins_are_shares_of_prompts_with_intervals(tmp_path):
    rounds = [("p00", "left"), ("p00", "tie"), ("p01", "left"), ("p02", "right"), ("p03", "left")]
    cast = [ballot(prompt_id=id, choice=said, time=f"2026-01-02T03:04:0{i}Z") for i, (id, said) in enumerate(rounds)]
    table = wins(read([file(tmp_path / "a.csv", *cast)])).set_index("entry")
    assert table.loc["miga", ["votes", "won", "lost", "ties", "prompts"]].tolist() == [5, 3, 1, 1, 4]
    assert table.loc["miga", "share"] == pytest.approx((0.75 + 1 + 0 + 1) / 4)
    assert table.loc["miga", "low"] < table.loc["miga", "share"] < table.loc["miga", "high"]
    assert table["share"].sum() == pytest.approx(1) and list(table.index) == ["miga", "freelong"]


def test_a_vote_in_two_files_counts_once(tmp_path):
    files = [file(tmp_path / f"{name}.csv", ballot(), ballot(choice="tie")) for name in "ab"]
    assert len(read(files)) == 2


@pytest.mark.parametrize(
    ("vote", "sentence"),
    [
        (ballot(choice="Left"), "line 2: choice: "),
        (ballot(seed="one"), "line 2: seed: "),
        (ballot(time="yesterday"), "line 2: time: "),
        (ballot(right="miga"), "line 2: miga cannot win against itself"),
        (ballot(base="sprites-wan"), "has no video sprites-wan/miga/p00/seed-0.mp4"),
        (ballot(left_frames="ab" * 32), "other frames than"),
    ],
)
def test_what_is_no_vote_on_this_suite_is_a_sentence(tmp_path, capsys, vote, sentence):
    made_up_sidecars(tmp_path, made_up_scores(1, 1))
    path = file(tmp_path / "votes.csv", vote)
    assert main(["votes", str(path), "--suite", str(tmp_path / "sprites")]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


@pytest.mark.parametrize("text", ["", "a;b\n1;2\n", "\xff\xfe", ",".join(Vote.model_fields) + "\nsprites,1\n"])
def test_a_file_that_holds_no_votes_is_a_sentence(tmp_path, capsys, text):
    path = tmp_path / "votes.csv"
    path.write_bytes(text.encode("latin-1"))
    assert main(["votes", str(path)]) == 2 and str(path) in capsys.readouterr().err


def test_the_command_prints_labels_and_shares(tmp_path, capsys):
    facts = records.collect(made_up_sidecars(tmp_path, made_up_scores(2, 1)), LABELS)
    records.write(facts, tmp_path / "sprites/videos.parquet")
    path = file(tmp_path / "votes.csv", ballot(), ballot(prompt_id="p01", choice="tie"))
    assert main(["votes", str(path), "--suite", str(tmp_path / "sprites")]) == 0
    said = capsys.readouterr().out
    assert "2 votes under 1 name" in said and "FreeLong" in said and "75% [50%, 100%]" in said


def test_votes_on_two_suites_do_not_meet(tmp_path):
    with pytest.raises(ValueError, match="different suites"):
        read([file(tmp_path / "a.csv", ballot(), ballot(suite="paper"))])
