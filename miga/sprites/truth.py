"""Whether a video of the sprites world shows what its prompt asks, from what the reader sees in each frame.

All of it is for prompts without events. Readings are arrays of one number per frame; a metric's series has one too.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage

from miga.sprites import world
from miga.sprites.reader import HEADS, Reading

DEAD = 4  # frames in a row (half a second) that a subject must be wrong to have been lost
SLOWEST, FASTEST = 1.1, 1.9  # pixels per frame: the speeds that the world draws
STEP = 4  # frames over which a speed is measured
SMALLEST = 30  # pixels of a subject's region
NEAR = 75.0  # distance in RGB up to which a pixel has a subject's colour
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}  # axis, sign
AXES = {name: (axis,) for name, (axis, _) in DIRECTIONS.items()} | {"still": (), "bouncing": (0, 1)}

Frames = Bool[np.ndarray, " T"]


def agreement(reading: Reading, asked: world.Scene) -> dict[str, Frames]:
    """Per attribute (shape, colour, background, pattern) whether each frame shows it as asked."""
    return {name: getattr(reading, name) == HEADS[name].index(getattr(asked, name)) for name in HEADS}


def prompt_fidelity(reading: Reading, asked: world.Scene) -> Frames:
    """Whether each frame shows all four attributes as asked; the metric is the share."""
    return np.all(list(agreement(reading, asked).values()), axis=0)


def alive(reading: Reading, asked: world.Scene) -> Frames:
    """Whether each frame shows the asked subject: its shape and its colour."""
    shown = agreement(reading, asked)
    return shown["shape"] & shown["colour"]


def kept(reading: Reading, window: int = world.WINDOW) -> Frames:
    """Whether each frame shows the subject of the beginning: the commonest of the first window (ties: the earlier)."""
    subjects = np.stack([reading.shape, reading.colour], axis=1)
    found, first, count = np.unique(subjects[:window], axis=0, return_index=True, return_counts=True)
    commonest = min(range(len(found)), key=lambda i: (-count[i], first[i]))
    return (subjects == found[commonest]).all(1)


def death(alive: Frames) -> int | None:
    """The first frame of the first DEAD frames in a row that are all wrong; None where there are none."""
    runs = np.lib.stride_tricks.sliding_window_view(~alive, DEAD).all(1) if len(alive) >= DEAD else np.zeros(0, bool)
    return int(runs.argmax()) if runs.any() else None


def lifetime(alive: Frames) -> float:
    """The share of the video until the subject is lost, 1 where it is not: the value of `identity`."""
    end = death(alive)
    return 1.0 if end is None else end / len(alive)


def motion_fidelity(
    x: Float[np.ndarray, " T"], y: Float[np.ndarray, " T"], motion: str, window: int = world.WINDOW
) -> Float[np.ndarray, " windows"]:
    """Per window (the rest is dropped) how well the subject moves as asked, 0..1; the metric is the mean.

    Along an asked axis the speed must lie where the world's speeds do, and be steady: steps from frame to frame no
    larger than the way that they make. Along the others it must be slow. Reflections at the border are allowed.
    """
    count = len(x) // window
    raw = np.stack([x, y], axis=1).astype(np.float64)
    raw, smooth = (places[: count * window].reshape(count, window, 2) for places in (raw, smoothed(raw)))
    speed = np.median(np.abs(smooth[:, STEP:] - smooth[:, :-STEP]), axis=1) / STEP
    steps = np.median(np.abs(np.diff(raw, axis=1)), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        steady = np.where(steps > 0, np.minimum(1, speed / steps), 1)
        moves = np.minimum(1, speed / SLOWEST) * np.where(speed > 0, np.minimum(1, FASTEST / speed), 1) * steady
    rests = np.maximum(0, 1 - speed / SLOWEST)
    return np.prod([(moves if axis in AXES[motion] else rests)[:, axis] for axis in (0, 1)], axis=0)


def smoothed(places: Float[np.ndarray, "T 2"]) -> Float[np.ndarray, "T 2"]:
    """The median of every three frames, the ends repeated: single misread frames drop out."""
    wide = np.concatenate([places[:1], places, places[-1:]])
    return np.median(np.stack([wide[:-2], wide[1:-1], wide[2:]]), axis=0)


def starts_right(x: Float[np.ndarray, " T"], y: Float[np.ndarray, " T"], motion: str) -> bool | None:
    """Whether the first eight frames go in the asked direction; None where none is asked, or where they are fewer."""
    if motion not in DIRECTIONS or len(x) < 8:
        return None
    axis, sign = DIRECTIONS[motion]
    place = (x, y)[axis]
    return bool(np.sign(place[7] - place[0]) == sign)


def subjects(frames: UInt8[np.ndarray, "n 64 64 3"]) -> Int[np.ndarray, " n"]:
    """How many subjects each frame shows: 8-connected regions of the colours that only subjects have."""
    own = np.array(list(world.COLOURS.values()), np.float64)
    palette = np.concatenate([own, np.array(list(world.BACKGROUNDS.values()), np.float64).reshape(-1, 3)])
    values = frames.astype(np.float64)
    apart = (
        np.square(values).sum(-1)[..., None] - 2 * values @ palette.T + np.square(palette).sum(-1)
    )  # exact: integers
    shown = (apart.argmin(-1) < len(own)) & (apart.min(-1) <= NEAR**2)
    return np.array([_regions(frame) for frame in shown], np.int64)


def _regions(shown: Bool[np.ndarray, "h w"]) -> int:
    regions, count = ndimage.label(shown, structure=np.ones((3, 3)))
    return int((np.bincount(regions.ravel(), minlength=count + 1)[1:] >= SMALLEST).sum())
