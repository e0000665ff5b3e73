"""Tables of strangers: boards that went through a spreadsheet or do not compare, manifests that say nothing."""

from __future__ import annotations

import csv
import io
import json

import pytest

from eval import leaderboard, votes
from eval.leaderboard import SCHEMA
from miga.commands import main
from tests.eval.conftest import MAIN, made_up_facts, made_up_scores


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    scores = made_up_scores(3, 1)
    facts = made_up_facts(tmp_path_factory.mktemp("videos"), scores)
    return leaderboard.build(scores, facts, "2026-01-31", MAIN, resamples=50)


@pytest.fixture(scope="module")
def text(board, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("board") / "b.csv"
    leaderboard.write(board, path)
    return path.read_text()


def edited(text: str, column: str, value: str, rows=slice(0, 1)) -> str:
    table = list(csv.DictReader(io.StringIO(text)))
    for row in table[rows]:
        row[column] = value
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def says(capsys, *words: object) -> tuple[int, str]:
    """Exit code and what a command said; a traceback is no answer."""
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.err


# what a spreadsheet makes of a cell: (column, cell, what is said)
CELLS = [
    ("low", "", "both ends"), ("high", "", "both ends"), ("low", "0.9999", "outside its own interval"),
    ("date", "31/01/2026", "YYYY-MM-DD"), ("date", "01/31/26", "YYYY-MM-DD"), ("date", "46053", "YYYY-MM-DD"),
    ("date", "2026-02-31", "YYYY-MM-DD"), ("date", "2026-01-31T00:00:00", "YYYY-MM-DD"),
    ("date", "20260131", "YYYY-MM-DD"), ("date", "２０２６-01-31", "YYYY-MM-DD"),
    ("n", "-1", "n = -1"), ("total", "-3", "of -3"), ("prompts", "-3", "of -3 prompts"),
    ("prompts", "900", "900 prompts"),
    ("frames", "-48", "-48 frames"), ("frames", "0", "0 frames"), ("n", "3.0", "int"), ("n", "３", "int"),
    ("n", "1_0", "int"),
    ("total", "99999999999999999999", "int"), ("n", "1e0", "int"), ("n", "03:00", "int"),
    ("value", "0,97", "float"), ("value", "nan", "float"), ("value", "#DIV/0!", "float"), ("value", "٠.٩", "float"),
    ("value", "1_0.5", "float"), ("value", "97%", "float"), ("value", "1e999", "float"), ("value", "-", "float"),
    ("scores_sha256", "3.00E+63", "sha256"), ("scores_sha256", "abc", "sha256"), ("weights_sha256", "G" * 64, "sha256"),
    ("params_sha256", "ab" * 33, "sha256"), ("weights_sha256", "AB" * 32, "sha256"), ("scores_sha256", "", "empty"),
    ("control", "WAHR", "bool"), ("port", "1", "bool"), ("higher_is_better", "False", "higher_is_better"),
    ("entry", " miga", "spaces"), ("base", "sprites\x07", "text"), ("suite", "sprites\n2", "text"),
    ("suite", "", "empty"),
    ("value", "=A1", "float"), ("value", "'0.97", "float"), ("n", "1,000", "int"), ("value", "0.97\u00a0", "float"),
    ("low", "\u22120.1", "float"), ("control", "yes", "bool"), ("date", "2026-1-31", "YYYY-MM-DD"),
    ("date", "0000-00-00", "YYYY-MM-DD"), ("value", "TRUE", "float"), ("n", "+2", "int"), ("n", " 2 ", "int"),
    ("label", "Di\u2028rect", "in one line"),  # "4 cells under 24 columns"
    ("label", "Di\x85rect", "in one line"), ("label", "y" * 200_000, "field larger"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "cell", "sentence"), CELLS)
def test_a_spreadsheets_cell_is_named_with_its_line(tmp_path, capsys, text, column, cell, sentence):
    (tmp_path / "b.csv").write_text(edited(text, column, cell, slice(2, 3)))
    code, said = says(capsys, "leaderboard", "validate", tmp_path / "b.csv")
    where = "b.csv: " if len(cell) > 1000 else f"b.csv, line {5 if chr(10) in cell else 4}"
    assert code == 2 and where in said and sentence in said and len(said.splitlines()) == 1


FILES = {
    "semicolons": (lambda text: text.replace(",", ";"), "separated by ';'"),
    "tabs": (lambda text: text.replace(",", "\t"), r"separated by '\t'"),
    "a cell more": (
        lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1),
        f"line 2: {len(SCHEMA) + 1} cells under {len(SCHEMA)}",
    ),
    "a cell less": (lambda text: text.rsplit(",", 1)[0], f"{len(SCHEMA) - 1} cells under {len(SCHEMA)} columns"),
    "an open quote": (lambda text: text + '"', "not a CSV file"),
    "a column twice": (lambda text: text.replace("suite,base", "suite,suite", 1), "column suite is there twice"),
    "empty rows below": (lambda text: text + "," * (len(SCHEMA) - 1) + "\n", "suite is empty"),
    "no head": (lambda text: text.split("\n", 1)[1], "there twice"),
    "another head": (lambda text: text.replace("suite,base", "Suite,base", 1), "is missing"),
    "nothing": (lambda text: "", "is missing"),
    "a title above the head": (
        lambda text: f"Mine{',' * (len(SCHEMA) - 1)}\n{text}",
        "column without a name is there twice",  # "column is there twice"
    ),
    "numbers of rows on the left": (
        lambda text: "".join(f"{i or ''},{line}" for i, line in enumerate(text.splitlines(keepends=True))),
        "column without a name is not in the schema",  # "column is not in the schema"
    ),
    "sep=, above": (lambda text: f"sep=,\n{text}", f"line 2: {len(SCHEMA)} cells under 2 columns"),
    "a sum below": (lambda text: text + f"Sum{',' * (len(SCHEMA) - 1)}\n", "base is empty"),
    "spaces in the head": (lambda text: text.replace("suite,base", "suite, base", 1), "column base is missing"),
    "two byte order marks": (lambda text: "\ufeff\ufeff" + text, "column suite is missing"),
    "single quotes": (lambda text: text.replace(",", "','"), "is missing"),
    "a zip, as .xlsx is": (lambda text: "PK\x03\x04" + "\0" * 100, "is missing"),
    "a web page": (lambda text: "<html><body>Sign in</body></html>", "is missing"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_another_form_are_a_sentence(tmp_path, capsys, text, name):
    change, sentence = FILES[name]
    (tmp_path / "b.csv").write_text(change(text))
    code, said = says(capsys, "leaderboard", "validate", tmp_path / "b.csv")
    assert code == 2 and "b.csv" in said and sentence in said


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_a_sentence(tmp_path, capsys, text, encoding):
    (tmp_path / "b.csv").write_bytes(edited(text, "label", "Café").encode(encoding))
    code, said = says(capsys, "leaderboard", "validate", tmp_path / "b.csv")
    assert code == 2 and "UTF-8" in said


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"), lambda text: text + "\n\n",
        lambda text: text.replace("True", "TRUE").replace("False", "FALSE"),
        lambda text: edited(text, "label", "Cafe\u0301, “x”"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "".join(f'"{line}"\n'.replace(",", '","') for line in text.splitlines()),
        lambda text: edited(text, "label", '=HYPERLINK("http://x","y")'),
        # these were no names before: a joiner, a mark of direction, a wide space
        lambda text: edited(text, "label", "👩\u200d🔬"), lambda text: edited(text, "label", "می\u200cخواهم"),
        lambda text: edited(text, "label", "א\u200f1"), lambda text: edited(text, "label", "方法\u3000一"),
    ],
)  # fmt: skip
def test_what_says_the_same_in_another_way_is_read(tmp_path, board, text, change):
    (tmp_path / "b.csv").write_text(change(text), newline="")
    assert leaderboard.read(tmp_path / "b.csv").drop(columns="label").equals(board.drop(columns="label"))


# --- votes that went through a spreadsheet ----------------------------------------------------------------------------

VOTE = dict(suite="s", base="b", prompt_id="p", seed="1", left="x", right="y", left_frames="", right_frames="",
            choice="left", voter="me", time="2026-01-31T10:00:00Z")  # fmt: skip
VOTES = [  # what is changed, in what is written -> what is said; S: taken before
    ({"seed": "1_0"}, None, "seed: must be as the page exports it"),  # S: as 10
    ({"seed": "1.0"}, None, "seed: must be as the page exports it"), ({"seed": "١"}, None, "seed: must be as"),
    ({"seed": "9" * 5000}, None, "seed: must be as"), ({"seed": ""}, None, "seed: must be as"),
    ({"time": "46053.4"}, None, "time: must be as"),  # S: as seconds after 1970
    ({"time": "1/31/2026 10:00"}, None, "time: must be as"), ({"time": "2026-01-31T10:00:00"}, None, "timezone"),
    ({"time": "2026-01-31 10:00"}, None, "time: must be as"), ({"choice": "Left"}, None, "choice"),
    ({}, lambda text: text.replace(",", ";"), "not votes as the page exports them"),
    ({}, lambda text: text.replace("\n", ",x\n"), "not votes as the page exports them"),
    ({}, lambda text: text + '"', "not a CSV file of votes"),
    ({}, lambda text: text + "," * 10 + "\n", "line 3: seed"),
    ({"voter": "y" * 200_000}, None, "not a CSV file of votes"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "written", "sentence"), VOTES)
def test_votes_that_went_through_a_spreadsheet_are_a_sentence(tmp_path, capsys, change, written, sentence):
    (tmp_path / "v.csv").write_text((written or str)(rows_of(VOTE | change)))
    code, said = says(capsys, "votes", tmp_path / "v.csv")
    assert code == 2 and "v.csv" in said and sentence in said and len(said.splitlines()) == 1


def rows_of(vote: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(vote), lineterminator="\n")
    writer.writeheader()
    writer.writerow(vote)
    return out.getvalue()


@pytest.mark.parametrize("prompt", ["a\nb", "a\u2028b", "a\x85b"])  # the line was cut there, or the break was lost
@pytest.mark.parametrize("change", [str, lambda text: "\ufeff" + text, lambda text: text + "\n\n"])
def test_votes_that_say_the_same_in_another_way_are_read(tmp_path, prompt, change):
    (tmp_path / "v.csv").write_text(change(rows_of(VOTE | {"prompt_id": prompt})), newline="")
    assert [vote.prompt_id for vote in votes.read([tmp_path / "v.csv"])] == [prompt]


# --- boards that do not compare ---------------------------------------------------------------------------------------

DIFFER = [
    ("weights_sha256", "f" * 64), ("frames", "96"), ("frames", "47"), ("protocol", "another"), ("metric_version", "9"),
    ("suite", "another"), ("total", "4"), ("method_version", "9"), ("weights_sha256", f"{'a' * 64}/{'f' * 64}"),
    ("scores_sha256", "0" * 64),
]  # fmt: skip


@pytest.mark.parametrize(("column", "cell"), DIFFER)
def test_boards_that_differ_do_not_merge(tmp_path, capsys, text, column, cell):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text(text)
    other.write_text(edited(text, column, cell, slice(None)))
    code, said = says(capsys, "leaderboard", "merge", one, other, "--out", tmp_path / "both.csv")
    assert code == 2 and "other.csv" in said and not (tmp_path / "both.csv").exists()
    assert column in said or "different scores" in said


def test_boards_that_point_the_other_way_do_not_merge(board):
    mine = board[(board["metric"] == "motion") & (board["entry"] == "miga")].assign(
        metric="of_my_own", higher_is_better=True
    )
    with pytest.raises(ValueError, match=r"different higher_is_better do not merge: True \(one\), False \(other\)"):
        leaderboard.merge({"one": mine, "other": mine.assign(higher_is_better=False, entry="x")})


def test_a_name_in_another_normal_form_is_the_same_name(board):
    one, other = (board[board["entry"] == "miga"].assign(entry=name) for name in ("caf\u00e9", "cafe\u0301"))
    assert len(leaderboard.merge({"one": one, "other": other})) == len(one)


def test_controls_may_be_shorter_and_weights_unknown(board):
    control = board[board["control"].astype(bool)].assign(frames=16, weights_sha256=None)
    whole = leaderboard.merge({"one": board[~board["control"].astype(bool)], "other": control})
    assert len(whole) == len(board)


# --- manifests --------------------------------------------------------------------------------------------------------

MANIFESTS = ["{}", "[]", "null", "3", '"x"', '{"files": []}', '{"files": {"a": 1}, "config": {}}', '{"files": {}}',
             '{"files": {}, "config": []}', '{"files": {}, "config": {"config": 3}}', "", "{", "\ufeff{}",
             '{"files": {}, "config": {"experiment": {"suite": []}}}']  # fmt: skip


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_that_is_none_is_a_sentence(tmp_path, capsys, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    code, said = says(capsys, "verify", tmp_path)
    assert code == 2 and "manifest.json" in said


def test_files_outside_of_the_results_are_not_looked_at(tmp_path, capsys):
    secret = tmp_path / "secret"
    secret.write_text("x")
    (tmp_path / "suite").mkdir()
    for name in ("../secret", str(secret)):
        (tmp_path / "suite/manifest.json").write_text(json.dumps({"files": {name: "0" * 64}, "config": {}}))
        code, said = says(capsys, "verify", tmp_path / "suite")
        assert code == 2 and "outside" in said
