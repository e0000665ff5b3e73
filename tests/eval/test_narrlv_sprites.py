"""Sprites-NarrLV: stories, questions by rule, the reader as the judge, from videos to the table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.narrlv.answers import Cache, Settings
from eval.narrlv.metric import score as metric
from eval.narrlv.metric import strict
from eval.narrlv.score import score_videos
from eval.narrlv.suite import ANOMALIES, FIRST_FRAME, Item
from eval.narrlv.table import table2
from eval.records import collect
from miga.sprites import reader, story, world
from miga.sprites.story import Seen, answer, item, motions, runs, stories
from miga.sprites.text import MAX_TOKENS, new_clip_tokenizer
from tests.eval.conftest import write_video

FRAMES = 48
STORIES = stories(4)  # as in the shipped prompts
OTHER = 13  # places from a story to one of another cell


def render(items: list[Item], seed: int = 3, captions: list[str] | None = None) -> world.Clips:
    return world.render([world.parse(text) for text in captions or [one.prompt for one in items]], FRAMES, seed)


def truth(clips: world.Clips, clip: int, frames: slice = slice(None)) -> Seen:
    """What a perfect reader would see."""
    names = {head: [values[i] for i in getattr(clips, head)[clip, frames]] for head, values in reader.HEADS.items()}
    return Seen(**names, motion=motions(clips.x[clip, frames], clips.y[clip, frames]))


def answers(told: Item, clips: world.Clips, clip: int, look=truth) -> dict[str, list[list[str]]]:
    """Votes as the driver collects them: first-frame categories see one frame."""
    first, whole = look(clips, clip, slice(0, 1)), look(clips, clip)
    return {
        category: [[answer(question, first if category in FIRST_FRAME else whole)] for question in questions]
        for category, questions in told.questions.items()
    }


def expected(told: Item) -> list[str]:
    """What holds of a video that tells the story."""
    return ["no" if category in ANOMALIES else "yes" for category, texts in told.questions.items() for _ in texts]


def flat(votes: dict[str, list[list[str]]]) -> list[str]:
    return [vote for questions in votes.values() for question in questions for vote in question]


def test_stories_cover_every_cell_and_are_all_different():
    assert len({one.prompt for one in STORIES}) == len({one.id for one in STORIES}) == 36
    cells = [(one.tna, one.factor) for one in STORIES]
    assert all(len(set(cells[start : start + 9])) == 9 for start in range(0, 36, 9))
    assert stories(2) == STORIES[:18] and stories(1, seed=1) != STORIES[:9]
    for one in STORIES:
        units, changes = (len(one.questions[c]) for c in one.questions if "Evolution" in c)
        assert (units, changes, len(one.atoms)) == (one.tna, one.tna - 1, one.tna)


def test_prompts_fit_the_text_tower():
    tokenizer = new_clip_tokenizer()
    assert max(len(tokenizer(one.prompt).input_ids) for one in stories(40)) <= MAX_TOKENS


def test_the_prompts_file_is_what_the_code_writes():
    path = Path(__file__).parents[2] / "config" / "prompts" / "sprites_narrlv.yaml"
    assert path.read_text() == story.prompts_file(4)


def test_an_item_comes_from_its_caption():
    text = "a large red circle moves left over a plain grey background, then it turns blue, then it turns green"
    found = item(text, "7")
    assert (found.suite, found.id, found.tna) == ("sprites_target_attribute_tna_3", "target_attribute_tna_3-7_0", 3)
    assert found.questions["Main Target Attribute Evolution_1"] == (
        "Does the circle turn from red to blue?", "Does the circle turn from blue to green?",
    )  # fmt: skip
    for wrong in ("a cat", text.split(",")[0], f"{text}, then it moves up"):
        with pytest.raises(ValueError):
            item(wrong)


def test_every_question_is_understood_and_no_other_is():
    seen = truth(render(STORIES[:1]), 0)
    asked = {question for one in stories(40) for texts in one.questions.values() for question in texts}
    assert len(asked) > 300 and {answer(question, seen) for question in asked} <= {"yes", "no"}
    for other in ("Is it a dog?", "Is the background nice?", "", "Does the scene feature a sphere?"):
        assert answer(other, seen) == story.UNSURE
    assert strict(story.UNSURE) is None


def test_the_rules_are_right_on_the_ground_truth():
    clips = render(STORIES)
    pairs = [pair for n, one in enumerate(STORIES)
             for pair in zip(flat(answers(one, clips, n)), expected(one), strict=True)]  # fmt: skip
    assert np.mean([found == wanted for found, wanted in pairs]) > 0.995


@pytest.mark.parametrize("tna", [2, 3, 4])
def test_a_video_that_stays_at_the_first_atom_scores_the_floor(tna):
    told = [one for one in STORIES if one.tna == tna]
    clips = render(told, captions=[one.atoms[0] for one in told])
    for n, one in enumerate(told):
        scores = metric(answers(one, clips, n), tna, variant="paper", parser="strict")
        assert scores.R_cov == pytest.approx(1 / tna) and scores.R_coh == pytest.approx(1 / tna / 2)


def test_a_video_of_another_story_scores_near_zero():
    clips = render(STORIES)
    found = [
        metric(answers(one, clips, (n + OTHER) % len(STORIES)), one.tna, variant="paper", parser="strict")
        for n, one in enumerate(STORIES)
    ]
    assert np.mean([scores.R_cov for scores in found]) < 0.15 and np.mean([scores.R_coh for scores in found]) < 0.08
    assert np.mean([scores.R_fid for scores in found]) < 0.45


def test_a_story_told_backwards_does_not_pass():
    """Its states occur, its changes do not."""

    def backwards(clips, clip, frames=slice(None)):
        return truth(clips, clip, slice(None, None, -1))

    told = [one for one in STORIES if one.factor == "target_attribute"]
    clips = render(told)
    for n, one in enumerate(told):
        votes = answers(one, clips, n, backwards)
        assert {vote for [vote] in votes["Main Target Attribute Evolution_1"]} == {"no"}
        assert {vote for [vote] in votes["Main Target Attribute Evolution_0"]} == {"yes"}


def test_motion_is_read_through_jitter_and_turns():
    rng = np.random.default_rng(0)
    told = [one for one in STORIES if one.factor == "target_action"]
    clips = render(told)
    clips.x, clips.y = (place + rng.normal(0, 0.3, place.shape) for place in (clips.x, clips.y))
    evolutions = [
        questions for n, one in enumerate(told) for c, questions in answers(one, clips, n).items() if "_" in c
    ]
    votes = [vote for questions in evolutions for [vote] in questions]
    assert np.mean([vote == "yes" for vote in votes]) > 0.97
    assert motions(np.zeros(FRAMES), np.zeros(FRAMES)) == ["still"] * 44
    assert motions(np.zeros(1), np.zeros(1)) == []


def test_short_flickers_are_no_segments():
    assert runs("aaaabbaaaacccc", 48) == ["a", "c"]
    assert runs(["a"], 1) == ["a"] and runs([], 0) == []


# --- with the reader --------------------------------------------------------------------------------------------------


def test_the_reader_answers_ground_truth_renders():
    """At least 98 % right: on videos of the story, and on videos of another one against the truth of their frames."""
    clips = render(STORIES, seed=11)
    read = reader.shipped_reader().read
    whole = [Seen.of(read(frames)) for frames in clips.frames]
    first = [Seen.of(read(frames[:1])) for frames in clips.frames]

    def look(clips, clip, frames=None):
        return first[clip] if frames else whole[clip]

    own = [(flat(answers(one, clips, n, look)), expected(one)) for n, one in enumerate(STORIES)]
    places = [(one, (n + OTHER) % len(STORIES)) for n, one in enumerate(STORIES)]
    other = [(flat(answers(one, clips, at, look)), flat(answers(one, clips, at))) for one, at in places]
    for votes in (own, other):
        right = [found == wanted for pair in votes for found, wanted in zip(*pair, strict=True)]
        assert len(right) > 300 and np.mean(right) >= 0.98


def test_from_videos_to_the_table(tmp_path):
    """A video that tells its story scores near one, one that ignores it the floor; a second run asks nothing."""
    told = STORIES[:9:4]  # each factor and number of atoms once
    shown = {"teller": [one.prompt for one in told], "ignorer": [one.atoms[0] for one in told]}
    paths = []
    for entry, captions in shown.items():
        for one, frames in zip(told, render(told, captions=captions).frames, strict=True):
            path = write_video(
                tmp_path / "sprites" / "base" / entry / one.id / "seed-0.mp4", frames.numpy(), pix_fmt="yuv420p"
            )
            sidecar = {"suite": "sprites", "base": "base", "entry": entry, "method": entry, "label": entry, "seed": 0,
                       "frames": FRAMES, "control": False}  # fmt: skip
            path.with_suffix(".json").write_text(json.dumps(sidecar))
            paths.append(path)

    def score():
        items = {one.id: item(one.prompt) for one in told}  # as the workflow has them: from the prompts alone
        cache = Cache(tmp_path / "cache")
        return score_videos(paths, items, story.ReaderJudge(), cache, Settings(frames=48, votes=1), "paper", "strict")

    table, answered = score()
    assert table["protocol"].str.startswith("narrlv/paper/strict/sprites-reader-").all() and len(answered) == 6
    means = table.pivot_table("value", "entry", "metric")
    assert means.loc["teller", ["R_fid", "R_cov", "R_coh"]].min() > 0.95
    assert means.loc["ignorer", "R_cov"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3, abs=0.02)
    assert means.loc["ignorer", "R_coh"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 6, abs=0.02)
    assert means["unparsable"].eq(0).all()
    facts = collect(path.with_suffix(".json") for path in paths)
    made = table2(table, facts, name="narrlv_sprites", title="Sprites-NarrLV")
    assert len(made.rows) == 10 and len(made.columns) == 4
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.json")}
    again, _ = score()
    assert again.equals(table) and files == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.json")
    }
