"""A GPU is held by one job at a time, and only where there are GPUs."""

import os
import threading

from miga.experiment.lease import lease_gpu


def test_no_gpu_no_lease(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with lease_gpu(tmp_path) as gpu:
        assert gpu is None and os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_two_jobs_get_two_gpus_and_the_third_waits(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    got = threading.Event()

    def third():
        with lease_gpu(tmp_path):
            got.set()

    with lease_gpu(tmp_path) as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first == "3"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
        with lease_gpu(tmp_path) as second:
            assert second == "5"
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
            job = threading.Thread(target=third)
            job.start()
            assert not got.wait(0.3)
    job.join(5)
    assert got.is_set()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,5"
