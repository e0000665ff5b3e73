"""What a person has is never destroyed: whatever fails in between, the file that was there before still is, whole."""

import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from eval import leaderboard, scores, video
from eval.files import alone, hidden, leftovers, only_ours, replacing, write_json, write_text
from eval.vbench.export import submission
from miga import commands
from miga.experiment import run
from miga.experiment.video import VideoWriter
from miga.models import fetch, registry
from tests import toy
from tests.faults import inputs
from tests.miga.experiment.test_run import job

FRAMES = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)  # do not compress: several hundred KB


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- videos ---


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def kill_encoder(writer):
    writer._process.kill()


def end_encoder(writer):
    """As one that runs out of memory after it has taken all frames."""
    writer._process.stdin.close()
    writer._process.wait()
    inputs.cut(writer.partial, 0.5)


def lose_frames(writer):
    writer.frames += 1


def fail(writer):
    raise RuntimeError("the method failed")


def interrupt(writer):
    raise KeyboardInterrupt


def lose_file(writer):
    os.unlink(writer.partial)


def not_whole(writer):
    """The encoder says that all is well, and the file is half."""
    writer._process.stdin.close()
    writer._process.wait()
    writer.partial.write_bytes(b"no video")


@pytest.mark.parametrize(
    "failure", [kill_encoder, end_encoder, lose_frames, fail, interrupt, lose_file, not_whole], ids=lambda f: f.__name__
)
def test_the_old_video_stays_whatever_fails(failure, tmp_path):
    inputs.good(tmp_path / "a.mp4")
    before = files(tmp_path)
    with pytest.raises((OSError, ValueError, RuntimeError, KeyboardInterrupt)), VideoWriter(tmp_path / "a.mp4", 8) as w:
        w.push(FRAMES[:20])
        failure(w)
        w.push(FRAMES[20:]) if failure is kill_encoder else None
    assert files(tmp_path) == before


def test_a_full_disk_is_a_sentence_and_the_old_pair_stays(tmp_path):
    model, asked = toy.ToyModel(), dict(method="fifo_diffusion", frames=12)
    folder = job(tmp_path, **asked).video.parent
    run.generate(job(tmp_path, **asked), model, model.encode(["a cat"]))
    before = files(folder)
    program = """if True:
        import resource, signal, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
        from pathlib import Path
        from miga.experiment import run
        from tests import toy
        from tests.miga.experiment.test_run import job
        model = toy.ToyModel()
        asked = job(Path(sys.argv[1]), method="fifo_diffusion", frames=30)
        try:
            run.generate(asked, model, model.encode(["a cat"]))
        except OSError as error:
            sys.exit(str(error))
    """
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "seed-1" in done.stderr and "Traceback" not in done.stderr
    assert files(folder) == before


def test_a_second_run_on_one_video_is_refused_and_the_first_is_not_disturbed(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 8) as writer:
        writer.push(FRAMES[:20])
        with pytest.raises(ValueError, match="another run is making it"):
            VideoWriter(tmp_path / "a.mp4", 8).__enter__()
        with VideoWriter(tmp_path / "b.mp4", 8) as other:
            other.push(FRAMES[:3])
        writer.push(FRAMES[20:])
    assert video.fingerprint(tmp_path / "a.mp4")[1] == 40
    assert sorted(files(tmp_path)) == ["a.mp4", "b.mp4"]


def test_a_killed_run_leaves_the_old_video_and_no_lock(tmp_path):
    inputs.good(tmp_path / "a.mp4")
    before = (tmp_path / "a.mp4").read_bytes()
    program = """if True:
        import os, signal, sys, time
        from tests.faults.test_writing import FRAMES, VideoWriter
        with VideoWriter(sys.argv[1], 8) as writer:
            writer.push(FRAMES[:1])
            os.kill(writer._process.pid, signal.SIGSTOP)
            print(writer._process.pid, flush=True)
            time.sleep(60)
    """
    killed = subprocess.Popen([sys.executable, "-c", program, tmp_path / "a.mp4"], stdout=subprocess.PIPE)
    encoder = psutil.Process(int(killed.stdout.readline()))
    killed.kill()
    killed.wait()
    assert (tmp_path / "a.mp4").read_bytes() == before
    with VideoWriter(tmp_path / "a.mp4", 8) as writer:
        writer.push(FRAMES[:3])
    encoder.resume()  # it lives on, and finds out now that nobody is there
    psutil.wait_procs([encoder], timeout=60)
    assert video.fingerprint(tmp_path / "a.mp4")[1] == 3
    assert sorted(files(tmp_path)) == ["a.mp4"]


def test_what_a_writer_left_is_told_from_what_others_write(tmp_path):
    ours = [".a.mp4.12.partial", ".a.mp4.12-3456.partial"]
    for name in (*ours, ".a.mp4.b.mp4.12.partial", ".b.mp4.12.partial", ".a.mp4.partial", ".a.mp4.lock"):
        (tmp_path / name).touch()
    assert sorted(path.name for path in leftovers(tmp_path / "a.mp4")) == sorted(ours)


@pytest.mark.parametrize("length", [100, 200, 240, 250])
def test_long_names(length, tmp_path):
    path = tmp_path / ("é" * (length // 2) + ".mp4")
    with VideoWriter(path, 8) as writer:
        writer.push(FRAMES[:3])
    write_json(path.with_suffix(".js"), {})
    assert len(files(tmp_path)) == 2


def test_no_frames_are_no_video(tmp_path):
    with pytest.raises(ValueError, match="no frames"), VideoWriter(tmp_path / "a.mp4", 8) as writer:
        writer.finish()
    assert not files(tmp_path)


# --- all other files ---


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    before = files(tmp_path)
    for data in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(path, data)
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert files(tmp_path) == before


def test_a_full_disk_names_the_file_that_was_wanted(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert commands.sentence(caught.value) == f"{tmp_path / 'a.txt'}: no space left on device"


def test_what_is_no_text_is_kept(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", [name, "façade"])
    assert json.loads((tmp_path / "a.json").read_text()) == [name, "façade"]


def test_the_lock_goes_with_the_block(tmp_path):
    for _ in range(2):
        with alone(tmp_path / "a"), pytest.raises(ValueError, match="another run"), alone(tmp_path / "a"):
            pass
    assert not files(tmp_path)


def test_hidden_names_fit(tmp_path):
    assert hidden(tmp_path / "a.mp4", "lock").name == ".a.mp4.lock"
    assert len(os.fsencode(hidden(tmp_path / ("ü" * 127), "1234567-123456789012345.partial").name)) <= 255


# --- what somebody else wrote ---


def generate(out):
    return commands.main(["generate", "--prompt", "a cat", "--method", "direct", "--frames", "2", "--out", str(out)])


def table(path):
    row = dict.fromkeys(scores.IDENTITY, "x") | dict(seed=0, frames=9, metric="subject_consistency", protocol="vbench")
    scores.write(pd.DataFrame([row | dict(version="1", value=0.5, reason=None, series=None)]), path)
    return path


def export(out):
    return commands.main(["vbench", "export", str(table(out.parent / "table.parquet")), "--out", str(out)])


def score(out):
    (out.parent / "videos").mkdir()
    (out.parent / "videos/a-0.mp4").touch()
    return commands.main(["score", str(out.parent / "videos"), "--out", str(out)])


FOREIGN = {  # file of somebody else -> the command that would have written over it
    "holiday.mp4": generate,
    "holiday.json": lambda out: generate(out.with_suffix(".mp4")),
    "holiday.zip": export,
    "holiday-results.json": export,
    "holiday.parquet": score,
    "holiday.csv": lambda out: commands.main(["leaderboard", "merge", str(out), "--out", str(out)]),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_somebody_else_wrote_is_not_written_over(name, tmp_path, capsys):
    (tmp_path / name).write_text('{"what": "somebody wrote"}')
    assert FOREIGN[name](tmp_path / name) == 2
    assert "is there already and is not" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == '{"what": "somebody wrote"}'


def test_what_we_wrote_is_written_again(tmp_path):
    path = tmp_path / "a.zip"
    for _ in range(2):
        submission(scores.read(table(tmp_path / "t.parquet")), path)
    assert zipfile.ZipFile(path).namelist() == ["subject_consistency_eval_results.json"]
    only_ours(tmp_path / "t.parquet", scores.read, "a table")
    write_text(tmp_path / "b.csv", "a,b\n")
    with pytest.raises(ValueError, match="not a leaderboard"):
        only_ours(tmp_path / "b.csv", leaderboard.read, "a leaderboard")
    with pytest.raises(ValueError, match="not a table"):
        only_ours(tmp_path, scores.read, "a table")  # a folder


def test_a_folder_at_the_place_of_a_model_is_moved_aside_and_named(tmp_path):
    target, said = tmp_path / "m", []
    for number in (1, 2):
        target.mkdir()
        (target / "mine.txt").write_text(str(number))
        download = tmp_path / ".m.download"
        download.mkdir()
        (download / "model_index.json").write_text("{}")
        fetch.install(registry.source("wan2.1-1.3b"), download, target, said.append)
        assert [path.name for path in target.iterdir()] == ["model_index.json"]
        assert (tmp_path / f"m.before-{number}/mine.txt").read_text() == str(number)
        assert f"m.before-{number}" in said[-1]
        Path(target / "model_index.json").unlink(), target.rmdir()
