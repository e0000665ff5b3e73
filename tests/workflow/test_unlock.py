"""A lock is taken away where nobody is alive, and only there."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "workflow" / "unlock.py"


def unlock(folder):
    return subprocess.run([sys.executable, str(SCRIPT)], cwd=folder, capture_output=True, text=True)


def locked(folder):
    lock = folder / ".snakemake" / "locks" / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/x\n")
    return lock


def test_a_lock_of_the_dead_goes(tmp_path):
    lock = locked(tmp_path)
    done = unlock(tmp_path)
    assert done.returncode == 0 and not lock.exists() and "resumes" in done.stdout
    assert unlock(tmp_path).stdout == ""


def test_a_lock_of_the_living_stays(tmp_path):
    lock = locked(tmp_path)
    code = "import time; print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, "snakemake"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as run:
        run.stdout.readline()
        done = unlock(tmp_path)
        run.kill()
    assert done.returncode == 1 and lock.exists() and str(run.pid) in done.stderr
