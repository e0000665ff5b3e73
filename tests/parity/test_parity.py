"""Golden parity: the selection in `tests/parity/golden`, and all of `../shared/golden` where there is one."""

from pathlib import Path

import pytest

from tests.parity.__main__ import cases, main, replay_case
from tests.parity.check import Stored

HERE = Path(__file__).parent
ROOTS = [HERE / "golden", HERE.parents[2] / "shared" / "golden"]  # a case of both is replayed once


def found():
    folders = {(name, case): folder for root in ROOTS for name, case, folder in cases(root, None, None)}
    return [pytest.param(*key, folder, id="-".join(key)) for key, folder in sorted(folders.items())]


@pytest.mark.parametrize("name, case, folder", found())
def test_golden_case(name, case, folder):
    failed = [f"{check.quantity}: {check.error:.2e} > {check.tolerance:.0e} {check.note}"
              for check in replay_case(name, case, folder) if not check.passed]  # fmt: skip
    assert not failed


def test_the_selection_covers_every_set_that_has_a_replay():
    replays = {path.stem for path in HERE.glob("*.py") if "\ndef replay(" in path.read_text()}
    assert replays <= {name for name, _, _ in cases(ROOTS[0], None, None)} | {"narrlv"}  # too large to keep here


@pytest.mark.parametrize("content", [{"README.md": "# A set"}, {"case.json": "{}"}])
@pytest.mark.parametrize("name", ["no_such_set", "freelong"])
def test_what_nobody_can_replay_fails(tmp_path, capsys, name, content):
    (tmp_path / "README.md").write_text("# Sets")
    (tmp_path / name).mkdir()
    for file, text in content.items():
        (tmp_path / name / file).write_text(text)
    assert main([str(tmp_path)]) == 1
    assert f"{name} " in (said := capsys.readouterr().out) and "FAIL" in said and "0 passed, 1 failed" in said


def test_a_folder_without_sets_fails(tmp_path):
    assert main([str(tmp_path)]) == main([str(tmp_path / "nowhere")]) == 1


def test_an_array_that_nobody_compares_fails():
    stored = Stored(dict(seen=1, missed=2))
    assert stored["seen"] == 1
    assert [(check.quantity, check.passed) for check in stored.unread()] == [("missed", False)]
