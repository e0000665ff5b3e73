"""What is installed, which suite would run, and what is missing for it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from eval.benchmark import BENCHMARKS
from miga.experiment.digest import ROOT
from miga.experiment.experiment import choose_suite, cuda, home, load_experiment

GOOD, BAD, NOTE = "ok", "MISSING", "note"
Finding = tuple[str, str, str]  # state, what, details


def findings(suite: str = "auto") -> Iterator[Finding]:
    """All that can be said of this machine and of a suite, by name or path; auto: the one that runs here.

    `ValueError` for a suite that is none."""
    yield from machine()
    yield from packages()
    yield from of_suite(suite)
    yield from benchmarks(suite)


def machine() -> Iterator[Finding]:
    """The interpreter, cores, memory, disk and GPUs."""
    fits = sys.version_info >= (3, 11)
    yield GOOD if fits else BAD, "python", f"{platform.python_version()} ({'needs' if not fits else 'at least'} 3.11)"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    free = shutil.disk_usage(ROOT).free / 2**30
    yield GOOD, "machine", f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB memory, {free:.0f} GiB free disk"
    if not cuda():
        yield NOTE, "CUDA", "no GPU: small models run on the CPU, large ones need one"
        return
    import torch

    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield GOOD, f"CUDA {index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"


def packages() -> Iterator[Finding]:
    """The packages that the project needs, and the encoder that videos are written with."""
    from packaging.requirements import Requirement

    found, missing = [], []
    for wanted in map(Requirement, requires("miga-bench") or ()):
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            try:
                found.append(f"{wanted.name} {version(wanted.name)}")
            except PackageNotFoundError:
                missing.append(wanted.name)
    chosen = [text for text in found if text.split()[0] in ("torch", "diffusers", "transformers", "snakemake")]
    yield GOOD, "packages", f"{len(found)} found: {', '.join(chosen)}, ..."
    for name in missing:
        yield BAD, name, f"pip install {name}"
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        yield GOOD, "ffmpeg", get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        yield BAD, "ffmpeg", f"{error}; pip install imageio-ffmpeg"


def of_suite(name: str) -> Iterator[Finding]:
    """The suite that would run, its base models and methods."""
    from miga.experiment.check import told
    from miga.experiment.job import configure
    from miga.experiment.needed import needed_by
    from miga.models.fetch import inventory

    name, line = choose_suite(name)
    experiment = load_experiment(name, home())
    videos = len(experiment.suite.seeds) * sum(map(len, experiment.prompts.values())) * len(experiment.entries)
    yield GOOD, "suite", f"{line.removeprefix('suite: ')}; {videos} videos per base model, ablations apart"
    for item in inventory(needed_by(name)):
        where = item.folder if item.present else item.remedy
        yield GOOD if item.present else BAD, item.name, f"{item.gigabytes:.2f} GB, {item.licence}: {where}"
    for line in told(experiment):
        yield GOOD, "videos of others", line
    for entry, chosen in experiment.entries.items():
        if entry in experiment.given:
            continue
        try:
            method, _ = configure(chosen.method, chosen.params)
            yield GOOD, entry, method.card.summary
        except (ValueError, ImportError, AttributeError) as error:
            yield BAD, entry, " ".join(str(error).split())


def benchmarks(suite: str = "auto") -> Iterator[Finding]:
    """What the suite's benchmarks need from elsewhere."""
    for name, settings in load_experiment(choose_suite(suite)[0], home()).suite.benchmarks.items():
        for need in BENCHMARKS.get(name).needs(settings, home()):
            yield GOOD if need.present else BAD, need.name, need.words
