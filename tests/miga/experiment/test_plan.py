"""The plan counts what a method asks of a base model, and says so before anything runs."""

import pandas as pd
import pytest
import yaml

from eval.benchmark import BENCHMARKS, Prompt, Shape
from miga import models
from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from miga.experiment import plan, scoring_cost
from miga.experiment.digest import ROOT
from miga.experiment.experiment import load_experiment
from miga.experiment.job import configure
from miga.experiment.suite import Base
from tests.miga.tiny_models import tiny_unet

OPTIONS = dict(num_levels=16, window=8)


@pytest.fixture
def directory(tmp_path):
    return tiny_unet(tmp_path / "tiny", **OPTIONS)


@pytest.fixture
def suite(tmp_path, directory):
    """A suite of its own base model, given as a directory."""
    text = yaml.safe_load((ROOT / "config/suites/sprites.yaml").read_text())
    text["bases"] = {"mine": {"model": str(directory), "seconds_per_call": 3.6, "without": ["riflex", "freeloc"]}}
    text |= {"ablations": [], "frames": 20, "seeds": [1]}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(text))
    return path


@pytest.mark.parametrize("entry", ["native_length", "fifo_diffusion", "miga-no-reflection", "miga-adaptive"])
def test_the_passes_are_those_of_the_real_model(entry, suite, directory):
    experiment = load_experiment(str(suite), ROOT)
    row = experiment.rows()[entry]
    model, method = models.load(directory), METHODS.get(row.method)
    list(method.generate(model, model.encode(["a"]), 20, method.config(**row.params), KeyedNoise(0), Trace()))
    cost = plan.cost_of(experiment, "mine", entry)
    assert cost.passes == cost.calls == [model.calls] * 2


def test_windows_that_go_on_from_decoded_ones_and_controls_without_a_network_are_counted(tmp_path):
    experiment = load_experiment("premise", ROOT)
    assert (
        plan.cost_of(experiment, "sprites-wan", "diffusion_forcing").passes == [2 * 16 * 3] * 2
    )  # 13 latents: three windows
    assert plan.cost_of(load_experiment("sprites", ROOT), "sprites-wan", "rendered").passes == [0, 0]


def test_what_reflection_searches_for_comes_on_top_of_the_least(suite, directory):
    experiment = load_experiment(str(suite), ROOT)
    searching, without = (plan.cost_of(experiment, "mine", entry) for entry in ("miga", "miga-no-reflection"))
    assert without.calls[0] == without.calls[1] == searching.calls[0] < searching.calls[1]
    assert searching.calls[0] < searching.expected(searching.calls) < searching.calls[1]


def test_a_plan_is_printed(suite, capsys, tmp_path):
    plan.plan(str(suite), results=tmp_path)
    lines = capsys.readouterr().out.splitlines()
    fifo = next(line.split() for line in lines if "fifo_diffusion" in line)
    videos, passes, hours = int(fifo[2]), float(fifo[3].replace(",", "")), float(fifo[4])
    assert hours == pytest.approx(passes * videos * 3.6 / 3600, abs=0.06)
    rows = lines[: next(i for i, line in enumerate(lines) if line.startswith("mine: "))]
    assert {len(line.split()) for line in rows if line.startswith("mine ")} == {6}  # one number for each
    assert lines[-1].startswith("in all ") and any("is expected to search" in line for line in lines)


def test_scoring_is_counted_network_by_network(suite):
    experiment = load_experiment(str(suite), ROOT)
    found = scoring_cost.sums(experiment, "mine", "sprites", Shape(20, 64, 64, 8))
    videos = sum(
        len(experiment.prompts_of(entry, "sprites")) for entry in experiment.entries if experiment.bases_of(entry)
    )
    reader, none = found["the sprites reader"], found["no network"]
    assert reader.videos == none.videos == videos and none.amount == 0
    assert reader.amount == pytest.approx(videos * 20 * 0.0586 / 1000)
    assert "subject_consistency" in reader.metrics and "repetition" in none.metrics
    assert [*reader.metrics, *none.metrics] != experiment.suite.benchmarks["sprites"].metrics
    assert {*reader.metrics, *none.metrics} == {*experiment.suite.benchmarks["sprites"].metrics}
    stories = scoring_cost.sums(experiment, "mine", "sprites-narrlv", Shape(20, 64, 64, 8))
    assert stories["reader"].unit == "questions" and stories["reader"].amount > stories["reader"].videos


def test_each_dimension_is_counted_on_its_own_prompts():
    paper = load_experiment("paper", ROOT)
    base, shape = next(iter(paper.suite.bases)), Shape(120, 320, 512, 10)
    plain, long = (scoring_cost.sums(paper, base, name, shape) for name in ("vbench", "vbench-long"))
    assert plain["CLIP ViT-B/32"].videos < plain["DINO ViT-B/16"].videos  # whose features drift reads everywhere
    assert plain["DINO ViT-B/16"].amount / plain["DINO ViT-B/16"].videos == pytest.approx(120 * 0.056, rel=0.02)
    assert long["MUSIQ"].amount > 0 and "MUSIQ" not in plain
    fused = BENCHMARKS.get("vbench-long-fused")
    settings = fused.settings(prompts="p.yaml", metrics=["subject_consistency", "background_consistency"])
    asked = Prompt(id="p", prompt="a", dimensions=["subject_consistency"])
    assert [work.by for work in fused.work(settings, asked, shape)] == ["DINO ViT-B/16", "DINOv2 ViT-B/14"]


def test_without_a_pace_hours_are_unknown(suite, capsys, tmp_path):
    text = yaml.safe_load(suite.read_text())
    del text["bases"]["mine"]["seconds_per_call"]
    suite.write_text(yaml.safe_dump(text))
    plan.plan(str(suite), results=tmp_path)
    out = capsys.readouterr().out
    assert "give --seconds-per-call" in out and "in all ? hours" in out and "nan" not in out


def test_a_call_on_more_frames_than_the_window_counts_as_several(suite):
    experiment = load_experiment(str(suite), ROOT)
    cost = plan.cost_of(experiment, "mine", "direct")
    assert cost.passes == [2 * 16 * 20 / 8] * 2  # guided, levels, windows
    assert cost.calls == [2 * 16] * 2


@pytest.fixture(scope="module")
def most_hours():
    """(base, entry) -> hours of a video of the suite `paper` where self-reflection searches whenever it judges."""
    paper = load_experiment("paper", ROOT)
    return {
        (base, entry): plan.cost_of(paper, base, entry).passes[1] * chosen.seconds_per_call / 3600
        for base, chosen in paper.suite.bases.items()
        for entry in paper.rows_of_all()
        if base in paper.bases_of(entry)
    }


def test_paper_lite_is_as_much_as_a_day_holds(most_hours):
    lite, paper = (load_experiment(name, ROOT) for name in ("paper-lite", "paper"))
    ((base, chosen),) = lite.suite.bases.items()
    assert lite.entries == paper.entries and lite.suite.frames == paper.suite.bases[base].frames
    assert chosen == paper.suite.bases[base].model_copy(update=dict(limits={}, frames=None))
    hours = sum(most_hours[base, entry] for entry in lite.entries)  # of one prompt
    assert {len(lite.videos_of(entry)) for entry in lite.entries} == {24 // hours}


def test_paper_is_what_a_lab_runs(most_hours):
    paper = load_experiment("paper", ROOT)
    hours = sum(hours * len(paper.videos_of(entry, base)) for (base, entry), hours in most_hours.items())
    assert 350 < hours <= 400


@pytest.mark.parametrize("base", ["sprites-unet", "sprites-wan"])
def test_attention_is_replaced_on_the_stand_in_too(base):
    """No method is counted by what it would call if it were another one."""
    sprites = load_experiment("sprites", ROOT)
    for entry in ("ultravico", "lvsa", "freenoise", "freelong", "freepca", "riflex", "freeloc"):
        if base in sprites.bases_of(entry):
            assert plan.cost_of(sprites, base, entry).calls == [2 * 16] * 2


# Of finished videos of rows that keep `delta`, run as in `sprites`: MIGA's on prompts 25 to 32, which no table has.
CALLS = {
    ("sprites-unet", "miga"): [474, 564, 564, 564, 564, 594, 654, 684],
    ("sprites-wan", "miga"): [312, 312, 312, 312, 312, 312, 312, 330],
    ("sprites-unet", "miga-dce"): [1214, 1214, 1244, 1274, 1364, 1394, 1394, 1424],
    ("sprites-wan", "miga-dce"): [560, 578, 614, 614, 614, 632, 632, 650],
}


@pytest.mark.parametrize("row", CALLS)
def test_what_was_run_is_what_is_planned_where_cost_depends_on_the_content(row):
    cost = plan.cost_of(load_experiment("sprites", ROOT), *row)
    assert cost.calls[0] <= min(CALLS[row]) and max(CALLS[row]) <= cost.calls[1]
    assert cost.expected(cost.calls) == pytest.approx(sum(CALLS[row]) / len(CALLS[row]), rel=0.05)


@pytest.mark.parametrize("suite", ["paper", "paper-full", "paper-lite", "sprites", "sprites-full"])
def test_every_row_of_every_ablation_starts_on_every_base_model_of_a_suite(suite):
    experiment = load_experiment(suite, ROOT)
    for name, base in experiment.suite.bases.items():
        model = plan.Blank(models.registry.get(base.model), base.params)
        for entry in (row for key, row in experiment.rows().items() if name in experiment.bases_of(key)):
            method, settings = configure(entry.method, entry.params)
            method.check(model, model.encode(["a"]), 48)
            assert method.generate(model, model.encode(["a"]), 48, settings, KeyedNoise(0), Trace()) is not None


def test_the_pace_is_of_passes_over_a_window_whatever_a_call_holds():
    """Ten calls over a video of three windows take as long as thirty over one."""
    seen = pd.DataFrame(
        dict(entry=["whole", "window", "gone"], model_calls=[10, 30, 7], wall_seconds=[6.0, 6.0, 900.0])
    )
    base = Base(model="videocrafter2", seconds_per_call=9)
    assert plan.pace_of(base, seen, {"whole": 3, "window": 1}) == (0.2, "measured")
    assert plan.pace_of(base, seen, {}) == plan.pace_of(base, seen[:0], {"whole": 3}) == (9, "the suite's")
