"""Constants by measurement: what is tried, what is kept, and how a choice is made."""

import json
import re

import pandas as pd
import pytest

from eval import plots
from eval.benchmark import Prompt
from eval.tables import to_markdown
from eval.vbench.lens import LENSES
from miga import commands, models
from miga.commands import tuning as tune
from miga.experiment.experiment import home
from miga.experiment.job import configure

METRICS = ("prompt_fidelity", "identity")
PROMPTS = [Prompt(id=f"p{i}", prompt=f"a {colour} circle moves left over a plain grey background")
           for i, colour in enumerate(("red", "blue"))]  # fmt: skip


def test_every_row_is_a_method_with_parameters_that_it_knows():
    for preset in tune.presets():
        rows = tune.trials(6, 16, preset)
        assert {row.sweep for row in rows} >= {"methods", "l_zig", "stride", "guidance", "unified"}
        for row in rows:
            configure(row.method, dict(row.params))


def test_rows_of_your_own_are_parameters_in_json():
    (row,) = tune.of_your_own(['{"m_guid": 3}'])
    assert (row.method, row.params) == ("miga", {"m_guid": 3})
    with pytest.raises(ValueError, match="--also m_guid=3: give MIGA's parameters as JSON"):
        tune.of_your_own(["m_guid=3"])


def test_a_run_that_was_stopped_resumes_and_a_row_that_does_not_fit_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "request", lambda job, model: job.model_dump(mode="json"))  # digests take seconds
    model = models.load("sprites-wan", num_levels=6, dtype="bf16")
    networks, said = LENSES.get("sprites").load(METRICS), []
    rows = [tune.Trial("a", "short", "miga", dict(reflection="off", unified_levels=1)),
            tune.Trial("a", "too far", "miga", dict(stride=9))]  # fmt: skip

    def measure(prompts):
        kept = tune.Measurements(tmp_path / "measured.jsonl")
        return tune.measure(model, rows, prompts, [1], 5, METRICS, networks, kept, said.append)

    measure(PROMPTS[:1])
    before = model.calls
    scores = measure(PROMPTS)
    spent = model.calls - before
    assert measure(PROMPTS).equals(scores) and model.calls - before == spent == before
    lines = [json.loads(line) for line in (tmp_path / "measured.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["p0", "p1"]
    assert scores[scores["metric"] == "calls_per_frame"]["value"].tolist() == [spent / 5] * 2
    assert "left out: stride=9 and m_guid=3 do not fit" in said[-1]
    (tmp_path / "measured.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="line 1: no measurement"):
        measure(PROMPTS)


def scores_of(**rows):
    """entry -> (score, calls per frame), for two prompts; the score is also what its windows see."""
    return pd.DataFrame(
        dict(base="b", entry=entry, prompt_id=prompt, seed=1, metric=metric, value=value)
        for entry, (score, calls) in rows.items()
        for prompt in ("p0", "p1")
        for metric, value in (
            ("identity", score),
            ("calls_per_frame", calls),
            ("cleaner_context", score),
            ("noise_span", None),
        )
    )


def test_the_best_may_cost_twice_the_reference():
    reference = {tune.REFERENCE.entry: (0.5, 6.0)}
    scores = scores_of(**reference, cheap=(0.6, 5.0), fair=(0.7, 12.0), dear=(0.9, 12.5))
    assert tune.best(scores, ["cheap", "fair", "dear"], ["identity"]) == "fair"
    assert tune.gain(scores, "fair", tune.REFERENCE.entry, ["identity"]).mean == pytest.approx(0.2)


def test_the_best_of_every_sweep_is_put_together():
    rows = [tune.Trial("l_zig", str(n), "miga", dict(preset="paper", reflection="off", l_zig=n)) for n in (1, 2)]
    rows.append(tune.Trial("guidance", "none", "miga", dict(preset="paper", reflection="off", guidance="none")))
    scores = scores_of(**{rows[0].entry: (0.5, 6.0), rows[1].entry: (0.6, 6.0), rows[2].entry: (0.4, 6.0)})
    chosen = tune.combined(scores, rows, ["identity"], "paper")
    assert chosen.params == dict(preset="paper", reflection="off", l_zig=2)


def test_tables_and_pictures(tmp_path):
    rows = [tune.Trial("stride", f"s = {n}", "miga", dict(stride=n)) for n in (1, 2, 3)]
    scores = scores_of(**{row.entry: (0.2 * n, 6.0) for n, row in enumerate(rows, 1)})
    (made,) = tune.tables(scores, rows, ["identity"], "paper", "2 prompts.")
    assert [row.words[1] for row in made.rows] == ["s = 1", "s = 2", "s = 3"]
    assert "| b | s = 2 | 40.00 [40.00, 40.00] | 6.0 [6.0, 6.0] |" in to_markdown(made)
    plots.ablation(made, tmp_path / "stride", ["identity"])
    svg, _ = plots.against([made], tmp_path / "by", "cleaner_context", ["identity"])
    assert "Identity (%), ρ = 1.00" in svg.read_text()
    plots.against([made], tmp_path / "none", "noise_span", ["identity"])  # windows of one level have none


def test_differences_are_paired_with_what_a_row_is_compared_with():
    paper = tune.Trial("methods", "paper", "miga", dict(preset="paper"))
    rows = [tune.REFERENCE, paper, tune.Trial("stride", "s = 2", "miga", dict(stride=2))]
    scores = scores_of(**{row.entry: (0.2 * n, 3.0 * n) for n, row in enumerate(rows, 1)})
    fifo, other = tune.differences(scores, rows, ["identity"], "paper")
    assert [table.name for table in (fifo, other)] == ["minus_FIFO-Diffusion", "minus_paper"]
    assert "| b | stride: s = 2 | 40.00 [40.00, 40.00] | 6.0 [6.0, 6.0] |" in to_markdown(fifo)
    assert [row.words[1] for row in other.rows] == ["methods: FIFO-Diffusion", "stride: s = 2"]
    assert "−20.00" in to_markdown(other)
    assert len(tune.differences(scores[scores["entry"] != paper.entry], rows, ["identity"], "paper")) == 1


def test_rows_of_your_own_alone(tmp_path):
    words = ["--plan", "--sweeps", "also", "--also", '{"m_guid": 3}', "--out", str(tmp_path)]
    assert commands.main(["tune", "sprites-wan", *words]) == 0
    assert list(pd.read_csv(tmp_path / "also.csv")["entry"]) == ['miga {"m_guid": 3}']
    assert {path.stem for path in tmp_path.glob("*.csv")} == {"methods", "also"}


def test_what_windows_see_follows_from_the_schedule_and_stands_in_the_page(capsys, tmp_path):
    words = ["--sweeps", "stride", "guidance", "--out", str(tmp_path)]
    assert commands.main(["tune", "sprites-wan", "--plan", *words]) == 0
    page = (home() / "docs" / "hyperparameters.md").read_text(encoding="utf-8")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| sprites-wan |")]
    assert len(rows) > 15 and not [row for row in rows if row not in page]
    strides = pd.read_csv(tmp_path / "stride.csv")
    assert strides["cleaner_context"].is_monotonic_increasing and strides["cleaner_context"][0] < 0.1
    assert strides["calls_per_frame"].is_monotonic_decreasing


@pytest.mark.parametrize(
    "words, message",
    [
        (["--prompts", "1"], "at least two --prompts"),
        (["--prompts", "4000"], "--prompts 4000: .*sprites_tune.yaml has 40"),
        (["--metrics", "identty"], "did you mean 'identity'"),
        (["--preset", "papr"], "did you mean 'paper'"),
        (["--sweeps", "guidence"], "did you mean 'guidance'"),
    ],
)
def test_what_cannot_be_is_one_sentence(words, message, capsys, tmp_path):
    assert commands.main(["tune", "sprites-wan", "--out", str(tmp_path), *words]) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
