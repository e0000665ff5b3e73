"""A script that is handed over to a warm process runs, ends and dies as it would by itself."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from miga.experiment import warm

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
HANDED = "import sys; from miga.experiment.warm import hand_over; hand_over()\n"
IMPORTED, LATER = "wave", "colorsys"  # modules that nothing else here imports


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that starts a script of such lines, where a warm process serves."""
    monkeypatch.setattr(warm, "HELD", held := [])
    monkeypatch.setenv(warm.ADDRESS, "")
    warm.begin([IMPORTED, "no.such.module"], [LATER])

    def start(lines, **options):
        path = tmp_path / "script.py"
        path.write_text(HANDED + lines)
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        return subprocess.Popen([sys.executable, path], **pipes | options)

    yield start
    process = held[1]
    process.stdin.close()  # as the end of the run does
    assert process.wait(10) == 0


def test_it_runs_with_what_was_imported_as_the_process_that_it_is(script, tmp_path):
    lines = "import os; print('wave' in sys.modules, os.getpid(), os.getcwd(), os.environ['SAID'], sys.argv[0])"
    job = script(lines, env={**os.environ, "SAID": "so"})
    out, err = job.communicate(timeout=30)
    assert job.returncode == 0 and not err
    imported, pid, *rest = out.split()
    assert imported == "True" and int(pid) != job.pid
    assert rest == [str(tmp_path), "so", str(tmp_path / "script.py")]


def test_what_is_to_happen_at_its_end_happens(script, tmp_path):
    lines = "import atexit, threading, time; print('first', end=' '); atexit.register(print, 'last', end='')\n"
    lines += "threading.Thread(target=lambda: (time.sleep(0.3), print('meanwhile', end=' '))).start()"
    job = script(lines)
    assert job.communicate(timeout=30) == ("first meanwhile last", "") and job.returncode == 0


def test_what_is_needed_later_is_imported_when_nobody_asks(script):
    for _ in range(100):
        out, _ = script("print('colorsys' in sys.modules)").communicate(timeout=30)
        if out == "True\n":
            return
    pytest.fail("it was never imported")


def test_an_interrupt_ends_it_without_a_word(script):
    job = script("import time; print('begun', flush=True); time.sleep(60)")
    assert job.stdout.readline() == "begun\n"
    job.send_signal(signal.SIGINT)
    assert job.communicate(timeout=30) == ("", "") and job.returncode == 130


@pytest.mark.parametrize(
    "lines, status, said",
    [
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('what was wrong')", 1, "ValueError: what was wrong"),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_it_ends_as_the_script_ends(script, lines, status, said):
    job = script(lines)
    _, err = job.communicate(timeout=30)
    assert job.returncode == status and said in err


def test_who_kills_the_job_kills_the_fork(script, tmp_path):
    job = script("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    fork = psutil.Process(int(job.stdout.readline()))
    os.kill(job.pid, signal.SIGKILL)
    job.communicate(timeout=30)
    until = time.monotonic() + 10
    while fork.is_running() and fork.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.02)
    assert not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE


def test_without_a_warm_process_it_runs_by_itself(tmp_path, monkeypatch):
    path = tmp_path / "script.py"
    path.write_text(HANDED + "import os; print(os.getpid())")
    for address in (None, str(tmp_path / "gone")):
        environ = {**os.environ, **({warm.ADDRESS: address} if address else {})}
        job = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True, env=environ)
        assert int(job.communicate(timeout=30)[0]) == job.pid
