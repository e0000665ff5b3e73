"""Golden parity: the selection in `tests/parity/golden`, and all of `../shared/golden` where there is one."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

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
        ("freelong", "masks_filters", ["strict_F20_w8"]),
        ("freelong", "lavie_temporal_F128_5x8_rope", ["branch_global", "time_bias_for_F"]),
        ("fifo", "fifo_n1_eta05_nocfg", ["emitted.images_u8", "queue.after_iteration", "base.x_after_steps"]),
        ("fifo", "fifo_n1_eta05_nocfg", ["noise.step", "it0.output", "draws.stage", "emitted.latents"]),
        ("fifo", "fifo_unit_step", ["N32_eta0.0.z", "N16_eta1.0.pred_x0"]),
        ("scalingnoise", "sn_n1_k4_m1_eta0", ["search.cand_output", "beams.after_shift", "emit.images_u8"]),
        ("scalingnoise", "sn_n1_k4_m1_eta0", ["it0.iteration", "noise.step", "select.u", "final.images_u8"]),
        ("scalingnoise", "sn_unit", ["reward.images_random", "reward.score_random", "mask.4x6"]),
        ("models", "solvers_ddim", ["scale_arr", "alphas_cumprod"]),
        ("long_video", "repetition", ["thumbnails_1", "curve_4", "rerun_7"]),
        ("riflex", "e2e_F18_4x6_k1", ["step0.v_uncond", "step1.x"]),
        ("lvsa", "e2e_T24_4x6_rotating", ["step0.v_cond", "step3.x"]),
        ("ultravico", "attention_F16_p6_w7", ["output.plain", "output.paper"]),
        ("freeloc", "masks", ["small.tsa.near", "long.vrpr.near"]),
    ],
)
def test_a_case_may_hold_fewer_arrays_than_its_siblings(tmp_path, name, case, gone):
    source, folder, arrays = HERE / "golden" / name, beside_its_siblings(tmp_path, name), arrays_of(name, case)
    assert not set(gone) - set(arrays)
    copy(name, case, folder, {key: value for key, value in arrays.items() if key not in gone})
    whole, fewer = (replay_case(name, case, where) for where in (source, folder))
    assert not wrong(fewer) and 0 < len(fewer) <= len(whole)
    copy(name, case, folder, arrays | {"of_mine": np.zeros(3)})
    assert [check.quantity for check in replay_case(name, case, folder) if not check.passed] == ["of_mine"]


OF_VIDEOS = r"x|q$|k$|v$|step\d|output|global|window_(local|fused)|hidden|attn.\."


@pytest.mark.parametrize(
    ("name", "case", "axes"),
    [
        ("riflex", "e2e_F18_4x6_k1", {}),
        ("lvsa", "e2e_T24_4x6_rotating", {}),
        ("riflex", "attention_F12_2x3_k1", {}),
        ("lvsa", "module_T26_2x3", {}),
        ("ultravico", "attention_F16_p6_w7", {}),
        ("freenoise", "attention_F18_w16_s4_tail", {"window_local": 1}),
        ("freenoise", "noise_F64_w16_s4", {}),
        ("freepca", "attention_F64_5x8", {"window_local": 1, "window_fused": 1}),
        ("freelong", "vc2_block_F24_6x4_override", {}),
    ],
)
def test_a_batch_may_be_of_two(tmp_path, name, case, axes):
    """The same video twice. Arrays of no video are as they were."""
    folder, arrays = beside_its_siblings(tmp_path, name), arrays_of(name, case)
    of_videos = "latents$" if case.startswith("noise") else OF_VIDEOS
    of_videos = {key for key in arrays if re.match(of_videos, key) and not key.endswith(("weight", "bias"))}
    doubled = {key: np.concatenate([arrays[key]] * 2, axes.get(key, 0)) for key in of_videos}
    copy(name, case, folder, arrays | doubled, batch=2)
    checks = replay_case(name, case, folder)
    assert not wrong(checks) and len(checks) == len(replay_case(name, case, HERE / "golden" / name))


def beside_its_siblings(tmp_path, name):
    """An empty folder for a set, beside the others, of which some need the networks."""
    for other in (HERE / "golden").iterdir():
        if other.name != name:
            (tmp_path / other.name).symlink_to(other)
    (tmp_path / name).mkdir()
    return tmp_path / name


def arrays_of(name, case):
    return load_file(HERE / "golden" / name / f"{case}.safetensors")


def copy(name, case, folder, arrays, batch=None):
    """A case with other arrays, and where it says of how many videos it is, of so many."""
    facts = json.loads((HERE / "golden" / name / f"{case}.json").read_text())
    if batch and "B" in facts["settings"]:
        facts["settings"]["B"] = batch
    (folder / f"{case}.json").write_text(json.dumps(facts))
    save_file(arrays, folder / f"{case}.safetensors")


def wrong(checks):
    return [f"{check.quantity}: {check.error} {check.note}" for check in checks if not check.passed]
