"""What a method tells about its own run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from miga.engine.queue import LatentQueue
from miga.engine.windows import Window


class Trace:
    """What a method tells about its own run; ends in the sidecar. Values must be JSON."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {}

    def add(self, kind: str, **facts: Any) -> None:
        self.events.setdefault(kind, []).append(facts)

    def sweep(self, stage: str, queue: LatentQueue, plan: Sequence[Window]) -> None:
        """Called before every sweep. Counts windows by the noise levels that they read: a few rows, however
        long the video."""
        rows = self.events.setdefault("levels", [])
        for window in plan:
            levels = queue.levels[list(window.frames)].clamp(min=0)
            seen = dict(stage=stage, lowest=int(levels.min()), highest=int(levels.max()))
            row = next((row for row in rows if seen.items() <= row.items()), None)
            if row is None:
                rows.append(row := dict(**seen, windows=0))
            row["windows"] += 1
