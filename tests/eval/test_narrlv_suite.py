"""Suites: irregular files, filters, fetching; questions for prompts of one's own."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from pathlib import Path

import pytest

from eval.narrlv import suite
from eval.narrlv.answers import Cache
from eval.narrlv.judges import Server
from eval.narrlv.questions import SAMPLING, Told, check, generate
from eval.narrlv.suite import CATEGORIES, FIRST_FRAME, factor_and_tna, fetch, load, prompts, read_suite, write_suite
from miga.commands import main
from tests.eval.narrlv_server import Play, says

RELEASED = Path(__file__).parents[3] / "shared" / "data" / "narrlv"


def entry(**changes) -> dict:
    questions = {
        "Scene Type": ["A garden?"],
        "Main Target Action Evolution_0": ["Sits?", "Runs?"],
        "Main Target Layout": None,
    }
    return {
        "prompt_gen": "A dog sits, then runs.",
        "prompt_gen_list_extract": ["A dog sits.", "It runs."],
        "element_extract": {"Initial Scene Attributes": ["odd", "list"], "Scene Attribute Evolution": None},
        "auto_gen_question": questions,
        **changes,
    }


def put(folder: Path, scenes, stem: str = "prompt_suit_v4_target_action_tna_2") -> Path:
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(scenes))
    return path


def test_reads_typed_items(tmp_path):
    first, second, third = read_suite(put(tmp_path, {"15": [entry(), entry()], "7": [entry()]}))
    assert (first.factor, first.tna, first.key, second.key, third.key) == ("target_action", 2, "15_0", "15_1", "7_0")
    assert first.id == "target_action_tna_2-15_0"
    assert first.atoms == ("A dog sits.", "It runs.")
    assert first.questions == {"Scene Type": ("A garden?",), "Main Target Action Evolution_0": ("Sits?", "Runs?")}


def test_irregular_entries(tmp_path):
    fenced = entry(prompt_gen="```text\nA dog sits.\n```\n")
    odd = entry(auto_gen_question={"Main Target Category": [], "Main Target Attribute Evolution_0": ["1?"] * 9,
                                   "Scene Attribute Evolution_0": ["x?"], "Scene Type": None})  # fmt: skip
    a, b = read_suite(put(tmp_path, {"1": [fenced, odd]}))
    assert a.prompt == "A dog sits."
    assert b.questions["Main Target Category"] == () and len(b.questions["Main Target Attribute Evolution_0"]) == 9
    assert "Scene Type" not in b.questions


@pytest.mark.parametrize(
    ("scenes", "said"),
    [
        ([], "must be an object"),
        ({"1": entry()}, "scene 1.*must be a list"),
        ({"1": ["text"]}, "1_0.*must be an object"),
        ({"1": [entry(prompt_gen=None)]}, "1_0: prompt_gen.*text"),
        ({"1": [entry(prompt_gen="``` ```")]}, "1_0: prompt_gen is empty"),
        ({"1": [entry(), entry(auto_gen_question={"Scene Tipe": ["?"]})]}, "1_1.*'Scene Tipe'"),
        ({"1": [entry(auto_gen_question={"Scene Type": ["a?", 3]})]}, "Scene Type.*text"),
        ({"1": [entry(auto_gen_question={"Scene Type": "a?"})]}, "Scene Type.*list"),
        ({"1": [entry(auto_gen_question={"Scene Type": None})]}, "no questions"),
        ({"1": [entry(auto_gen_question=None)]}, "must be an object"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(tmp_path, scenes, said):
    with pytest.raises(ValueError, match=rf"prompt_suit_v4_target_action_tna_2\.json.*{said}"):
        read_suite(put(tmp_path, scenes))


def test_files_that_are_no_suites(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_suite(tmp_path / "x_target_action_tna_2.json")
    (tmp_path / "x_target_action_tna_2.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        read_suite(tmp_path / "x_target_action_tna_2.json")
    with pytest.raises(ValueError, match="not the name of a NarrLV suite"):
        factor_and_tna("target_acting_tna_2")


def test_filters_and_limit(tmp_path):
    for factor, n in (("scene_attribute", 1), ("scene_attribute", 2), ("target_action", 2)):
        put(tmp_path, {"2": [entry()], "1": [entry(), entry()]}, f"s_{factor}_tna_{n}")
    assert len(load(tmp_path)) == 9
    assert len(load(tmp_path, limit=2)) == 6
    assert [item.id for item in load(tmp_path, ["target_action"], [2, 5], limit=1)] == ["target_action_tna_2-2_0"]
    with pytest.raises(ValueError, match="unknown factor action"):
        load(tmp_path, ["action"])
    with pytest.raises(ValueError, match="narrlv fetch"):
        load(tmp_path, tnas=[6])


def test_writes_what_it_reads(tmp_path):
    items = read_suite(put(tmp_path, {"15": [entry(), entry()], "7": [entry()]}))
    write_suite(items, tmp_path / "again" / "prompt_suit_v4_target_action_tna_2.json")
    assert read_suite(tmp_path / "again" / "prompt_suit_v4_target_action_tna_2.json") == items


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released suites are not beside the checkout")
def test_the_released_suites():
    items = load(RELEASED)
    questions = [(category, len(texts)) for item in items for category, texts in item.questions.items()]
    assert len(items) == len({item.id for item in items}) == 360
    assert sum(count for _, count in questions) == 4978
    assert sum(count for category, count in questions if category in FIRST_FRAME) == 1711
    assert not any("```" in item.prompt for item in items)
    assert all(set(item.questions) <= set(CATEGORIES) for item in items)
    assert len(load(RELEASED, tnas=[2, 3, 4])) == 180


def test_prompts_come_cell_by_cell_and_ids_are_known_before_the_prompts(tmp_path):
    known = prompts(tmp_path / "absent", [2, 3, 4])
    assert len(known) == 180 and len(prompts(tmp_path / "absent")) == 360 and set(known.values()) == {None}
    assert len({id.partition("-")[0] for id in list(known)[:9]}) == 9
    for factor in ("scene_attribute", "target_action"):
        put(tmp_path, {"2": [entry(), entry()]}, f"s_{factor}_tna_2")
    assert list(prompts(tmp_path, [2])) == [
        "scene_attribute_tna_2-2_0", "target_action_tna_2-2_0", "scene_attribute_tna_2-2_1", "target_action_tna_2-2_1",
    ]  # fmt: skip
    assert set(prompts(tmp_path).values()) == {"A dog sits, then runs."}


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released suites are not beside the checkout")
def test_the_ids_known_before_are_those_of_the_suites(tmp_path):
    assert list(prompts(tmp_path / "absent")) == list(prompts(RELEASED))


# --- fetching ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A server of two files, and their checksums in place of the benchmark's."""
    root = tmp_path / "served"
    (root / "resource" / "prompt_suite").mkdir(parents=True)
    (root / "LICENSE").write_text("Apache")
    name = "prompt_suit_v4_target_action_tna_2.json"
    put(root / "resource" / "prompt_suite", {"1": [entry()]})
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}
    (tmp_path / "checksums.txt").write_text("".join(f"{checksum}  {name}\n" for name, checksum in sums.items()))
    monkeypatch.setattr(suite, "__file__", str(tmp_path / "suite.py"))

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", root / "resource" / "prompt_suite" / name
    server.shutdown()
    server.server_close()


def test_fetches_once_and_verifies(tmp_path, files):
    source, served = files
    paths = fetch(tmp_path / "here", source)
    assert sorted(path.name for path in paths) == ["LICENSE", served.name] and load(tmp_path / "here")
    served.write_text("{}")
    assert fetch(tmp_path / "here", source) == paths  # what is there is not fetched again
    (tmp_path / "here" / served.name).write_text("{} ")
    with pytest.raises(ValueError, match="not the benchmark's file"):
        fetch(tmp_path / "here", source)


def test_another_content_or_no_network_writes_nothing(tmp_path, files):
    source, served = files
    served.write_text("{}")
    with pytest.raises(ValueError, match="another prompt_suit_v4_target_action_tna_2"):
        fetch(tmp_path / "here", source)
    with pytest.raises(ValueError, match="cannot be fetched"):
        fetch(tmp_path / "here", source + "elsewhere/")
    assert not list((tmp_path / "here").rglob("*.json"))


@pytest.mark.skipif(not RELEASED.is_dir(), reason="the released suites are not beside the checkout")
def test_the_checksums_are_those_of_the_released_files():
    lines = (Path(suite.__file__).parent / "checksums.txt").read_text().splitlines()
    assert len(lines) == 19
    for checksum, name in map(str.split, lines):
        assert hashlib.sha256((RELEASED / name).read_bytes()).hexdigest() == checksum


# --- questions for prompts of one's own -------------------------------------------------------------------------------

TOLD = Told("A {red} dog sits, then runs.", "target_action", 2)
GOOD = {
    "atoms": ["A dog sits.", "The dog runs."],
    "questions": {
        "Scene Type": ["Is it a garden?"],
        "Main Target Category": ["Is there a dog?"],
        "Initial Scene Attributes": [],
        "Main Target Layout": ["Is the dog in the middle?"],
        "Main Target Action Evolution_0": ["Does a dog sit?", "Does a dog run?"],
        "Main Target Action Evolution_1": ["Does the dog go from sitting to running?"],
        "Scene Anomaly Detection": ["Does the garden deform?"],
        "Main Target Anomaly Detection": ["Does the dog deform?"],
    },
}


def changed(**questions) -> str:
    return json.dumps(
        {**GOOD, "questions": {**GOOD["questions"], **{k.replace("_", " "): v for k, v in questions.items()}}}
    )


def test_questions_are_generated_checked_cached_and_reviewable(tmp_path):
    with Play([says("I would rather not."), says(f"```json\n{json.dumps(GOOD)}\n```")]) as play:
        judge = Server(play.url, sampling=SAMPLING, backoff=0.01)
        [item] = generate([TOLD], judge, Cache(tmp_path / "cache"))
        assert generate([TOLD], judge, Cache(tmp_path / "cache")) == [item]
    first, second = (request["body"]["messages"][1]["content"][0]["text"] for request in play.requests)
    assert "A {red} dog sits" in first and "exactly 2" in first and "refused: the answer must be one JSON" in second
    assert item.suite == "own_target_action_tna_2" and item.questions["Scene Type"] == ("Is it a garden?",)
    write_suite([item], tmp_path / f"{item.suite}.json")
    assert read_suite(tmp_path / f"{item.suite}.json") == [item]


def test_questions_from_the_command_line(tmp_path, capsys):
    (tmp_path / "prompts.json").write_text(json.dumps([vars(TOLD)]))
    arguments = ["narrlv", "questions", str(tmp_path / "prompts.json"), str(tmp_path / "own"), "--model", "m"]
    with Play([says(json.dumps(GOOD))]) as play:
        assert main([*arguments, "--url", play.url]) == 0
    [written] = load(tmp_path / "own")
    assert written.prompt == TOLD.prompt and "own_target_action_tna_2.json" in capsys.readouterr().out
    (tmp_path / "prompts.json").write_text('[{"prompt": "A dog"}]')
    assert main([*arguments, "--url", "http://localhost:1/v1"]) == 2 and "must be a list of" in capsys.readouterr().err


def test_prompts_without_usable_questions_are_listed(tmp_path):
    with Play([says("no")]) as play, pytest.raises(ValueError, match=r"1 of 1 prompts: 'A \{red\} dog"):
        generate([TOLD], Server(play.url, sampling=SAMPLING), Cache(tmp_path))
    assert len(play.requests) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "one JSON object"),
        ("[" * 5000 + "{" * 5000 + "}", "one JSON object"),
        (json.dumps({**GOOD, "atoms": ["one"]}), "list of 2"),
        (json.dumps({**GOOD, "questions": []}), "must be an object"),
        (changed(Main_Target_Layout=[]), "Main Target Layout"),
        (changed(Weather=["?"]), "unknown category 'Weather'"),
        (changed(Scene_Type=["It is a garden."]), "not a question"),
        (changed(Scene_Type=["Is it\na garden?"]), "not a question"),
        (json.dumps(GOOD).replace("Evolution_0", "Evolution_1", 1), "exactly 2 questions, not 0"),
        (json.dumps(GOOD).replace("Main Target Action Evolution_0", "Scene Attribute Evolution_0"), "do not belong"),
    ],
)
def test_what_a_model_answers_is_checked(answer, said):
    with pytest.raises(ValueError, match=said):
        check(answer, TOLD)


def test_a_prompt_of_ones_own_says_what_it_tells():
    for wrong in (("", "target_action", 2), ("A dog", "dogs", 2), ("A dog", "target_action", 0)):
        with pytest.raises(ValueError, match="a prompt needs"):
            Told(*wrong)
