"""Bad input on the command line is one sentence and exit status 2; good input, however odd, gives a video."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from eval.video import chunks, frames_digest
from miga import commands as cli
from miga import models
from miga.engine.method import METHODS
from tests import toy


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    known = {method.name: method for method in (toy.ENDLESS, toy.LOOPED)}
    get, load = METHODS.get, models.load
    monkeypatch.setattr(METHODS, "get", lambda name: known[name] if name in known else get(name))
    monkeypatch.setattr(
        models, "load", lambda name, **options: toy.ToyModel() if name == "toy" else load(name, **options)
    )


def run(*words):
    return cli.main(["generate", "--model", "toy", "--method", "toy_endless", "--frames", "8", *map(str, words)])


def test_generate(tmp_path, capsys):
    out = tmp_path / "new/folder/x.mp4"
    assert run("--prompt", "a cat", "--seed", 3, "--out", out, "--param", "strength=0.5") == 0
    facts = json.loads(out.with_suffix(".json").read_text())
    assert (facts["frames"], facts["seed"], facts["params"]) == (8, 3, {"strength": 0.5})
    assert sum(map(len, chunks(out))) == 8
    assert "8 frames at 8 per second" in capsys.readouterr().out


@pytest.mark.parametrize(
    "prompt",
    ["a \"quoted\" 'cat'", "a/b\\c", "$(touch x) `y` ; rm -rf z", "two\nlines\tand tabs", "😀 café 猫", "x" * 10_000],
)
def test_odd_prompts_work(tmp_path, prompt):
    assert run("--prompt", prompt, "--out", tmp_path / "x.mp4") == 0
    assert json.loads((tmp_path / "x.json").read_text())["prompt"] == prompt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "x.mp4"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--prompt", ""], "the prompt is empty"),
        (["--prompt", " \n"], "the prompt is empty"),
        (["--then", " "], "the prompt is empty"),
        (["--then", "a dog"], "toy_endless takes one prompt, not 2"),
        (["--frames", "-3"], "--frames -3: give a positive number, or 0"),
        (["--method", "toy_looped", "--frames", "0"], "toy_looped makes videos of a given length only"),
        (["--method", "mige"], "unknown method 'mige': did you mean 'miga'?"),
        (["--model", "sprites-unit"], "unknown base model 'sprites-unit': did you mean 'sprites-unet'?"),
        (["--param", "strenght=1"], "unknown key 'strenght'; did you mean 'strength'?"),
        (["--param", "strength"], "'strength' is not of the form key=value"),
        (["--param", "strength=strong"], "strength: input should be a valid number"),
        (["--crf", "99"], "crf: input should be less than or equal to 51"),
        (["--out", "/dev/null/x.mp4"], "/dev/null: not a directory"),
        (["--out", "/proc/nope/x.mp4"], "/proc/nope: no such file or directory"),
        (["--out", "x.avi"], "x.avi: the output must be an .mp4 file"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, capsys):
    assert run("--prompt", "a cat", *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("miga: ") and sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("fifo_diffusion", r"sweep \d+ of the diagonal stage: frame \d+, now at level -?\d+"),
        ("direct", r"the step at level \d+ of a clip: frame 0"),
    ],
)
def test_numbers_that_break_stop_the_video_and_leave_nothing(tmp_path, monkeypatch, capsys, method, place):
    class Breaking(toy.ToyModel):
        good_calls = 32 if method == "fifo_diffusion" else 5  # beyond the base clip, or within it

        def denoise(self, latents, levels, text, guidance_scale=None):
            good = super().denoise(latents, levels, text, guidance_scale)
            return good if self.calls < self.good_calls else good * float("nan")

    monkeypatch.setattr(models, "load", lambda name, **options: Breaking(16))
    words = ["--model", "toy", "--prompt", "a cat", "--frames", "8", "--out", str(tmp_path / "x.mp4")]
    assert cli.main(["generate", "--method", method, *words]) == 2
    assert re.search(rf"miga: non-finite latents after {place}\n$", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_an_unknown_command_is_named_with_its_neighbour(capsys):
    assert cli.main(["genrate"]) == 2
    assert "unknown command 'genrate': did you mean 'generate'?" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "miga", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "generate" in done.stdout
    assert " torch" not in done.stderr


ENDLESS = """
import sys
from miga import models
from eval.video import chunks, frames_digest
from miga import commands as cli
from miga.engine.method import METHODS
from tests import toy
METHODS.get = lambda name: toy.ENDLESS
models.load = lambda name: toy.ToyModel()
sys.exit(cli.main(["generate", "--prompt", "a cat", "--frames", "0", "--out", sys.argv[1], *sys.argv[2:]]))
"""


def start(*words):
    return subprocess.Popen([sys.executable, "-c", ENDLESS, *map(str, words)], stdout=-1, stderr=-1, text=True)


def wait_for(condition, process):
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, process.kill()
        time.sleep(0.05)


def test_an_interrupt_closes_an_endless_video(tmp_path):
    process = start(tmp_path / "x.mp4")
    wait_for(lambda: list(tmp_path.glob(".x.mp4.*.partial/video.mp4")), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    facts = json.loads((tmp_path / "x.json").read_text())
    assert facts["frames"] == sum(map(len, chunks(tmp_path / "x.mp4"))) > 0
    assert facts["frames_sha256"] == frames_digest(tmp_path / "x.mp4")


def test_a_killed_run_goes_on_with_the_same_arguments(tmp_path):
    process = start(tmp_path / "x.mp4", "--checkpoint-every", 8)
    wait_for(lambda: (tmp_path / ".x.mp4.checkpoint").exists(), process)
    process.kill()
    process.wait()
    assert not (tmp_path / "x.mp4").exists()
    saved = (tmp_path / ".x.mp4.checkpoint").stat().st_mtime_ns
    again = start(tmp_path / "x.mp4", "--checkpoint-every", 8)
    wait_for(lambda: (tmp_path / ".x.mp4.checkpoint").stat().st_mtime_ns != saved, again)
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    facts = json.loads((tmp_path / "x.json").read_text())
    assert facts["resumed_at"] >= 8
    frames = [frame for batch in chunks(tmp_path / "x.mp4") for frame in batch]
    model = toy.ToyModel()
    from miga.experiment import run as library

    whole = library.Job(**_fields(facts), frames=len(frames), video=tmp_path / "whole.mp4")
    library.generate(whole, model, model.encode(["a cat"]))
    assert frames_digest(tmp_path / "whole.mp4") == facts["frames_sha256"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.json", "whole.mp4", "x.json", "x.mp4"]


def _fields(facts):
    names = ("suite", "base", "entry", "params", "prompt_id", "prompt", "seed", "encoder")
    return {name: facts[name] for name in names} | {"method": "toy_endless"}


def test_metrics_are_listed_with_what_they_see(capsys):
    assert cli.main(["metrics", "--json"]) == 0
    found = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert {"subject_consistency", "repetition", "imaging_quality", "prompt_fidelity"} <= found.keys()
    assert found["repetition"]["faults"]["loop"] == "sees" and found["repetition"]["faults"]["blur"] == "blind"
    assert found["temporal_flickering"]["faults"]["freeze"] == "rewards" and not found["aesthetic_quality"]["faults"]
    assert cli.main(["metrics", "repetitoin"]) == 2 and "repetition" in capsys.readouterr().err


@pytest.mark.parametrize(
    "metric, cost",
    [
        ("subject_consistency", "sprites: the sprites reader 0.0586 GFLOP; vbench: DINO ViT-B/16 56 GFLOP"),
        ("background_consistency", "vbench: CLIP ViT-B/32 8.59 GFLOP"),
        ("motion_smoothness", "vbench: AMT-S 18.4 GFLOP"),
        ("drift.first_last_15", "vbench: DINO ViT-B/16"),
        ("overall", "DINO ViT-B/16 56 GFLOP, CLIP ViT-B/32 8.59 GFLOP, AMT-S"),
        ("dynamic_degree", "vbench: RAFT 393 GFLOP"),
        ("repetition", "no network"),
        ("temporal_flickering", "no network"),
        ("one_subject", "no network"),
        ("R_coh", "a judge's answers"),
    ],
)
def test_a_metric_names_the_networks_behind_it(capsys, metric, cost):
    assert cli.main(["metrics", metric]) == 0
    assert cost in capsys.readouterr().out


def test_a_fault_is_written_beside_the_video_and_never_over_one(tmp_path, capsys):
    from eval.video import facts
    from tests.eval.conftest import moving_square, write_video

    path = write_video(tmp_path / "a.mp4", moving_square(24, 1, 32, 48), fps=10)
    assert cli.main(["degrade", str(path), "--fault", "freeze", "--strength", "0.5"]) == 0
    assert facts(tmp_path / "a-freeze-0.5.mp4").fps == 10
    assert cli.main(["degrade", str(path), "--fault", "freeze", "--strength", "0.5"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["degrade", str(tmp_path / "b.mp4"), "--fault", "blur"]) == 2
    assert "b.mp4: no such file" in capsys.readouterr().err
