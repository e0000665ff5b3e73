"""How many prompts a claim takes: against simulated tests, and what the command says of the suite `paper`."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from miga.experiment import plan
from miga.experiment.digest import ROOT
from miga.experiment.experiment import load_experiment
from miga.experiment.power import METRIC, METRICS, SEEN, Claim, chance, claims, needed, prompts_on, report, spread_of


@pytest.fixture(scope="module")
def paper():
    return load_experiment("paper", ROOT)


@pytest.mark.parametrize(("points", "spread"), [(0.77, 1.45), (2.0, 1.0), (1.0, 4.0)])
def test_so_many_prompts_show_it_four_times_of_five(points, spread):
    prompts = needed(points, spread)
    drawn = np.random.default_rng(0).normal(points, spread, (10_000, prompts))
    seen = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean()
    assert seen == pytest.approx(chance(points, spread, prompts), abs=0.02)
    assert chance(points, spread, prompts - 1) < SEEN <= chance(points, spread, prompts)


def test_what_nobody_can_see_takes_no_number_of_prompts():
    assert needed(0.0, 1.0) is None


def test_claims_are_the_papers_of_the_rows_that_the_suite_has(paper):
    found = {(claim.base, claim.entry): claim.points for claim in claims(paper)}
    assert found["videocrafter2", "miga-tta"] == pytest.approx(97.82 - 97.05)
    assert found["wan2.1-1.3b", "fifo_diffusion"] == pytest.approx(97.24 - 95.29)
    assert ("wan2.1-1.3b", "miga-tta") not in found


def test_the_suite_paper_shows_every_difference_that_its_paper_claims(paper):
    for claim in claims(paper):
        assert needed(claim.points, paper.suite.spread) <= prompts_on(paper, claim.base, METRICS.get(METRIC)), claim


def test_the_spread_is_that_of_the_first_scores(paper):
    metric, rng = METRICS.get(METRIC), np.random.default_rng(0)
    rows = [
        dict(base="b", entry=entry, prompt_id=f"{part}-{n}", seed=0, metric=part,
             value=0.9 + 0.01 * (entry == "miga") + (entry == "miga") * rng.normal(0, 0.04))
        for part in metric.parts for n in range(40) for entry in ("miga", "other")
    ]  # fmt: skip
    found = spread_of(pd.DataFrame(rows), Claim("b", "other", 1.0), "miga", metric)
    assert found == pytest.approx(4 / np.sqrt(len(metric.parts)), rel=0.2)  # four dimensions of their own prompts
    assert spread_of(pd.DataFrame(rows[:12]), Claim("b", "other", 1.0), "miga", metric) is None


def test_the_page_has_what_the_command_says(paper, capsys, tmp_path):
    plan.plan("paper", power=True, results=tmp_path)
    said = capsys.readouterr().out.split("\n", 1)[1]
    assert said == (ROOT / "docs/power.md").read_text().split("```\n")[1].split("\n", 2)[2]


def test_without_claims_or_spread_a_sentence_says_so(paper, tmp_path):
    with pytest.raises(ValueError, match="no paper claims a difference"):
        list(report(load_experiment("sprites", ROOT), tmp_path))
    bare = paper.model_copy(update=dict(suite=paper.suite.model_copy(update=dict(spread=None))))
    with pytest.raises(ValueError, match="give it `spread`"):
        list(report(bare, tmp_path))
