"""A GPU is held by one job at a time, and only where there are several to choose from. The devices are pretended."""

import os
import subprocess
import sys
import threading

import pytest

from miga.experiment import lease
from miga.experiment.lease import VISIBLE, gpus, lease_gpu

HOLDER = """
import sys
from miga.experiment.lease import lease_gpu
with lease_gpu() as gpu:
    print(gpu, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """No GPU, whatever this machine has; locks in a folder of the test's own."""
    monkeypatch.setattr(lease, "DEVICES", tmp_path)
    monkeypatch.setattr(lease.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in (VISIBLE, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    pretend(monkeypatch, tmp_path, "exit 1")


def pretend(monkeypatch, folder, script):
    """An `nvidia-smi` of these words."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    if str(program.parent) not in os.environ["PATH"]:
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def cards(*lines):
    return "cat <<'END'\n" + "\n".join(lines) + "\nEND"


FOUR = cards(*(f"GPU {n}: NVIDIA H100 80GB HBM3 (UUID: GPU-{n}{n})" for n in range(4)))
SLICED = cards(
    "GPU 0: NVIDIA A100 (UUID: GPU-00)",
    "  MIG 3g.20gb     Device  0: (UUID: MIG-a)",
    "  MIG 3g.20gb     Device  1: (UUID: MIG-b)",
    "GPU 1: NVIDIA A100 (UUID: GPU-11)",
)


def holder(**environment):
    """A process that takes a lease and keeps it until its input ends, and what it holds."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def end(*processes):
    for process in processes:
        process.communicate()


def test_no_gpu_no_lease(monkeypatch, tmp_path):
    with lease_gpu() as gpu:
        assert gpu is None and VISIBLE not in os.environ
    monkeypatch.setenv(VISIBLE, "")
    with lease_gpu() as gpu:
        assert gpu is None and os.environ[VISIBLE] == ""


def test_two_jobs_get_two_gpus_and_the_third_waits(monkeypatch, tmp_path):
    monkeypatch.setenv(VISIBLE, "3,5")
    got = threading.Event()

    def third():
        with lease_gpu(tmp_path):
            got.set()

    with lease_gpu(tmp_path) as first:
        assert os.environ[VISIBLE] == first == "3"
        monkeypatch.setenv(VISIBLE, "3,5")
        with lease_gpu(tmp_path) as second:
            assert second == "5"
            monkeypatch.setenv(VISIBLE, "3,5")
            job = threading.Thread(target=third)
            job.start()
            assert not got.wait(0.3)
    job.join(5)
    assert got.is_set()
    assert os.environ[VISIBLE] == "3,5"


def test_gpus_are_named_by_uuid_and_mig_slices_count(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, SLICED)
    assert gpus() == ["MIG-a", "MIG-b", "GPU-11"]
    monkeypatch.setenv(VISIBLE, "1,MIG-b")
    assert gpus() == ["GPU-11", "MIG-b"]


def test_four_scorers_have_four_gpus_and_a_killed_one_leaves_its_own(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, FOUR)
    scorers = [holder() for _ in range(4)]
    assert sorted(gpu for _, gpu in scorers) == ["GPU-00", "GPU-11", "GPU-22", "GPU-33"]
    killed, freed = scorers.pop(2)
    killed.kill()
    end(killed)
    scorers.append(holder())
    assert scorers[-1][1] == freed
    end(*(process for process, _ in scorers))


@pytest.mark.parametrize("visible", ["0", "0,1"])
def test_two_jobs_of_slurm_that_both_see_device_0_do_not_wait(visible):
    one, first = holder(SLURM_JOB_ID="7", CUDA_VISIBLE_DEVICES=visible)
    two, second = holder(SLURM_JOB_ID="8", CUDA_VISIBLE_DEVICES=visible)
    assert first == second == "0"
    end(one, two)
