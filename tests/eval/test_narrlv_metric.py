"""The metric: by hand, against the recorded numbers of the released code, and its invariants."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.narrlv.metric import score, score_folder, score_suite, strict, substring
from eval.narrlv.suite import CATEGORIES
from miga.commands.narrlv import metric as command
from tests.parity import narrlv as parity

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "narrlv"
ACTION = "Main Target Action Evolution"


def votes(yes: int, no: int, other: int = 0) -> list[str]:
    return ["Yes."] * yes + ["No."] * no + ["maybe"] * other


def test_by_hand():
    scores = score(
        {
            "Scene Type": [votes(4, 1)],  # 0.8
            "Main Target Category": [votes(5, 0), votes(1, 4)],  # 0.6
            "Main Target Layout": [votes(2, 3)],  # 0.4
            f"{ACTION}_0": [votes(5, 0), votes(2, 3), votes(1, 4)],  # 1, 0.4, 0.2
            f"{ACTION}_1": [votes(3, 2), votes(4, 1)],  # 0.6; 0 since the third atom is not seen
            "Scene Anomaly Detection": [votes(1, 4)],  # 0.8 once turned round
            "Main Target Anomaly Detection": [votes(0, 4, 1)],  # 1
        },
        tna=3,
        q=3.0,
    )
    fid, cov, coh, present, q = (0.8 + 0.6 + 0.4 + 0.8 + 1) / 5, (1 + 0.4 + 0.2) / 3, 0.3, 2 / 3, 0.6
    assert scores.R_fid == pytest.approx((fid + q) / 2)
    assert scores.R_cov == pytest.approx((cov + q) / 2)
    assert scores.R_coh == pytest.approx((coh + q + present) / 3)
    assert scores.unparsable == pytest.approx(1 / 55) and scores.unanswered == 0


def test_the_papers_variant_has_no_aesthetics_and_another_threshold():
    asked = {f"{ACTION}_0": [votes(1, 3), votes(4, 1)], f"{ACTION}_1": [votes(5, 0)]}  # 0.25, 0.8
    released, paper = score(asked, 2, q=5.0), score(asked, 2, variant="paper")
    assert released.R_coh == pytest.approx((0 + 1 + 1) / 3)  # 0.25 is present, but below the gate of the change
    assert paper.R_coh == pytest.approx((0 + 0.5) / 2) and paper.R_cov == pytest.approx(0.525)
    assert math.isnan(paper.R_fid)
    without = score(asked, 2)
    assert all(map(math.isnan, (without.R_cov, without.R_coh)))


def test_layout_needs_scene_and_targets():
    asked = {"Scene Type": [votes(1, 4)], "Main Target Category": [votes(5, 0)], "Main Target Layout": [votes(5, 0)]}
    assert score(asked, 1, variant="paper").R_fid == pytest.approx((0.2 + 1 + 0) / 3)
    del asked["Main Target Category"]  # the rule is for prompts that have both
    assert score(asked, 1, variant="paper").R_fid == pytest.approx((0.2 + 1) / 2)


def test_more_or_fewer_occurrences_than_atoms():
    changes = {f"{ACTION}_1": [votes(5, 0)] * 3}
    many = score({f"{ACTION}_0": [votes(5, 0)] * 9, **changes}, 4, variant="paper")
    few = score({f"{ACTION}_0": [votes(5, 0), votes(0, 5)], **changes}, 4, variant="paper")
    assert many.R_coh == 1
    assert few.R_coh == pytest.approx((1 / 3 + 1 / 2) / 2)  # only the changes next to the unseen atom are gated
    two = score(
        {f"{ACTION}_0": [votes(5, 0)] * 4, "Main Target Attribute Evolution_0": [votes(0, 5)]}, 5, variant="paper"
    )
    assert two.R_cov == 0.5  # a mean of categories


ATTRIBUTE, SCENE = "Main Target Attribute Evolution", "Scene Attribute Evolution"
INTERACTION = "Interaction Evolution Between Main Targets"
SEEN, UNSEEN, DOUBTFUL = (
    votes(5, 0),
    votes(0, 5),
    votes(1, 3),
)  # 1; 0; 0.25 is present as released, not as the paper says
TWO = {f"{ATTRIBUTE}_0": [SEEN, UNSEEN], f"{ATTRIBUTE}_1": [SEEN], f"{ACTION}_0": [SEEN, SEEN], f"{ACTION}_1": [SEEN]}


@pytest.mark.parametrize(
    ("asked", "released", "paper"),  # (coverage, changes, present atoms)
    [
        # the action is gated, the attribute is not; the action stands last: its atoms are counted
        (TWO, (0.75, 1, 1), (0.75, 0.5, 0.75)),
        # in another order of the file the attribute's atoms are counted, and still the action is gated
        ({name: TWO[name] for name in reversed(TWO)}, (0.75, 1, 0.5), (0.75, 0.5, 0.75)),
        # the scene is looked for first, wherever it stands
        ({f"{ACTION}_0": [UNSEEN, SEEN], f"{ACTION}_1": [SEEN], f"{SCENE}_0": [SEEN, UNSEEN], f"{SCENE}_1": [SEEN]},
         (0.5, 0.5, 0.5), (0.5, 0, 0.5)),
        # the first factor that is found need not be the one whose changes are asked about
        ({f"{ACTION}_0": [SEEN, SEEN], f"{ATTRIBUTE}_0": [UNSEEN, SEEN, UNSEEN], f"{ATTRIBUTE}_1": [SEEN]},
         (2 / 3, 1, 1 / 3), (2 / 3, 0, 3 / 5)),
        # all three
        ({f"{SCENE}_0": [SEEN], f"{ATTRIBUTE}_0": [DOUBTFUL], f"{ACTION}_0": [UNSEEN], f"{SCENE}_1": [SEEN]},
         (1.25 / 3, 1, 0), (1.25 / 3, 1, 1 / 3)),
        # interactions are nothing to the released code
        ({f"{ACTION}_0": [DOUBTFUL], f"{ACTION}_1": [], f"{INTERACTION}_0": [SEEN], f"{INTERACTION}_1": [SEEN]},
         (0.25, math.nan, 1), (0.625, math.nan, 0.5)),
        # a change that is asked about without its atoms is not gated
        ({f"{ACTION}_1": [SEEN], f"{SCENE}_0": [UNSEEN]}, (0, 1, 0), (0, 1, 0)),
        ({f"{SCENE}_0": [SEEN, UNSEEN, SEEN], f"{SCENE}_1": [SEEN, SEEN]}, (2 / 3, 0, 2 / 3), (2 / 3, 0, 2 / 3)),
    ],
)  # fmt: skip
def test_where_several_things_evolve(asked, released, paper):
    for variant, (cov, coh, present) in (("released", released), ("paper", paper)):
        found = score(asked, 2, q=5.0, variant=variant)
        q = [1.0] * (variant == "released")
        for value, parts in ((found.R_cov, [cov, *q]), (found.R_coh, [coh, *q, present])):
            assert value == pytest.approx(sum(parts) / len(parts), nan_ok=True)


def test_with_one_atom_nothing_is_gated_and_its_presence_counts_for_nothing():
    found = score({**TWO, "Scene Type": [SEEN]}, 1, q=5.0)
    assert (found.R_cov, found.R_coh) == (pytest.approx((0.75 + 1) / 2), pytest.approx(1))


def test_the_released_code_reads_five_votes_and_skips_nulls():
    many = {f"{ACTION}_0": [["yes"] * 5 + ["no"] * 5, [None, "yes", "no", "yes", "yes", "no", "no"]]}
    assert score(many, 1, q=5.0).R_cov == pytest.approx((7 / 8 + 1) / 2)  # (1 + 3/4) / 2
    assert score(many, 1, variant="paper").R_cov == pytest.approx((1 / 2 + 3 / 6) / 2)
    assert score(many, 1, variant="paper").unparsable == 0
    assert score({f"{ACTION}_0": [[None] * 5, ["yes"]]}, 1, variant="paper").unanswered == 1


def test_the_released_code_loses_a_layout_that_nobody_asked_about():
    asked = {"Scene Type": [UNSEEN], "Main Target Category": [SEEN], "Scene Anomaly Detection": [UNSEEN]}
    assert score(asked, 1, q=5.0).R_fid == pytest.approx(((0 + 1 + 0 + 1) / 4 + 1) / 2)
    assert score(asked, 1, variant="paper").R_fid == pytest.approx((0 + 1 + 1) / 3)


def test_nothing_is_invented_for_what_was_not_answered():
    asked = {f"{ACTION}_0": [votes(0, 0, 5), votes(5, 0)], f"{ACTION}_1": [votes(5, 0)]}
    scores = score(asked, 2, variant="paper")
    assert (scores.R_cov, scores.R_coh, scores.unanswered, scores.unparsable) == (1, 1, 1, pytest.approx(1 / 3))
    assert math.isnan(score({f"{ACTION}_0": [[]]}, 2, variant="paper").R_cov)
    assert math.isnan(score({"Scene Type": [votes(5, 0)], "Main Target Category": []}, 2, variant="paper").R_fid)
    assert math.isnan(score({}, 2, variant="paper").unparsable)


def test_a_suite_skips_what_a_video_does_not_have():
    whole = score({"Scene Type": [votes(5, 0)], f"{ACTION}_0": [votes(5, 0)]}, 1, variant="paper")
    part = score({f"{ACTION}_0": [votes(0, 5)]}, 1, variant="paper")
    found = score_suite({"a": whole, "b": part})
    assert (found["videos"], found["R_fid"], found["R_cov"]) == (2, 1.0, 0.5)
    assert math.isnan(found["R_coh"]) and math.isnan(found["mean3"])
    assert score_suite({})["videos"] == 0 and math.isnan(score_suite({})["R_fid"])


@pytest.mark.parametrize(
    ("vote", "released", "whole"),
    [
        ("yes", True, True),
        ("YES!", True, True),
        ("No.", False, False),
        ("The answer is yes", True, True),
        ("Yes, I know it", False, True),
        ("It is not sure", False, None),
        ("I cannot tell", False, None),
        ("Yes, no deformation is seen", False, True),
        ("no, yes", False, False),
        ("either yes or no", False, None),
        ("eyes", True, None),
        ("maybe", None, None),
        ("", None, None),
        ("\ud800", None, None),
    ],
)
def test_parsers(vote, released, whole):
    assert (substring(vote), strict(vote)) == (released, whole)


VOTES = st.sampled_from(["Yes", "no.", "maybe", "I cannot tell", "The answer is yes", ""])
ANSWERS = st.dictionaries(st.sampled_from(CATEGORIES), st.lists(st.lists(VOTES, max_size=5), max_size=4))


@given(
    ANSWERS,
    st.integers(1, 6),
    st.floats(1, 5),
    st.sampled_from(["released", "paper"]),
    st.sampled_from(["released", "strict"]),
)
def test_scores_stay_in_range_and_do_not_depend_on_the_order_of_votes(answers, tna, q, variant, parser):
    scores = score(answers, tna, q, variant, parser)
    for value in (scores.R_fid, scores.R_cov, scores.R_coh, scores.unparsable):
        assert math.isnan(value) or 0 <= value <= 1 + 1e-12
    again = score({c: [q[::-1] for q in questions] for c, questions in answers.items()}, tna, q, variant, parser)
    assert repr(again) == repr(scores)


@given(ANSWERS, st.integers(2, 6))
def test_more_yes_to_a_unit_never_lowers_coverage(answers, tna):
    answers[f"{ACTION}_0"] = [["no", "yes"], ["no"]]
    more = {**answers, f"{ACTION}_0": [["yes", "yes"], ["no"]]}
    low, high = (score(a, tna, variant="paper") for a in (answers, more))
    assert math.isnan(low.R_cov) or high.R_cov >= low.R_cov
    assert math.isnan(low.R_coh) or high.R_coh >= low.R_coh


# --- files and the command --------------------------------------------------------------------------------------------


def put(folder: Path, votes: object, aesthetics: object = None, stem: str = "s_target_action_tna_2") -> Path:
    for name, data in (("answers", votes), ("aesthetics", aesthetics)):
        if data is not None:
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{stem}.json").write_text(json.dumps(data))
    return folder


ONE = {
    "1_0_video": {
        "prompt_gen": "",
        "qa_infor": {"Scene Type": [{"question": "?", "answer": ["yes", None]}], "Main Target Layout": None},
    }
}
Q = {"1_0_video": {"qalign_res": {"answer": [5.0]}}}


def test_reads_the_released_layout(tmp_path, capsys):
    put(tmp_path, ONE, Q)
    assert score_folder(tmp_path)["s_target_action_tna_2"]["1_0_video"].R_fid == 1
    (tmp_path / "answers").rename(tmp_path / "generated_answers")
    (tmp_path / "aesthetics").rename(tmp_path / "generated_answers_aes")
    command(tmp_path, json=True)
    found = json.loads(capsys.readouterr().out)["s_target_action_tna_2"]
    assert (found["videos"], found["R_fid"]) == (1, 1.0) and math.isnan(found["R_coh"])
    command(tmp_path, variant="paper", parser="strict")
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[1] == "R_fid" and line.split()[:3] == ["s_target_action_tna_2", "1", "1.0000"]


@pytest.mark.parametrize(
    ("votes", "aesthetics", "said"),
    [
        (None, None, "has no folder answers or generated_answers"),
        (ONE, None, "has no folder aesthetics"),
        (ONE, {}, "no aesthetic score of 1_0_video; the variant `paper` needs none"),
        (ONE, {"1_0_video": {"qalign_res": {}}}, "qalign_res"),
        (ONE, {"1_0_video": {"qalign_res": {"answer": ["bad"]}}}, "qalign_res"),
        ([], Q, "must be an object"),
        ({"1_0_video": {}}, Q, "1_0_video: qa_infor: must be an object"),
        ({"1_0_video": {"qa_infor": {"Scene": []}}}, Q, "unknown category 'Scene'"),
        ({"1_0_video": {"qa_infor": {"Scene Type": ["yes"]}}}, Q, "Scene Type: a question must have"),
        ({"1_0_video": {"qa_infor": {"Scene Type": 3}}}, Q, "Scene Type: must be a list"),
        ({"1_0_video": {"qa_infor": {"Scene Type": [{"answer": [3]}]}}}, Q, "Scene Type: a question must have"),
    ],
)  # fmt: skip
def test_wrong_files_are_named(tmp_path, votes, aesthetics, said):
    with pytest.raises(ValueError, match=said):
        score_folder(put(tmp_path, votes, aesthetics))


def test_wrong_names(tmp_path):
    with pytest.raises(ValueError, match="not the name of a NarrLV suite"):
        score_folder(put(tmp_path, ONE, Q, "answers_of_today"))
    with pytest.raises(ValueError, match="variant is one of released, paper"):
        score_folder(tmp_path, "papers")


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden sets are not beside the checkout")
def test_equals_the_released_code():
    cases = parity.cases(GOLDEN)
    checks = [check for case in cases for check in parity.replay(case, GOLDEN)]
    assert len(cases) >= 4 and len(checks) == 4 * len(cases)
    assert not [check for check in checks if not check.passed]
