"""What is remembered of the code is what would be found out anew, and no edit is missed."""

import pytest

from miga.experiment import checked, digest
from miga.experiment.experiment import load_experiment
from miga.experiment.remembered import Remembered


@pytest.fixture
def file(tmp_path):
    return tmp_path / "suite" / "code.json"


def test_what_is_known_is_not_found_out_again(file):
    found = []
    for expected in (1, 1):
        assert Remembered(file, "as it is").get("key", lambda: found.append(0) or len(found)) == expected
    assert Remembered(file, "edited").get("key", lambda: "anew") == "anew"
    assert Remembered(file, "as it is").get("key", lambda: "anew") == "anew"  # one state at a time


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"code": "as it is", "known": null}', "\x00"])
def test_a_broken_file_is_as_none(file, text):
    file.parent.mkdir()
    file.write_text(text)
    assert Remembered(file, "as it is").get("key", lambda: "found") == "found"


def test_where_nothing_can_be_written_everything_is_found_out(file):
    file.parent.write_text("no folder")
    assert Remembered(file, "as it is").get("key", lambda: "found") == "found"


@pytest.fixture
def remembering(file, monkeypatch):
    """Digests are remembered in the file; returns a function that forgets all that this process knows by heart."""

    def forget():
        for cached in (digest._home, digest.imports, digest.tree, digest._digest, digest._remembered):
            cached.cache_clear()

    monkeypatch.setenv(digest.REMEMBERED, str(file))
    forget()
    yield forget
    forget()


def test_remembered_digests_are_those_of_the_code(remembering, monkeypatch, tmp_path):
    (tmp_path / "miga").mkdir()
    source = tmp_path / "miga/one.py"
    monkeypatch.setattr(digest, "ROOT", tmp_path)
    seen = []
    for text in ("x = 1", "x = 1  # as before", "x = 2"):
        source.write_text(text)
        for _ in range(2):  # the second one from the file
            remembering()
            seen.append(digest.code_digest("miga.one"))
            remembering()
            assert digest._taken(("miga.one",), (), True) == seen[-1]
    assert seen[0] == seen[1] == seen[2] == seen[3] != seen[4] == seen[5]


def test_another_packages_code_is_looked_at_each_time(remembering, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    for number in range(2):
        (tmp_path / "somebodys.py").write_text(f"x = {number}")
        remembering()
        seen.append(digest.code_digest("somebodys"))
    assert seen[0] != seen[1]


def test_a_suite_is_checked_once(remembering, monkeypatch):
    asked, suite = [], load_experiment("quick", digest.HOME)
    monkeypatch.setattr("miga.experiment.check.check", asked.append)
    assert checked.check_once(suite) == checked.check_once(suite) == []
    assert asked == [suite]
    other = load_experiment("quick", digest.HOME, limit=1)
    checked.check_once(other)
    assert asked == [suite, other]


def test_what_fails_is_checked_again(remembering):
    suite = load_experiment("quick", digest.HOME)
    metrics = suite.suite.benchmarks["sprites"].model_copy(update=dict(metrics=["no_such_metric"]))
    wrong = suite.model_copy(update=dict(suite=suite.suite.model_copy(update=dict(benchmarks={"sprites": metrics}))))
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown metric"):
            checked.check_once(wrong)
