"""A moving strip of a finished suite: one prompt, a few methods side by side in step, the curve of drift under them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from eval import records, scores, video
from eval.files import write_bytes
from eval.parsing import known
from eval.plots import STYLE, looks

WIDTH, HEIGHT = 7.0, 3.1  # inches
DPI = 110
SOFTWARE, MARK = 0x0131, "miga strip"  # the EXIF tag by which a strip is known for one


def strip(
    suite: str | Path,
    entries: Sequence[str] = (),
    base: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
) -> tuple[list[Image.Image], float]:
    """Frames of the strip and their rate. What is not chosen is the first there is: nothing is picked by looks.

    entries: default: all but controls. `ValueError` names what the suite does not have.
    """
    suite = Path(suite)
    facts, table = records.read(suite / "videos.parquet"), scores.read(suite / "scores.parquet")
    chosen = facts
    for name, value in (("base", base), ("prompt_id", prompt), ("seed", seed)):
        value = chosen[name].iloc[0] if value is None else value
        known(str(value), set(map(str, chosen[name])), f"{name} of {suite}")
        chosen = chosen[chosen[name] == value]
    entries = list(entries) or chosen.loc[~chosen["control"].eq(True), "entry"].tolist()
    for entry in entries:
        known(entry, set(chosen["entry"]), f"entry of {suite}")
    chosen = chosen.set_index("entry").loc[entries].reset_index()
    clips = [np.concatenate([part.numpy() for part in video.chunks(suite / path)]) for path in records.places(chosen)]
    curves = table[table["metric"] == "drift"].merge(chosen[list(records.PLACE)]).set_index("entry")["series"]
    drawn = looks(table, facts, entries)
    return list(_frames(clips, curves, drawn, chosen["prompt"].iloc[0], chosen["fps"].iloc[0])), chosen["fps"].iloc[0]


def write(frames: Sequence[Image.Image], fps: float, path: str | Path, quality: int = 60) -> None:
    """An animated WebP that begins again at its end."""
    held, about = io.BytesIO(), Image.Exif()
    about[SOFTWARE] = MARK
    kind = dict(exif=about, format="WEBP", quality=quality, method=4, duration=round(1000 / fps), loop=0)
    frames[0].save(held, save_all=True, append_images=frames[1:], **kind)
    write_bytes(path, held.getvalue())


def is_strip(path: Path) -> bool:
    """Whether a picture is of `write`; an error where it is no picture."""
    with Image.open(path) as picture:
        return picture.getexif().get(SOFTWARE) == MARK


def _frames(clips, curves, drawn, prompt: str, fps: float):
    with plt.style.context(STYLE):
        figure = plt.figure(figsize=(WIDTH, HEIGHT), dpi=DPI)
        grid = figure.add_gridspec(2, len(clips), height_ratios=(1.7, 1), hspace=0.12, wspace=0.04)
        figure.subplots_adjust(left=0.075, right=0.99, top=0.86, bottom=0.13)
        figure.text(0.5, 0.985, f"“{prompt}”", ha="center", va="top", style="italic")
        pictures = []
        for place, (clip, look) in enumerate(zip(clips, drawn.values(), strict=True)):
            axis = figure.add_subplot(grid[0, place])
            axis.set_axis_off()
            axis.set_title(look.label, color=look.colour, fontweight="bold")
            pictures.append(axis.imshow(clip[0], interpolation="nearest"))
        axis = figure.add_subplot(grid[1, :])
        lines = [axis.plot([], [], color=look.colour, dashes=look.dashes)[0] for look in drawn.values()]
        found = [np.asarray(curves[entry]) for entry in drawn]
        axis.set_xlim(0, max(map(len, clips)) / fps)
        axis.set_ylim(min(0.9, min(curve.min() for curve in found)) - 0.02, 1.01)
        axis.set_xlabel("seconds")
        axis.set_ylabel("like its start")
        for frame in range(max(map(len, clips))):
            for picture, line, clip, curve in zip(pictures, lines, clips, found, strict=True):
                picture.set_data(clip[min(frame, len(clip) - 1)])
                line.set_data(np.arange(len(curve))[: frame + 1] / fps, curve[: frame + 1])
            figure.canvas.draw()
            yield Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
        plt.close(figure)
