"""Jobs of a size: as many videos as fit into it by the plan."""

import pytest

from miga.experiment import plan
from miga.experiment.digest import ROOT
from miga.experiment.experiment import load_experiment
from miga.experiment.passes import LOADING, SPARE, UNKNOWN, Passes


@pytest.fixture(scope="module")
def lite():
    return load_experiment("paper-lite", ROOT)


@pytest.fixture
def passes(lite, tmp_path):
    return Passes(lite, tmp_path / "passes.json")


def test_they_are_those_of_the_plan_and_counted_once(lite, passes, monkeypatch):
    counted = tuple(plan.cost_of(lite, "videocrafter2", "fifo_diffusion").passes)
    assert passes["videocrafter2", "fifo_diffusion"] == counted
    monkeypatch.setattr(plan, "cost_of", lambda *which: pytest.fail("counted again"))
    assert Passes(lite, passes.file)["videocrafter2", "fifo_diffusion"] == counted


def test_a_job_of_two_hours_holds_what_fits_at_the_suites_pace(lite, passes):
    bases = lite.suite.bases | {"videocrafter2": lite.suite.bases["videocrafter2"].model_copy()}
    suite = lite.suite.model_copy(update=dict(bases=bases, shard=1000))
    passes.experiment = lite.model_copy(update=dict(suite=suite))
    which = ("videocrafter2", "fifo_diffusion")
    each = passes[which][0] * bases["videocrafter2"].seconds_per_call / 3600
    for hours in (each * 1.01, 2, 24):
        size = passes.videos_of_a_job(*which, hours)
        assert hours / 2 < size * each <= hours
    assert passes.videos_of_a_job(*which, each / 9) == 1
    assert passes.minutes(*which, 4) == pytest.approx(LOADING + SPARE * 4 * each * 60, abs=1)


def test_without_a_pace_a_job_is_as_the_suite_says(tmp_path):
    sprites = load_experiment("sprites", ROOT)
    passes = Passes(sprites, tmp_path / "passes.json")
    assert passes.videos_of_a_job("sprites-unet", "miga", 2) == sprites.suite.shard
    assert passes.minutes("sprites-unet", "miga", 8) == UNKNOWN and not passes.file.exists()


def test_what_a_shard_holds_does_not_depend_on_how_many_prompts_and_seeds_there_are():
    few, many = (load_experiment("sprites", ROOT, limit) for limit in (3, 8))
    of_few, of_many = few.shards_of("miga", 2), many.shards_of("miga", 2)
    assert all(of_many[name][: len(videos)] == videos for name, videos in of_few.items())


def test_what_has_not_been_counted_is_not_known(lite, passes):
    which = ("videocrafter2", "fifo_diffusion")
    assert passes.known(*which) == 0
    _, most = passes[which]
    assert passes.known(*which) == most > 0
