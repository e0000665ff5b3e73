"""Draw the pictures of docs/method.md from the schedules that the engine runs: `python docs/draw.py [FOLDER]`.

The methods run on `miga.experiment.plan.Blank`, a base model with the window and the noise levels of VideoCrafter2 and
no network. What they ask of it is recorded before each sweep; nothing here knows how a window is planned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, TypeVar

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from miga.engine.trace import Trace
from miga.engine.windows import Window
from miga.experiment.job import configure
from miga.experiment.plan import Blank, Silence
from miga.models import registry

STYLE = Path(__file__).parent.parent / "eval" / "style.mplstyle"
STEPPED, GUIDE, CONTEXT = "#00507D", "#E69F00", "#C9E2F2"  # dark, medium and light in grey, too
LEVELS = "cividis"

T = TypeVar("T")


@dataclass(frozen=True)
class Sweep:
    """A sweep as it is about to run: frame numbers and levels of its queue, its windows, windows in each call."""

    stage: str
    ids: np.ndarray
    levels: np.ndarray
    windows: list[Window]
    calls: list[int]


class Recorder(Trace):
    def __init__(self) -> None:
        super().__init__()
        self.sweeps: list[Sweep] = []

    def sweep(self, stage, queue, plan):
        self.sweeps.append(Sweep(stage, queue.ids.numpy().copy(), queue.levels.numpy().copy(), list(plan), []))


class Recorded(Blank):
    """The stand-in of a base model; counts how many windows share each call."""

    recorder: Recorder

    def denoise(self, latents, levels, text, guidance_scale=None):
        if self.recorder.sweeps:  # not the base clip
            self.recorder.sweeps[-1].calls.append(len(latents))
        return super().denoise(latents, levels, text, guidance_scale)


def schedule(name: str, frames: int = 96, **params) -> list[Sweep]:
    """All sweeps of a method for a video of so many latent frames."""
    spec = registry.get("videocrafter2")
    model, (method, config) = Recorded(spec, {}), configure(name, params)
    model.recorder = Recorder()
    with torch.inference_mode():
        for _ in method.generate(model, model.encode(["-"]), frames, config, Silence(0), model.recorder):
            pass
    return model.recorder.sweeps


def of_stage(sweeps: list[Sweep], *stages: str) -> list[Sweep]:
    return [sweep for sweep in sweeps if sweep.stage in stages]


def steady(sweeps: list[Sweep]) -> Sweep:
    """A sweep from the middle of the zigzag stage, with the queue at its full length."""
    return middle(of_stage(sweeps, "zigzag"))


def middle(items: Sequence[T]) -> T:
    return items[len(items) // 2]


def queue(fifo: list[Sweep], miga: list[Sweep], path: Path) -> None:
    """Levels of the frames in flight, sweep after sweep."""
    panels = {"FIFO-Diffusion": of_stage(fifo, "diagonal"), "MIGA, zigzag stage": of_stage(miga, "warmup", "zigzag")}
    with figure(path, 1, 2, 7.4, 3.1, sharex=True, sharey=True) as (drawn, axes):
        for axis, (title, sweeps) in zip(axes[0], panels.items(), strict=True):
            grid = np.full((len(sweeps), max(sweep.ids[-1] for sweep in sweeps) + 1), np.nan)
            for row, sweep in zip(grid, sweeps, strict=True):
                row[sweep.ids[sweep.levels >= 0]] = sweep.levels[sweep.levels >= 0]
            edges = (-0.5, grid.shape[1] - 0.5, len(sweeps) - 0.5, -0.5)
            image = axis.imshow(grid, cmap=LEVELS, vmin=0, vmax=63, extent=edges, aspect="auto", interpolation="none")
            axis.set(title=title, xlabel="frame")
            axis.grid(False)
        axes[0][0].set(ylabel="sweep", ylim=(min(map(len, panels.values())) - 0.5, -0.5))
        drawn.subplots_adjust(wspace=0.08)
        drawn.colorbar(image, ax=axes[0], label="noise level", pad=0.02)


def levels(fifo: list[Sweep], miga: list[Sweep], path: Path) -> None:
    """Levels that the denoiser sees in one window, by method and stage."""
    panels = {
        "FIFO-Diffusion": of_stage(fifo, "diagonal")[-1],
        "MIGA, zigzag": steady(miga),
        "MIGA, unified": of_stage(miga, "unified")[0],
    }
    with figure(path, 1, 3, 7.4, 2.5, sharey=True) as (_, axes):
        for axis, (title, sweep) in zip(axes[0], panels.items(), strict=True):
            window = middle(sweep.windows)
            seen, colours = np.maximum(sweep.levels[list(window.frames)], 0), roles(window, sweep.stage)
            axis.bar(range(len(seen)), seen + 1, 0.85, bottom=-1, color=colours)
            own = len(set(seen[np.array(colours) != GUIDE]))
            axis.set_title(f"{title}:\n{own} level{'s' * (own > 1)}{' + guides' * (GUIDE in colours)}")
            axis.set_xlabel("frame of the window")
            axis.grid(False, axis="x")
        axes[0][0].set(ylabel="noise level", ylim=(-1, 64))
        legend(axes[0][2])


def windows(miga: list[Sweep], path: Path) -> None:
    """Every window of one sweep of the zigzag stage, and which of them share a call of the denoiser."""
    sweep = steady(miga)
    n = len(sweep.ids)
    with figure(path, 1, 1, 7.4, 4.6) as (_, [[axis]]):
        draw_windows(axis, sweep, sweep.windows)
        ends = list(accumulate(sweep.calls))
        for call, (start, end) in enumerate(pairwise([0, *ends]), 1):
            axis.plot([n + 2] * 2, [start - 0.35, end - 0.65], color="#333333", linewidth=1.2)
            axis.text(n + 4, (start + end - 1) / 2, f"call {call}", va="center", fontsize=8)
        axis.set(xlabel="position in the queue (0: the oldest, cleanest frame)", ylabel="window", xlim=(-1, n + 18))
        axis.set_title(f"One sweep over {n} frames, up to {max(sweep.calls)} windows per call")
        legend(axis, loc="upper right", bbox_to_anchor=(0.9, 1))


def guidance(path: Path) -> None:
    """Which earlier frames guide a window under each policy."""
    policies = ("prefix_uniform", "comb", "head")
    with figure(path, len(policies), 1, 7.4, 5.2, sharex=True) as (drawn, axes):
        for axis, policy in zip(axes[:, 0], policies, strict=True):
            sweep = steady(schedule("miga", guidance=policy))
            chosen = range(1, len(sweep.windows), 4)
            draw_windows(axis, sweep, [sweep.windows[number] for number in chosen])
            axis.set_yticks(range(len(chosen)), chosen)
            axis.set(title=f"guidance: {policy}", ylabel="window")
        axes[-1][0].set_xlabel("position in the queue (0: the oldest, cleanest frame)")
        legend(axes[0][0], loc="upper right")
        drawn.subplots_adjust(hspace=0.32)


def wavefront(miga: list[Sweep], path: Path) -> None:
    """Stage 2: what each window of the unified stage steps, and how much of stage 1 had arrived when it ran."""
    cells = []
    for sweep in of_stage(miga, "unified"):
        for window in sweep.windows:
            first = window.steps[0]
            cells.append((sweep.ids[-1] + 1, sweep.ids[first], sweep.levels[first], window))
    total, top, lowest = cells[-1][0], max(cell[2] for cell in cells), min(cell[2] for cell in cells)
    with figure(path, 1, 1, 7.4, 3.0) as (_, [[axis]]):
        for arrived, start, level, window in cells:
            number, shade = top - level, arrived / total
            colour = plt.get_cmap(LEVELS)(shade)
            axis.add_patch(Rectangle((start, number), window.keep, 1, facecolor=colour, edgecolor="white", lw=0.6))
            if window.keep > 6:
                place, ink = (start + window.keep / 2, number + 0.5), "black" if shade > 0.5 else "white"
                axis.text(*place, arrived, ha="center", va="center", fontsize=7, color=ink)
            if arrived == 136:  # any moment after the first frames are finished, before the last ones arrive
                read = Rectangle((start, number + 0.05), len(window.frames), 0.9, fill=False, lw=1.6, zorder=3)
                axis.add_patch(read)
        axis.set(xlim=(0, total), ylim=(top - lowest + 1, 0), xlabel="frame", ylabel="sweep of the unified stage")
        axis.set_yticks(np.arange(top - lowest + 1) + 0.5, range(top - lowest + 1))
        axis.grid(False)
        axis.set_title("Frames that had left stage 1 when each window ran")


def draw_windows(axis: Axes, sweep: Sweep, chosen: Sequence[Window]) -> None:
    """A row per window: the queue positions that it reads, coloured by what they are to it."""
    for row, window in enumerate(chosen):
        for position, colour in zip(window.frames, roles(window, sweep.stage), strict=True):
            axis.add_patch(Rectangle((position - 0.5, row - 0.4), 1, 0.8, color=colour, linewidth=0.4))
    axis.set(xlim=(-1, len(sweep.ids)), ylim=(len(chosen) - 0.4, -0.6))
    axis.grid(False, axis="y")


def roles(window: Window, stage: str) -> list[str]:
    """Colour of each frame of a window: takes a step, guides it (in front, in the zigzag stage), or is read only."""
    guides = window.offset if stage == "zigzag" else 0
    stepped = range(window.offset, window.offset + window.keep)
    places = range(len(window.frames))
    return [STEPPED if place in stepped else GUIDE if place < guides else CONTEXT for place in places]


def legend(axis: Axes, **where) -> None:
    named = {"takes a step": STEPPED, "read only": CONTEXT, "guidance frame": GUIDE}
    axis.legend(handles=[Patch(color=colour, label=label) for label, colour in named.items()], **where)


@contextmanager
def figure(path: Path, rows: int, columns: int, width: float, height: float, **options) -> Iterator[tuple[Figure, Any]]:
    with plt.style.context(STYLE):
        drawn, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
        yield drawn, axes
        drawn.savefig(path)
        plt.close(drawn)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fifo, miga = schedule("fifo_diffusion"), schedule("miga", frames=200, batch=4)
    queue(fifo, miga, folder / "queue.png")
    levels(fifo, miga, folder / "levels.png")
    windows(miga, folder / "windows.png")
    guidance(folder / "guidance.png")
    wavefront(miga, folder / "wavefront.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "pictures")
