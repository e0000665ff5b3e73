"""How far a run of a suite is: what it set out to make, what of that is there, and when it ends by the plan."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from eval.files import write_json
from eval.parsing import Strict, parse
from eval.records import place, sidecar_of

FILE = "run.json"  # in the folder of a suite


class Part(Strict):
    """Videos of one entry on one base model that a run makes."""

    frames: int  # of each video
    passes: tuple[float, float]  # of the denoiser over a window, for one video: least and most
    pace: float | None  # seconds of a pass
    videos: list[str]  # sidecars to come, relative to the folder of the suite

    def cost(self) -> float:
        """Of one video: seconds, or passes where no pace is known; the middle of what the plan says."""
        return sum(self.passes) / 2 * (self.pace or 1)


class Run(Strict):
    """What a run of a suite set out to make, as it was before the first job."""

    suite: str
    began: float  # seconds since the epoch
    asked: int  # videos of the suite
    devices: int  # that make videos side by side
    smaller: str | None  # a smaller suite
    parts: list[Part]

    @property
    def missing(self) -> int:
        return sum(len(part.videos) for part in self.parts)

    def hours(self) -> tuple[float, float]:
        """Device hours of all that is to be made, least and most; NaN where a pace is unknown."""
        each = [(len(part.videos) * (part.pace or math.nan) / 3600, part.passes) for part in self.parts]
        return sum(hours * least for hours, (least, _) in each), sum(hours * most for hours, (_, most) in each)

    def sentence(self) -> str:
        """What is to be made, what it costs, when it ends, and what would be less."""
        if not self.missing:
            return f"{self.suite}: all {count(self.asked, 'video')} are there; scores and tables are to be made"
        said = f"{self.suite}: {count(self.missing, 'video')} to make of {self.asked:,}"
        least, most = self.hours()
        if math.isnan(most):
            said += "; how long that takes shows after the first ones"
        else:
            spans = f"{least:,.1f} to {most:,.1f}" if round(least, 1) < round(most, 1) else f"{most:,.1f}"
            end = self.began + (least + most) / 2 / self.devices * 3600
            said += f", {spans} hours of one device, {self.devices} at work: ends about {clock(end)}"
        return said + (f" (less: --config suite={self.smaller})" if self.smaller else "")


class Progress:
    """What is there of what a run set out to make. `folder` is that of the suite."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.waiting = [(part, folder / video) for part in run.parts for video in part.videos]
        self.frames = self.cost = 0.0
        self.all = sum(part.cost() for part, _ in self.waiting)

    def look(self) -> int:
        """How many videos of the suite are there now; looks only at those that were not."""
        still = []
        for part, sidecar in self.waiting:
            if newer(sidecar, self.run.began):
                self.frames += part.frames
                self.cost += part.cost()
            else:
                still.append((part, sidecar))
        self.waiting = still
        return self.run.asked - len(still)

    def pace(self, now: float) -> str:
        """Frames per second since the run began, and when its last video is there; by the last `look`."""
        if not self.waiting:
            return "all there"
        elapsed = now - self.run.began
        if self.cost:
            end = now + elapsed * (self.all - self.cost) / self.cost
        else:
            least, most = self.run.hours()
            end = self.run.began + (least + most) / 2 / self.run.devices * 3600
        ends = "" if math.isnan(end) else f", videos end about {clock(max(end, now))}"
        return f"{self.frames / max(elapsed, 1e-9):,.1f} frames/s{ends}"


def begin(suite: str, folder: Path, parts: Iterable[Part], asked: int, devices: int, smaller: str | None = None) -> Run:
    """Write down what a run sets out to make, for all who look on."""
    run = Run(suite=suite, began=time.time(), asked=asked, devices=devices, smaller=smaller, parts=list(parts))
    write_json(folder / FILE, run.model_dump())
    return run


def missing(
    folder: Path, base: str, entry: str, videos: Iterable[tuple[str, str | None, int]], **asked: Any
) -> list[str]:
    """Sidecars of those videos of a generation job that are not there, or say something else than what is asked."""
    sidecars = [sidecar_of(place(base, entry, prompt, seed)) for prompt, _, seed in videos]
    return [sidecar.as_posix() for sidecar in sidecars if not says(folder / sidecar, asked)]


def says(sidecar: Path, asked: dict[str, Any]) -> bool:
    """Whether there is a whole sidecar that says all of this."""
    try:
        return asked.items() <= json.loads(sidecar.read_text()).items()
    except (OSError, ValueError):
        return False


def newer(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime >= moment
    except OSError:
        return False


def clock(moment: float) -> str:
    """The time of day, with the day where that is not today."""
    day = "" if time.localtime(moment)[:3] == time.localtime()[:3] else "%a %d %b "
    return time.strftime(f"{day}%H:%M", time.localtime(moment))


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def progress(suite: Positional[Path]) -> None:
    """Say how far the run of a suite is, from outside: another terminal or machine.

    Example: miga progress results/sprites

    Args:
        suite: The folder of a suite, such as results/sprites.
    """
    try:
        said = json.loads((suite / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{suite}: no run has begun there (it has no {FILE})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{suite / FILE}: not a JSON file ({error})") from None
    run = parse(Run, said, str(suite / FILE))
    seen, now = Progress(run, suite), time.time()
    print(f"{run.suite}: {seen.look():,} of {count(run.asked, 'video')}; {seen.pace(now)}; begun {clock(run.began)}")
