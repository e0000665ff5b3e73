"""Who answers: one contract, an OpenAI-compatible server, and Qwen2.5-VL in this process.

contract  what a judge is; how a model is asked
server    any OpenAI-compatible server
qwen      Qwen2.5-VL in this process

The published protocol is Qwen2.5-VL-72B on ten frames as a video, five votes at temperature 0.7. A server gets the same
frames as ten pictures: another protocol, so `protocol` says which, and each protocol is a column of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from eval.narrlv import JUDGES
from eval.narrlv.judges.contract import Frames, Judge, JudgeError, Sampling, jpeg
from eval.narrlv.judges.qwen import Qwen, video_patches
from eval.narrlv.judges.server import Server

__all__ = ["Frames", "Judge", "JudgeError", "Qwen", "Sampling", "Server", "build", "jpeg", "video_patches"]


def build(kind: str, params: Mapping[str, Any]) -> Judge:
    """A registered judge from plain settings, `sampling` a mapping; `ValueError` names what it does not know."""
    judge = JUDGES.get(kind)
    names = inspect.signature(judge).parameters
    _known(params, names, f"judge {kind!r}")
    settings = dict(params)
    if "sampling" in names:
        settings["sampling"] = _fields(Sampling, params.get("sampling", {}), "sampling of the judge")
    return judge(**settings)


def _fields(kind: type, values: Mapping[str, Any], where: str) -> Any:
    _known(values, inspect.signature(kind).parameters, where)
    return kind(**values)


def _known(values: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    if unknown := values.keys() - set(names):
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}; known are {', '.join(names)}")
