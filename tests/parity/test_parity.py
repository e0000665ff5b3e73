"""Golden parity: the selection in `tests/parity/golden`, and all of `../shared/golden` where there is one."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.parity.__main__ import cases, main, replay_case
from tests.parity.check import NOT_STORED, Stored, compare

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


def test_what_a_case_does_not_hold_is_not_compared():
    stored = Stored(dict(there=np.zeros(2)))
    gone = stored["gone"]
    for made in (gone, gone[:, 0].swapaxes(0, 1), gone.int() * 2, gone.shape[0], gone != 3, gone.tolist()):
        assert compare("x", 1.0, made).note == NOT_STORED
    assert not compare("x", gone, stored["there"]).passed  # what is there must be compared with something


def test_tolerances_go_by_name_and_the_least_holds_for_others():
    by_name = {"latents": 1e-2, "eps": 1e-6}
    assert compare("step3.latents", [1e-3], [0.0], by_name).passed
    assert not compare("step3.x", [1e-3], [0.0], by_name).passed


@pytest.mark.parametrize(
    ("name", "case", "gone"),
    [
        ("freenoise", "attention_F18_w16_s4_tail", ["window_local", "weight_sum"]),
        ("freenoise", "attention_F18_w16_s4_tail", ["output_plain_full_attention", "window_weights"]),
        ("freenoise", "noise_F64_w16_s4", ["source_frame"]),
        ("freepca", "attention_F64_5x8", ["window_local"]),
        ("freepca", "attention_F64_5x8", ["global_branch", "window_fused", "selected_projector"]),
        ("freepca", "attention_F64_5x8", ["output_gate_on", "similarity_sorted"]),
        ("freelong", "masks_filters", ["strict_F24_w8"]),
    ],
)
def test_a_case_may_hold_fewer_arrays_than_its_siblings(tmp_path, name, case, gone):
    source, folder = HERE / "golden" / name, tmp_path / name
    folder.mkdir()
    (folder / f"{case}.json").write_text((source / f"{case}.json").read_text())
    arrays = load_file(source / f"{case}.safetensors")
    save_file({key: value for key, value in arrays.items() if key not in gone}, folder / f"{case}.safetensors")
    whole, fewer = (replay_case(name, case, where) for where in (source, folder))
    assert all(check.passed for check in fewer) and 0 < len(fewer) <= len(whole)
    save_file({**arrays, "of_mine": arrays[next(iter(arrays))].clone()}, folder / f"{case}.safetensors")
    assert [check.quantity for check in replay_case(name, case, folder) if not check.passed] == ["of_mine"]
