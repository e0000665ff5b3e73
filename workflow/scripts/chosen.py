"""The benchmarks that a rule names, with their settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from eval.benchmark import BENCHMARKS, Benchmark, Settings
from eval.parsing import parse


def benchmarks(said: Mapping[str, Any]) -> Iterator[tuple[Benchmark, Settings]]:
    """Each with its typed settings, from plain ones by name."""
    for name, settings in said.items():
        benchmark = BENCHMARKS.get(name)
        yield benchmark, parse(benchmark.settings, settings, f"benchmark {name!r}")
