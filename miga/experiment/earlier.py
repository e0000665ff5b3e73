"""Suites as they were written before benchmarks were packages: read as what they mean today, and said so."""

from __future__ import annotations

import sys
from typing import Any

from eval.benchmark import BENCHMARKS

KEYS = {"backbones", "methods", "prompts", "judge"}  # of an earlier suite, and of no other


def modern(said: Any, where: str) -> Any:
    """The data of a suite in today's words; one that has them already, or is no suite, as it is."""
    if not isinstance(said, dict) or not isinstance(said.get("prompts"), dict) or "benchmarks" in said:
        return said
    print(f"{where}: written for an earlier version; see docs/add-a-suite.md for today's keys", file=sys.stderr)
    benchmarks = {}
    for chosen in said["prompts"].values():
        if not isinstance(chosen, dict):
            return said
        name, settings = _benchmark(said.get("backbones"), chosen)
        judged = "judge" in BENCHMARKS.get(name).settings.model_fields if name in BENCHMARKS.names() else False
        benchmarks[name] = settings | (_judge(said.get("judge") or {}) if judged else {})
    kept = {key: value for key, value in said.items() if key not in KEYS}
    if isinstance(lengths := kept.get("lengths"), dict) and "methods" in lengths:
        kept["lengths"] = {key: value for key, value in lengths.items() if key != "methods"} | {
            "entries": lengths["methods"]
        }
    return kept | {"files": said.get("methods"), "benchmarks": benchmarks}


def _benchmark(networks: str | None, chosen: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and settings of the benchmark that a set of prompts is of: that of the networks, or one of its own."""
    names = {"file": "prompts", "methods": "entries"}
    settings = {names.get(key, key): value for key, value in chosen.items() if key != "protocol"}
    protocol = str(chosen.get("protocol"))
    of_videos = {name for name in BENCHMARKS.names() if "metrics" in BENCHMARKS.get(name).settings.model_fields}
    if protocol in of_videos and networks in of_videos:
        return str(networks), settings
    settings.pop("metrics", None)  # which a judge's benchmark has of itself
    return (both if (both := f"{networks}-{protocol}") in BENCHMARKS.names() else protocol), settings


def _judge(said: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in said.items() if key not in ("kind", "params", "suites")}
    return {"judge": {key: said[key] for key in ("kind", "params") if key in said}} | rest
