"""Tables say what the long table says, in three formats, and refuse to mix what does not belong together."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace

import pandas as pd
import pytest

from eval import leaderboard, plots, tables
from eval.metric import card
from eval.vbench import STANDARD, VBENCH
from eval.vbench.benchmark import BENCHMARK
from eval.vbench.cards import OVERALL
from miga.experiment.experiment import load_experiment
from tests.eval.conftest import ENTRIES, LABELS, MAIN, made_up_facts, made_up_scores


@pytest.fixture
def facts(tmp_path, scores):
    return made_up_facts(tmp_path, scores)


@pytest.fixture
def table(scores, facts):
    return tables.comparison("vbench", "Made up", scores, facts, MAIN, resamples=500)


def test_csv_holds_means_intervals_and_counts(scores, table):
    frame = pd.read_csv(io.StringIO(tables.to_frame(table).to_csv(index=False))).set_index("entry")
    assert list(frame.index) == list(ENTRIES)
    for entry in ENTRIES:
        part = scores[scores["entry"] == entry]
        for metric in STANDARD:
            assert frame.loc[entry, metric] == pytest.approx(part.loc[part["metric"] == metric, "value"].mean())
            low, high = frame.loc[entry, [f"{metric}_low", f"{metric}_high"]]
            assert low <= frame.loc[entry, metric] <= high
        assert frame.loc[entry, "overall"] == pytest.approx(frame.loc[entry, list(VBENCH)].mean())
    assert frame.loc["static", "control"] and not frame.loc["miga", "control"]


def test_the_certain_best_is_bold_and_controls_never_are(table):
    best = {row.entry: {name for name, cell in row.cells.items() if cell.best} for row in table.rows}
    assert best["miga"] == {"background_consistency"}  # the others reward a video that freezes
    assert not best["static"] and not best["fifo_diffusion"]


def test_what_is_not_certain_is_not_bold(scores, facts):
    twin = scores[scores["entry"] == "miga"].assign(entry="twin")
    found = tables.comparison("t", "t", pd.concat([scores, twin]), facts, [OVERALL], resamples=500)
    assert not any(cell.best for row in found.rows for cell in row.cells.values())


def test_markdown_and_latex_show_the_same_numbers(table):
    markdown, latex = tables.to_markdown(table), tables.to_latex(table)
    for row in table.rows:
        for column in table.columns:
            shown = tables.number(row.cells[column.name].estimate.mean, column)
            assert shown in markdown and shown.replace("−", "$-$") in latex
    assert "24 of 24" in markdown and r"\textbf{" in latex and "*Static frame* (control)" in markdown


def test_labels_are_escaped(scores, facts):
    odd = facts.assign(label=facts["label"].replace("MIGA", r"M|I_G*A & 5% \x{}~^ <δ>"))
    found = tables.comparison("t", "t", scores, odd, [OVERALL], resamples=100)
    assert r"M\|I\_G\*A & 5% \\x{}~^ \<δ\>" in tables.to_markdown(found)
    escaped = r"M\textbar{}I\_G*A \& 5\% \textbackslash{}x\{\}\textasciitilde{}\textasciicircum{} "
    assert escaped + r"\textless{}$\delta$\textgreater{}" in tables.to_latex(found)


def test_titles_headings_and_notes_are_escaped(table):
    odd = replace(table.columns[0], label="my_metric <b>", short="my_metric")
    found = replace(table, title="5 % of a_b & c", notes=("R_fid",), columns=(odd, *table.columns[1:]))
    latex, markdown = tables.to_latex(found), tables.to_markdown(found)
    assert r"5 \% of a\_b \& c" in latex and r"R\_fid" in latex and r"& my\_metric $\uparrow$" in latex
    assert r"| my\_metric \<b\> (%) ↑" in markdown and r"R\_fid" in markdown


def test_suites_protocols_and_versions_do_not_meet(scores, facts):
    for column in ("suite", "protocol", "version"):
        mixed = scores.copy()
        mixed.loc[mixed.index[0], column] = "other"
        with pytest.raises(ValueError, match="other"):
            tables.comparison("t", "t", mixed, facts, MAIN)


def test_ablation_rows_have_their_own_words_and_order(scores, facts):
    words = {"fifo_diffusion": "neither", "miga": "TTA + DCE"}
    found = tables.comparison(
        "tta", "t", scores, facts, MAIN, entries=list(words), words=words, heading="Parts", resamples=100
    )
    assert [row.words[1] for row in found.rows] == ["neither", "TTA + DCE"]


def test_differences_are_bold_where_certain(scores, facts):
    found = tables.differences("d", "d", scores, facts, "miga", [OVERALL], resamples=500)
    assert [row.entry for row in found.rows] == [entry for entry in ENTRIES if entry != "miga"]
    gap = {row.entry: row.cells["overall"] for row in found.rows}
    assert gap["fifo_diffusion"].best and gap["fifo_diffusion"].estimate.mean > 0 > gap["static"].estimate.mean


def test_a_port_of_ours_is_marked_on_its_base_model_in_every_table_and_format(tmp_path):
    scores = made_up_scores(3, 1, bases=("sprites-unet", "sprites-wan"))
    facts = made_up_facts(tmp_path, scores)
    facts["port"] = (facts["base"] == "sprites-wan") & (facts["entry"] == "freelong")
    words, names = {"freelong": "all steps"}, ["miga", "freelong"]
    for found, name in (
        (tables.comparison("t", "t", scores, facts, [OVERALL], names, resamples=100), "FreeLong"),
        (tables.comparison("t", "t", scores, facts, [OVERALL], names, words, resamples=100), "all steps"),
        (tables.differences("t", "t", scores, facts, "miga", [OVERALL], names, resamples=100), "MIGA − FreeLong"),
        (tables.cost(facts, names), "FreeLong"),
    ):
        frame = tables.to_frame(found)
        assert frame.loc[frame["port"], ["base", "entry"]].to_numpy().tolist() == [["sprites-wan", "freelong"]]
        markdown, latex = tables.to_markdown(found), tables.to_latex(found)
        assert markdown.count(f"{name} †") == 1 and latex.count(r"\rlap{$^\dagger$}") == 1
        assert all("our port to this base model" in text for text in (markdown, latex))
    assert "†" not in tables.to_markdown(tables.cost(facts, ["miga"]))
    board = leaderboard.build(scores, facts, "2026-01-31", MAIN, resamples=100)
    assert set(board.loc[board["port"], "entry"] + board.loc[board["port"], "base"]) == {"freelongsprites-wan"}


def test_cost_comes_from_the_sidecars(facts):
    found = {row.entry: row for row in tables.cost(facts).rows}
    assert found["miga"].cells["calls_per_frame"].estimate.mean == 34
    assert found["miga"].words[2] == "yes" and found["freelong"].words[2] == "no"
    assert found["miga"].cells["seconds_per_frame"].estimate.mean == pytest.approx(1.3 + 0.5 / 48)


def test_costs_have_intervals_over_prompts_and_the_largest_peak(facts):
    cells = {row.entry: row for row in tables.cost(facts, resamples=200).rows}["miga"].cells
    spent = cells["seconds_per_frame"].estimate
    assert (spent.n, spent.total, spent.prompts) == (24, 24, 12) and spent.low <= spent.mean <= spent.high
    odd = facts.copy()
    odd.loc[0, "peak_memory_mb"] = 900
    assert tables.cost(odd, resamples=200).rows[0].cells["peak_memory_mb"].estimate.mean == 900


def test_what_was_not_run_and_what_is_our_port_is_marked(tmp_path):
    two = made_up_scores(4, 1, ("sprites-unet", "sprites-wan"))
    two = two[(two["base"] == "sprites-unet") | (two["entry"] != "static")]
    facts = made_up_facts(tmp_path, two)
    found = tables.comparison("t", "t", two, facts, MAIN, resamples=100)
    assert [row.entry for row in found.rows] == [*ENTRIES] * 2
    assert {(row.base, row.entry) for row in found.rows if row.port} == {
        ("sprites-wan", "fifo_diffusion"), ("sprites-wan", "freelong")
    }  # fmt: skip
    markdown, latex = tables.to_markdown(found), tables.to_latex(found)
    assert re.search(r"sprites-wan \| \*Static frame\* \(control\) (\| – )+\| not run \|", markdown)
    assert markdown.count(" † |") == 2 and "†: our port" in markdown and latex.count(r"\rlap{$^\dagger$}") == 2
    frame = tables.to_frame(found)
    assert frame["port"].sum() == 2 and pd.isna(frame[frame["overall_n"] == 0]["overall"].item())
    assert "†" not in tables.to_markdown(tables.comparison("t", "t", two[two["base"] == "sprites-unet"], facts, MAIN))


def test_videos_of_others_are_marked_everywhere_and_take_no_part_in_bold(tmp_path):
    two = made_up_scores(12, 2, ("sprites-unet", "sprites-wan"))
    given = two["entry"] == "miga"  # the best of them
    two = two[~given | (two["base"] == "sprites-wan") & (two["prompt_id"] < "p08")]
    facts = made_up_facts(tmp_path, two, labels=LABELS | {"miga": "LongLive (trained)"})
    facts.loc[facts["entry"] == "miga", "origin"] = "trained"
    found = tables.comparison("t", "t", two, facts, MAIN, resamples=500)
    rows = {(row.base, row.entry): row for row in found.rows}
    assert ("sprites-unet", "miga") not in rows and rows["sprites-wan", "miga"].words == ("–", "LongLive (trained)")
    assert not any(cell.best for cell in rows["sprites-wan", "miga"].cells.values())
    assert rows["sprites-wan", "freelong"].cells["background_consistency"].best  # the best of the others
    assert "| – | LongLive (trained) |" in (markdown := tables.to_markdown(found)) and "| 16 of 16 |" in markdown
    assert "videos that others made" in markdown
    assert set(tables.to_frame(found)["origin"]) == {"", "trained"}
    paired = tables.differences("t", "t", two, facts, "freelong", [OVERALL], resamples=200).rows
    gap = next(row for row in paired if row.entry == "miga")
    assert gap.words[1].endswith("− LongLive (trained)") and gap.cells["overall"].estimate.n == 16
    spent = {(row.base, row.entry): row for row in tables.cost(facts, resamples=200).rows}
    assert spent["sprites-wan", "miga"].words[:2] == ("–", "LongLive (trained)")
    board = leaderboard.build(two, facts, "2026-11-20", MAIN, resamples=200)
    assert set(board.loc[board["entry"] == "miga", "origin"]) == {"trained"}
    assert board.loc[board["entry"] != "miga", "origin"].isna().all()


def test_the_papers_numbers_stand_beside_ours(table):
    printed = {("sprites-unet", "miga"): {"subject_consistency": 97.66}}
    found = tables.with_paper(table, printed)
    ours = found.rows[0].cells["subject_consistency"].estimate.mean * 100
    assert f"(97.66, {ours - 97.66:+.2f}".replace("-", "−") in tables.to_markdown(found)
    line = next(line for line in tables.to_markdown(found).splitlines() if "FreeLong" in line)
    assert line.count("(–)") == 1  # in the one column that the paper prints
    assert tables.to_frame(found)["subject_consistency_paper"].iloc[0] == pytest.approx(0.9766)


def test_the_papers_file_says_what_table_1_and_3_say(pytestconfig):
    path = pytestconfig.rootpath / "config/paper_results.yaml"
    sections = tables.paper_numbers(path)
    printed = sections["vbench"]
    assert printed["videocrafter2", "miga"]["overall"] == 97.82 and len(printed) == 7
    for numbers in printed.values():
        assert sum(numbers[name] for name in VBENCH) / 4 == pytest.approx(numbers["overall"], abs=0.011)
    assert sections["ablation"]["videocrafter2", "miga-tta"]["subject_consistency"] == 96.74


def test_times_of_others_stand_beside_ours_with_their_source(pytestconfig, facts):
    path = pytestconfig.rootpath / "config/reference_results.yaml"
    printed, sources = tables.paper_numbers(path)["speed"], tables.paper_sources(path)
    assert printed["wan2.1-1.3b", "lvsa"] == {"seconds_165": 502, "seconds_249": 796, "seconds_333": 1021}
    lost = dict(base="wan2.1-1.3b", entry="lvsa", frames=333, seconds=None)
    measured = pd.DataFrame(
        [lost | dict(frames=165, seconds=3.0), lost, lost | dict(entry="miga", frames=165, seconds=4)]
    )
    table = tables.with_paper(tables.speed(measured, facts), printed, sources["speed"])
    assert [column.name for column in table.columns] == ["seconds_165", "seconds_333"]
    markdown = tables.to_markdown(table)
    assert "| wan2.1-1.3b | lvsa | 495.0 (502.0, −7.0) | – (1021.0, –) |" in markdown
    assert "| wan2.1-1.3b | MIGA | 660.0 (–) | – (–) |" in markdown
    assert "LongVideoSparseAttention" in markdown and "one A100 with 80 GB" in markdown


def test_what_others_printed_is_of_columns_and_rows_of_the_suite_that_shows_it(pytestconfig):
    suite = load_experiment("wan-4x", pytestconfig.rootpath)
    printed = tables.paper_numbers(pytestconfig.rootpath / suite.suite.paper)
    columns = {column.name for column in BENCHMARK.board(suite.suite.benchmarks["vbench"])}
    assert "overall" not in columns  # one of its parts is not measured there
    for (base, entry), numbers in printed["vbench"].items():
        assert base in suite.suite.bases and entry in suite.entries and numbers.keys() <= columns and len(numbers) == 6
    assert printed["speed"].keys() <= {(base, entry) for base, entry, _ in suite.lengths()}
    assert {f"seconds_{frames}" for frames in suite.suite.lengths.frames} == set(
        printed["speed"]["wan2.1-1.3b", "lvsa"]
    )


def test_missing_values_are_counted_and_a_missing_mean_is_a_dash(scores, facts):
    holes = scores.copy()
    lost = (holes["entry"] == "freelong") & (holes["metric"] == "drift")
    holes.loc[lost, ["value", "reason"]] = [None, "unreadable"]
    found = tables.comparison("t", "t", holes, facts, MAIN, resamples=100)
    line = next(line for line in tables.to_markdown(found).splitlines() if "FreeLong" in line)
    assert "| – | 24 of 24, 0 of 24 |" in line


def test_figures_are_written_and_the_same_twice(tmp_path, scores, facts, table):
    small = scores[scores["entry"].isin(["miga", "static"])]
    for name in ("first", "second"):
        plots.drift(small, facts, tmp_path / name / "drift")
        plots.ablation(replace(table, rows=table.rows[:3]), tmp_path / name / "ablation", ["overall"])
    for figure in ("drift.svg", "drift.png", "ablation.svg", "ablation.png"):
        first, second = (tmp_path / name / figure for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes() and first.stat().st_size > 5000


def test_time_is_in_seconds_of_each_base_model(tmp_path):
    two = made_up_scores(2, 1, ("sprites-unet", "sprites-wan"))
    facts = made_up_facts(tmp_path, two)
    facts.loc[facts["base"] == "sprites-wan", "fps"] = 16
    text = plots.drift(two, facts, tmp_path / "drift")[0].read_text()
    assert "time (s)" in text and all(base in text for base in ("sprites-unet", "sprites-wan"))
    facts.loc[facts.index[facts["base"] == "sprites-wan"][0], "fps"] = 8
    assert ">frame<" in plots.drift(two, facts, tmp_path / "drift")[0].read_text()


def test_looks_do_not_repeat(facts):
    many = pd.DataFrame({"entry": [f"e{i}" for i in range(30)]})
    found = plots.looks(many, facts).values()
    assert len({(look.colour, look.marker) for look in found}) == len({(look.colour, look.dashes) for look in found})
    assert len({(look.colour, look.marker) for look in found}) == 30


def test_every_figure_draws_every_entry(tmp_path, facts):
    scores = made_up_scores(4, 1, ("sprites-unet", "sprites-wan"))
    one = scores[scores["base"] == "sprites-unet"]
    for draw in (plots.reflection, plots.foresight):  # about videos, not entries
        assert "reflects" not in draw(one, facts[facts["entry"] == "miga"], tmp_path / draw.__name__)[0].read_text()
        assert "reflects" in draw(one, facts[facts["entry"] == "static"], tmp_path / draw.__name__)[0].read_text()
    assert "zigzag" in plots.levels(one, facts[facts["entry"] == "miga"], tmp_path / "levels")[0].read_text()
    assert "no method here" in plots.levels(one, facts[facts["entry"] == "static"], tmp_path / "none")[0].read_text()
    for draw in (plots.comparison, plots.consistency_motion, plots.cost_quality, plots.drift):
        svg, _ = draw(scores, facts, tmp_path / draw.__name__, columns=MAIN)
        text = svg.read_text()
        assert all(label in text for label, *_ in ENTRIES.values()), draw.__name__


def test_memory_and_time_against_length(tmp_path, scores, facts):
    rows = [("miga", 32, 90.0, 0.2), ("miga", 64, 91.0, 0.2), ("freelong", 32, 60.0, 0.1), ("freelong", 64, None, None)]
    measured = pd.DataFrame(
        [dict(base="sprites-unet", entry=e, frames=n, memory=m, seconds=s, reason=None) for e, n, m, s in rows]
    )
    svg, _ = plots.lengths(scores, facts, tmp_path / "lengths", list(ENTRIES), measured)
    text = svg.read_text()
    assert all(words in text for words in ("peak memory (MB)", "seconds per frame", "MIGA", "no memory for 64"))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex on this machine")
def test_latex_compiles_and_fits_the_page(tmp_path, table):
    rows = (replace(table.rows[0], words=("a_b", r"δ = 5 % \ {x} ~^ <|> − – × †"), port=True), *table.rows[1:])
    printed = {("sprites-unet", "miga"): {"subject_consistency": 97.66}}
    body = tables.to_latex(tables.with_paper(replace(table, rows=rows), printed))
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}"
    (tmp_path / "t.tex").write_text(rf"{head}\begin{{document}}{body}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0 and "Overfull" not in done.stdout, done.stdout


def with_native(scores, facts, repetition):
    """The same run with a sound control that moves and repeats as "miga" does, and repetition of every entry."""
    native = scores[scores["entry"] == "miga"].assign(entry="native", method="native")
    scores = pd.concat([scores, native], ignore_index=True)
    rows = scores[scores["metric"] == "motion"].assign(metric="repetition", value=0.02 * scores["seed"])
    rows.loc[rows["entry"] == "miga", "value"] += repetition
    own = facts[facts["entry"] == "miga"].assign(entry="native", label="Native", control=True, sound=True)
    return pd.concat([scores, rows], ignore_index=True), pd.concat([facts, own], ignore_index=True)


@pytest.mark.parametrize(
    "repetition, bold", [(0.0, {*VBENCH, OVERALL.name, "drift"}), (0.5, {"background_consistency"})]
)
def test_bold_needs_motion_and_repetition_like_a_sound_controls(tmp_path, repetition, bold):
    scores = made_up_scores()
    facts = made_up_facts(tmp_path, scores)
    table = tables.comparison("t", "T", *with_native(scores, facts, repetition), MAIN, resamples=200)
    (row,) = [row for row in table.rows if row.entry == "miga"]
    assert {name for name, cell in row.cells.items() if cell.best} == bold


def test_a_value_that_a_faulty_control_beats_names_it(table):
    cells = {row.entry: row.cells for row in table.rows}
    assert {cells["miga"][metric].beaten for metric in (*VBENCH, "drift")} == {"Static frame"}
    assert not any(cell.beaten for entry in ("static", "shuffled") for cell in cells[entry].values())
    assert cells["miga"]["motion"].beaten == ""
    assert "◁ Static frame</sub>" in tables.to_markdown(table) and r"\textcolor{gray}" in tables.to_latex(table)
    assert tables.to_frame(table).set_index("entry").loc["miga", "drift_beaten"] == "Static frame"


def test_a_metric_that_no_matrix_has_tried_ranks_nobody():
    assert not tables.may_rank(card("aesthetic_quality")) and tables.may_rank(card("repetition"))
    assert not tables.may_rank(card("R_cov"))  # a judge's answers, on which no fault has been tried
    assert tables.misleads(OVERALL) and not tables.misleads(card("identity"))
