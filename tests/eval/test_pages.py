"""What a finished run says elsewhere: on a terminal, in the repository's pages, as a moving strip."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from eval import leaderboard, plots, quality, records, report, scores, tables
from eval.report import pages
from eval.strip import is_strip
from miga.commands import main
from tests.eval.conftest import ENTRIES, LABELS, MAIN, made_up_scores, made_up_sidecars

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    table = made_up_scores(8, 1, ("sprites-unet", "sprites-wan"), frames=6)
    folder, facts = root / "sprites", records.collect(made_up_sidecars(root, table), LABELS)
    scores.write(table, folder / "scores.parquet")
    records.write(facts, folder / "videos.parquet")
    common = dict(columns=MAIN, resamples=100)
    tables.write(tables.comparison("vbench", "Sprites: metrics", table, facts, **common), folder / "tables")
    paired = tables.differences("differences", "Sprites: paired differences", table, facts, "miga", **common)
    tables.write(paired, folder / "tables")
    plots.drift(table, facts, folder / "plots/drift")
    leaderboard.write(
        leaderboard.build(table, facts, "2026-01-02", MAIN, resamples=100), folder / "leaderboard/vbench.csv"
    )
    quality.write(quality.grade(table, facts), folder / "quality.json")
    report.write(folder, "Sprites", "", list(ENTRIES), ["vbench"])
    return folder


@pytest.fixture
def docs(suite, tmp_path):
    pages.write(suite, tmp_path, "Sprites", ["vbench"], "vbench", "abc", "2026-01-02")
    return tmp_path


def test_the_page_has_all_tables_and_says_where_they_are_from(suite, docs):
    page = (docs / "results-sprites.md").read_text()
    assert "at commit abc, 2026-01-02" in page and (docs / "pictures/results-sprites-drift.png").is_file()
    for name in ("vbench", "differences"):
        rows = [line for line in (suite / f"tables/{name}.md").read_text().splitlines() if line.startswith("|")]
        assert len(rows) > 6 and all(row in page for row in rows)
    assert page.index("## What was found\n\n- MIGA is better") < page.index("## Sprites: metrics")


def test_marked_blocks_are_made_again_and_the_rest_stays(docs):
    readme = docs / "README.md"
    before = "a\n<!-- results-sprites.csv: rows miga, static; columns overall, drift -->\n{}<!-- end -->\nb\n"
    readme.write_text(before.format("old | numbers\n") + "<!-- results-sprites.md: found -->\n<!-- end -->\n")
    pages.fill(readme, docs)
    once = readme.read_text()
    pages.fill(readme, docs)
    assert (
        readme.read_text() == once and "old" not in once and once.startswith("a\n<!--") and "<!-- end -->\nb\n" in once
    )
    assert (
        "\n| sprites-unet / sprites-wan | Overall (%) ↑ | Drift (%) ↓ |\n" in once and "\n- MIGA is better on" in once
    )
    values = pd.read_csv(docs / "results-sprites.csv").set_index(["base", "entry", "metric"])["value"]
    unet, wan = (100 * values[base, "miga", "overall"] for base in ("sprites-unet", "sprites-wan"))
    assert f"| MIGA | {unet:.2f} / {wan:.2f} | " in once and "| *Static frame* (control) | 100.00 / 100.00 |" in once


@pytest.mark.parametrize("asked", ["rows nobody; columns overall", "rows miga; columns beauty"])
def test_what_the_results_do_not_have_is_a_sentence(docs, asked):
    readme = docs / "README.md"
    readme.write_text(f"<!-- results-sprites.csv: {asked} -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match=r"results-sprites.csv: there is no (entry 'nobody'|metric 'beauty')"):
        pages.fill(readme, docs)


def test_what_the_readme_says_equals_the_results(tmp_path):
    """No number of the README is typed: its blocks are those that docs/results-*.md and .csv make, and the numbers of
    the table are those of the page's own table."""
    text = (ROOT / "README.md").read_text()
    (tmp_path / "README.md").write_text(text)
    pages.fill(tmp_path / "README.md", ROOT / "docs")
    assert (tmp_path / "README.md").read_text() == text, "run `make results`"
    for name in {found[2] for found in pages.BLOCK.finditer(text)}:
        page, numbers = (ROOT / f"docs/{name}.md").read_text(), pd.read_csv(ROOT / f"docs/{name}.csv")
        overall = numbers[numbers["metric"].eq("overall") & numbers["value"].notna()]
        for row in overall.itertuples():
            assert any(
                f"{100 * row.value:.2f}" in line and row.label in line and line.startswith(f"| {row.base} ")
                for line in page.splitlines()
            )


def test_a_run_ends_with_ten_lines(suite, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ending.py", str(suite)])
    runpy.run_path(str(ROOT / "workflow/ending.py"), run_name="__main__")
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert 6 <= len(lines) <= 10 and max(map(len, lines[:-2])) < 120 and "\033" not in said
    assert lines[0] == "Sprites: 80 videos on sprites-unet / sprites-wan" and lines[2].startswith("MIGA ")
    assert lines[-2] == f"Page: {suite}/report/index.html" and lines[-1].startswith("To open it: ")


def test_the_strip_moves_and_is_small(tmp_path, capsys, monkeypatch):
    table = made_up_scores(1, 1)
    table = table[table["entry"].isin(["miga", "freelong"])]
    monkeypatch.setattr("eval.strip.DPI", 40)
    folder = tmp_path / "sprites"
    records.write(records.collect(made_up_sidecars(tmp_path, table, videos=True), LABELS), folder / "videos.parquet")
    scores.write(table, folder / "scores.parquet")
    out = tmp_path / "strip.webp"
    assert main(["strip", str(folder), "--entries", "miga", "freelong", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.n_frames == 48 and out.stat().st_size < 2e6
        first, last = (picture.seek(frame) or picture.convert("RGB").tobytes() for frame in (0, 47))
    assert first != last
    assert main(["strip", str(folder), "--entries", "mega", "--out", str(out)]) == 2
    assert "unknown entry of" in capsys.readouterr().err and out.stat().st_size
    mine, stills = tmp_path / "mine.webp", [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    stills[0].save(mine, save_all=True, append_images=stills[1:])
    before = mine.read_bytes()
    assert main(["strip", str(folder), "--out", str(mine)]) == 2 and mine.read_bytes() == before
    assert is_strip(out) and is_strip(ROOT / "docs/pictures/strip.webp") and not is_strip(mine)
