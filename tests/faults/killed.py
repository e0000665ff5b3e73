"""The stages of a small suite, killed at random moments and begun again: `python -m tests.faults.killed SUITE OUT`.

Everything is imported and loaded once, then each attempt is a fork that is killed with all that it started. Results of
a run that nobody killed are in OUT/whole, those of the killed ones in OUT/killed; what happened is printed as JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from eval import kept, leaderboard, records, scores, tables, track
from eval.benchmark import BENCHMARKS, Sheet
from miga import models
from miga.engine.method import METHODS
from miga.experiment.digest import ROOT
from miga.experiment.experiment import load_experiment
from miga.experiment.job import Job
from miga.experiment.run import run_shard

BASE, BENCHMARK = "sprites-unet", "sprites"
KILLS = {"generation": 7, "scoring": 6, "publishing": 3}
RESAMPLES = 100


class Stages:
    """What the rules of a suite do, in one process; `made` are the files by which a stage is begun anew."""

    made = {
        "generation": [BASE],
        "scoring": ["scores.parquet", "cache"],
        "publishing": ["tables", "leaderboard", "wandb"],
    }

    def __init__(self, suite: str) -> None:
        self.experiment = load_experiment(suite, ROOT)
        (self.entry,) = self.experiment.entries.values()
        self.model = models.load(BASE, **self.experiment.suite.bases[BASE].params)
        self.prompts = {prompt.id: prompt for prompt in self.experiment.prompts[BENCHMARK]}
        self.texts = {id: self.model.encode([prompt.prompt])[0] for id, prompt in self.prompts.items()}
        self.benchmark, self.settings = BENCHMARKS.get(BENCHMARK), self.experiment.suite.benchmarks[BENCHMARK]

    def videos(self, suite: Path) -> dict[str, Path]:
        return {id: suite / records.place(BASE, self.entry.method, id, 1) for id in self.prompts}

    def generation(self, suite: Path) -> None:
        common = dict(suite=suite.name, base=BASE, entry=self.entry.method, method=self.entry.method, seed=1)
        common |= dict(frames=self.experiment.suite.frames, encoder=self.experiment.suite.encoder)
        jobs = [
            Job(prompt_id=id, prompt=self.prompts[id].prompt, video=video, **common)
            for id, video in self.videos(suite).items()
        ]
        run_shard(jobs, self.model, self.texts, log=lambda line: None)

    def scoring(self, suite: Path) -> None:
        videos = list(self.videos(suite).values())
        places = suite / "said", suite / "cache"
        found = kept.score(self.benchmark, videos, self.prompts, self.settings, *places, deciding=None)
        scores.write(found, suite / "scores.parquet")

    def publishing(self, suite: Path) -> None:
        table = scores.read(suite / "scores.parquet")
        labels = {self.entry.method: METHODS.get(self.entry.method).card.label}
        facts = records.collect(map(records.sidecar_of, self.videos(suite).values()), labels)
        records.write(facts, suite / "videos.parquet")
        title, note = self.experiment.suite.title, self.experiment.suite.note
        sheet = Sheet(title, note, entries=list(self.experiment.entries), resamples=RESAMPLES)
        for make in self.benchmark.tables(self.settings).values():
            tables.write(make(table, facts, sheet), suite / "tables")
        board = leaderboard.build(table, facts, "2026-01-31", self.benchmark.board(self.settings), RESAMPLES)
        leaderboard.write(board, suite / "leaderboard/vbench.csv")
        track.publish(suite, "offline", videos=1)


def forked(work: Callable[[Path], None], suite: Path, after: float | None = None) -> bool:
    """Do the work; whether it was killed, `after` so many seconds (None: never), with all that it started."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        try:
            work(suite)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        with suppress(ProcessLookupError):  # over already
            os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def main(suite: str, out: Path) -> None:
    stages, chance, told = Stages(suite), random.Random(7), {}
    whole, killed = (out / name / stages.experiment.name for name in ("whole", "killed"))
    for name, kills in KILLS.items():
        work, began = getattr(stages, name), time.monotonic()
        forked(work, whole)
        longest, deaths, over = time.monotonic() - began, 0, 0
        while deaths < kills:
            if forked(work, killed, chance.uniform(0, longest)):
                deaths += 1
                continue
            over += 1
            for made in (killed / made for made in stages.made[name]):
                shutil.rmtree(made) if made.is_dir() else made.unlink(missing_ok=True)
        forked(work, killed)
        told[name] = {"deaths": deaths, "over": over}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
