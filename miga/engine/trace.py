"""What a method tells about its own run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from miga.engine.queue import LatentQueue
from miga.engine.windows import Window


class Trace:
    """What a method tells about its own run; ends in the sidecar. Values must be JSON.

    `events` holds lists of facts by kind. A kind of a method's own is only kept; these are read by plots and reports:

    settings: all constants of the run, once.
    levels: `stage`, `lowest` and `highest` level, and how many `windows` read them; noted for every sweep.
    reflection: a judgement: `stage`, `sweep`, first `frame` of the chunk, `previous` score or None, `score`,
        `triggered`, scores of the `candidates`, number of the `adopted` one or None.
    consistency: the same `score` of finished frames from `frame` on.
    """

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}

    def add(self, kind: str, **facts: Any) -> None:
        """Note facts of a kind, behind those noted before."""
        self.events.setdefault(kind, []).append(facts)

    def sweep(self, stage: str, queue: LatentQueue, plan: Sequence[Window]) -> None:
        """Called before every sweep. Counts windows by the levels that they read: few rows, however long the video."""
        rows = self.events.setdefault("levels", [])
        for window in plan:
            levels = queue.levels[list(window.frames)].clamp(min=0)
            seen = dict(stage=stage, lowest=int(levels.min()), highest=int(levels.max()))
            row = next((row for row in rows if seen.items() <= row.items()), None)
            if row is None:
                rows.append(row := dict(**seen, windows=0))
            row["windows"] += 1
