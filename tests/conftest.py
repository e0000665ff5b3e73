"""Tiny tensors: a second thread per process only waits for the first, and pytest-xdist uses the cores already."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded; subprocesses inherit it

# What takes long comes first: at its end no worker is to wait for another that has just begun one of these files.
LONG = {"conformance", "dag", "derived", "docs_commands", "killed", "parity", "remade", "stop", "track", "wheel"}


@pytest.fixture(scope="session")
def forks():
    """The process whose forks run Snakemake."""
    from tests.workflow.forked import Server

    server = Server()
    yield server
    server.close()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)
