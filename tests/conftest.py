"""Tiny tensors: a second thread per process only waits for the first, and pytest-xdist uses the cores already."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded; subprocesses inherit it
