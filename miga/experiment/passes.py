"""Passes of each entry on each base model, counted once per suite; how many videos a job of a size makes, and how long.

No torch, unless something is to be counted: every job of a run reads this.
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from pathlib import Path

from pydantic import FiniteFloat, RootModel

from eval.files import write_json
from eval.parsing import parse
from eval.registry import Registry
from miga.experiment.digest import frames_digest
from miga.experiment.experiment import Experiment

METHODS = Registry("miga.methods", "method")
LOADING = 15  # minutes for which a job may load its model
SPARE = 1.5  # as long as the plan says that the most takes: a slower card, a busy file system
UNKNOWN = 240  # minutes of a job where no pace is known


class Kept(RootModel):
    """What the file holds; anything else counts as nothing."""

    root: dict[str, tuple[FiniteFloat, FiniteFloat, FiniteFloat]]


class Passes:
    """Passes of the denoiser over a window for one video, least and most, by `(base, entry)`; kept in a file, together
    with the passes that a call takes: more than one where it is over a whole video.

    What is kept counts as long as the method, its parameters, the base model and the length are the same.
    """

    def __init__(self, experiment: Experiment, file: Path) -> None:
        self.experiment, self.file, self.keys = experiment, file, {}
        try:
            self.kept = parse(Kept, json.loads(file.read_text(encoding="utf-8")), str(file)).root
        except (OSError, ValueError, RecursionError):
            self.kept = {}

    def __getitem__(self, which: tuple[str, str]) -> tuple[float, float]:
        least, most, _ = self.counted(*which)
        return least, most

    def known(self, base: str, entry: str) -> float:
        """The most of one video, or 0 as long as that has not been counted."""
        return self.kept.get(self.key(base, entry), (0, 0, 0))[1]

    def of_a_call(self, base: str, entry: str) -> float:
        """Passes that a call of the denoiser takes, as sidecars count calls."""
        return self.counted(base, entry)[2]

    def counted(self, *which: str) -> tuple[float, float, float]:
        key = self.key(*which)
        if key not in self.kept:
            from miga.experiment.plan import cost_of

            cost = cost_of(self.experiment, *which)
            self.kept[key] = (*cost.passes, cost.of_a_call)
            with suppress(OSError):  # counted again next time
                write_json(self.file, self.kept)
        return self.kept[key]

    def key(self, *which: str) -> str:
        """The entry on the base model, and a digest of all that its passes depend on."""
        if which not in self.keys:
            self.keys[which] = self.new_key(*which)
        return self.keys[which]

    def new_key(self, base: str, entry: str) -> str:
        chosen, row = self.experiment.suite.bases[base], self.experiment.rows()[entry]
        code = frames_digest(METHODS.module(row.method), "miga.experiment.plan")
        asked = [row.method, row.params, chosen.model, chosen.params, chosen.frames or self.experiment.suite.frames]
        digest = hashlib.sha256(json.dumps([*asked, code], sort_keys=True, default=str).encode())
        return f"{base}/{entry} {digest.hexdigest()[:16]}"

    def videos_of_a_job(self, base: str, entry: str, hours: float) -> int:
        """How many videos take about so many hours by the suite's pace; a power of two, so that a method that costs a
        little more than it did keeps its shards. At most the suite's `shard`, which holds where no pace is known."""
        suite = self.experiment.suite
        pace = suite.bases[base].seconds_per_call
        if pace is None:
            return suite.shard
        fitting = hours * 3600 / (pace * sum(self[base, entry]) / 2)
        return max(min(2 ** math.floor(math.log2(max(fitting, 1))), suite.shard), 1)

    def minutes(self, base: str, entry: str, videos: int) -> int:
        """How long a job that makes so many videos may take at most."""
        pace = self.experiment.suite.bases[base].seconds_per_call
        if pace is None:
            return UNKNOWN
        return LOADING + math.ceil(SPARE * videos * pace * self[base, entry][1] / 60)
