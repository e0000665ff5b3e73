"""The sprites world: a seeded, procedurally drawn video domain with exact ground truth.

A `Scene` says what a clip shows (shape, colour, motion, background, events in order). `caption` writes it as one
sentence, `parse` reads that sentence back, `sample_scenes` draws scenes at random and `render` draws clips.

Geometry: frames are 64x64 pixels, x grows to the right and y downwards, positions are the centre of the shape in
pixels. Shapes never leave the frame: a shape that reaches the border is reflected, so in a long video "moves left"
means that it starts to the left and then goes back and forth. Backgrounds are drawn in 8-pixel cells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

SIZE = 64  # pixels, both sides
WINDOW = 16  # frames of a native clip
FPS = 8  # at which a clip is shown
CELL = 8  # pixels, width of stripes and checks

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {
    "red": (225, 40, 40),
    "green": (50, 185, 60),
    "blue": (50, 85, 240),
    "yellow": (245, 220, 45),
    "purple": (175, 50, 205),
    "white": (248, 248, 248),
}
# Two shades of each background: the first is the whole of a plain background, both alternate in the patterns.
BACKGROUNDS = {
    "grey": ((125, 125, 125), (158, 158, 158)),
    "black": ((20, 20, 22), (62, 62, 66)),
    "brown": ((105, 68, 40), (142, 98, 64)),
    "teal": ((18, 95, 100), (44, 132, 136)),
    "pink": ((228, 165, 180), (196, 128, 146)),
}
PATTERNS = ("plain", "striped", "checkered")
MOTIONS = ("left", "right", "up", "down", "still", "bouncing")
SIZES = {"small": 20, "medium": 24, "large": 28}  # diameter in pixels
COMPANION = 14  # diameter of the second shape: always clearly smaller than the first
MARGIN = 1.0  # pixels between a shape and the border

MOTION_PHRASES = {
    "left": "moves left",
    "right": "moves right",
    "up": "moves up",
    "down": "moves down",
    "still": "stays still",
    "bouncing": "bounces around",
}
_MOTION_OF = {phrase: motion for motion, phrase in MOTION_PHRASES.items()}
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
_EVENT_VALUES = {"colour": tuple(COLOURS), "motion": MOTIONS, "background": tuple(BACKGROUNDS)}


@dataclass(frozen=True)
class Event:
    """One change inside a clip: `kind` is colour, motion or background, `value` is what it becomes."""

    kind: str
    value: str

    def __post_init__(self) -> None:
        if self.value not in _EVENT_VALUES.get(self.kind, ()):
            raise ValueError(f"no such event: {self.kind} becomes {self.value}")


@dataclass(frozen=True)
class Scene:
    """What a clip shows. `events` happen in order, at equal distances in time. `companion` is (colour, shape)."""

    shape: str
    colour: str
    motion: str
    background: str
    pattern: str
    size: str = "medium"
    companion: tuple[str, str] | None = None
    events: tuple[Event, ...] = field(default=())

    def __post_init__(self) -> None:
        known = {
            "shape": SHAPES,
            "colour": COLOURS,
            "motion": MOTIONS,
            "background": BACKGROUNDS,
            "pattern": PATTERNS,
            "size": SIZES,
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; known: {', '.join(values)}")
        if self.companion and (self.companion[0] not in COLOURS or self.companion[1] not in SHAPES):
            raise ValueError(f"unknown companion {self.companion!r}")


# ---------------------------------------------------------------------------------------------------------- captions


def caption(scene: Scene) -> str:
    """The one sentence of a scene, e.g. 'a red circle moves left over a plain grey background, then it turns blue'."""
    size = "" if scene.size == "medium" else f"{scene.size} "
    past = f" past a tiny {scene.companion[0]} {scene.companion[1]}" if scene.companion else ""
    subject = f"a {size}{scene.colour} {scene.shape} {MOTION_PHRASES[scene.motion]}{past}"
    return f"{subject} over a {scene.pattern} {scene.background} background" + "".join(map(_event_phrase, scene.events))


def _event_phrase(event: Event) -> str:
    if event.kind == "colour":
        return f", then it turns {event.value}"
    if event.kind == "background":
        return f", then the background turns {event.value}"
    return f", then it {MOTION_PHRASES[event.value]}"


def _either(words: Sequence[str] | dict) -> str:
    return "|".join(words)


_SCENE = re.compile(
    rf"an? (?:(?P<size>{_either(SIZES)}) )?(?P<colour>{_either(COLOURS)}) (?P<shape>{_either(SHAPES)}) "
    rf"(?P<motion>{_either(_MOTION_OF)})"
    rf"(?: past an? tiny (?P<colour2>{_either(COLOURS)}) (?P<shape2>{_either(SHAPES)}))?"
    rf" over an? (?P<pattern>{_either(PATTERNS)}) (?P<background>{_either(BACKGROUNDS)}) background"
)
_EVENT = re.compile(
    rf"it turns (?P<colour>{_either(COLOURS)})|the background turns (?P<background>{_either(BACKGROUNDS)})"
    rf"|it (?P<motion>{_either(_MOTION_OF)})"
)


def parse(text: str) -> Scene:
    """Read a caption of the grammar back (case, commas, extra blanks and a final full stop do not matter).

    Raises ValueError, in one sentence, for any other text.
    """
    words = re.sub(r"[,\s]+", " ", text.lower()).strip(" .")
    first, *rest = words.split(" then ")
    found = _SCENE.fullmatch(first)
    if not found:
        raise ValueError(f"not a caption of the sprites world: {text[:120]!r}")
    companion = (found["colour2"], found["shape2"]) if found["colour2"] else None
    return Scene(
        shape=found["shape"],
        colour=found["colour"],
        motion=_MOTION_OF[found["motion"]],
        background=found["background"],
        pattern=found["pattern"],
        size=found["size"] or "medium",
        companion=companion,
        events=tuple(_parse_event(phrase, text) for phrase in rest),
    )


def _parse_event(phrase: str, text: str) -> Event:
    found = _EVENT.fullmatch(phrase.strip())
    if not found:
        raise ValueError(f"not an event of the sprites world: {phrase[:60]!r} in {text[:120]!r}")
    kind = found.lastgroup
    assert kind is not None
    return Event(kind, _MOTION_OF[found[kind]] if kind == "motion" else found[kind])


# ---------------------------------------------------------------------------------------------------------- sampling


def sample_scenes(
    count: int, seed: int, *, events: float = 0.22, companions: float = 0.12, max_events: int = 2
) -> list[Scene]:
    """Draw `count` scenes; a share `events` has one or two events, a share `companions` a second shape."""
    rng = np.random.default_rng([seed, 0])
    return [_sample_scene(rng, events, companions, max_events) for _ in range(count)]


def _pick(rng: np.random.Generator, values: Sequence[str] | dict, *excluded: str) -> str:
    choices = [value for value in values if value not in excluded]
    return choices[int(rng.integers(len(choices)))]


def _sample_scene(rng: np.random.Generator, events: float, companions: float, max_events: int) -> Scene:
    colour = _pick(rng, COLOURS)
    state = {"colour": colour, "motion": _pick(rng, MOTIONS), "background": _pick(rng, BACKGROUNDS)}
    has_companion = rng.random() < companions
    scene = dict(
        shape=_pick(rng, SHAPES),
        pattern=_pick(rng, PATTERNS),
        # beside a companion the first shape is never small, so that it is always the larger one
        size=_pick(rng, SIZES, "small") if has_companion else _pick(rng, SIZES),
        companion=(_pick(rng, COLOURS, colour), _pick(rng, SHAPES)) if has_companion else None,
        **state,
    )
    happened = []
    if rng.random() < events:
        for _ in range(1 if rng.random() < 0.8 else max_events):
            kind = _pick(rng, _EVENT_VALUES)
            state[kind] = _pick(rng, _EVENT_VALUES[kind], state[kind])  # an event always changes something
            happened.append(Event(kind, state[kind]))
    return Scene(**scene, events=tuple(happened[:max_events]))


# --------------------------------------------------------------------------------------------------------- rendering


@dataclass
class Clips:
    """Rendered clips with their ground truth.

    frames (N, T, 64, 64, 3) uint8; `x`, `y` (N, T) float32 centre in pixels; `shape`, `colour`, `background`,
    `pattern`, `motion` (N, T) int64 indices into SHAPES, COLOURS, BACKGROUNDS, PATTERNS, MOTIONS. `motion` is what
    the shape does at that frame: after a reflection at the border "left" becomes "right"; "bouncing" stays.
    """

    frames: torch.Tensor
    x: np.ndarray
    y: np.ndarray
    shape: np.ndarray
    colour: np.ndarray
    background: np.ndarray
    pattern: np.ndarray
    motion: np.ndarray

    def state(self, clip: int, frame: int) -> dict[str, str | float]:
        """The ground truth of one frame in words."""
        at = (clip, frame)
        return {
            "shape": SHAPES[self.shape[at]],
            "colour": tuple(COLOURS)[self.colour[at]],
            "background": tuple(BACKGROUNDS)[self.background[at]],
            "pattern": PATTERNS[self.pattern[at]],
            "motion": MOTIONS[self.motion[at]],
            "x": float(self.x[at]),
            "y": float(self.y[at]),
        }


def render(scenes: Sequence[Scene], frames: int = WINDOW, seed: int = 0) -> Clips:
    """Draw one clip of `frames` frames for each scene.

    Start, speed and the exact times of the events of clip i depend on (seed, i) only.
    """
    if frames < 1:
        raise ValueError(f"a clip has at least one frame, not {frames}")
    table = _table(scenes, frames, seed)
    drawn = torch.empty(len(scenes), frames, SIZE, SIZE, 3, dtype=torch.uint8)
    step = max(1, 4096 // frames)  # bounds the memory of what is painted
    for start in range(0, len(scenes), step):
        part = slice(start, start + step)
        drawn[part] = _draw({name: torch.from_numpy(value[part]) for name, value in table.items()})
    truth = {name: table[name] for name in ("x", "y", "shape", "colour", "background", "pattern", "motion")}
    return Clips(drawn, **truth)


def places(scenes: Sequence[Scene], frames: int = WINDOW, seed: int = 0) -> np.ndarray:
    """Where the shapes of `render(scenes, frames, seed)` are, (N, T, 2) float32 x and y in pixels, without drawing."""
    table = _table(scenes, frames, seed)
    return np.stack([table["x"], table["y"]], axis=-1)


def _table(scenes: Sequence[Scene], frames: int, seed: int) -> dict[str, np.ndarray]:
    """Everything that is drawn: one array per property, its first axis the clips."""
    plans = [_plan(scene, frames, np.random.default_rng([seed, 1, i])) for i, scene in enumerate(scenes)]
    table = {name: np.stack([plan[name] for plan in plans]) for name in plans[0]}
    x, y, motion = _trajectories(table, frames)
    return table | {"x": x, "y": y, "motion": motion}


def _plan(scene: Scene, frames: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Everything random about one clip, and its attributes frame by frame."""
    cuts = _event_times(len(scene.events), frames, rng)
    timeline = {
        "colour": [(0, scene.colour)],
        "motion": [(0, scene.motion)],
        "background": [(0, scene.background)],
    }
    for cut, event in zip(cuts, scene.events, strict=True):
        timeline[event.kind].append((cut, event.value))
    radius = SIZES[scene.size] / 2
    companion = scene.companion or ("red", "circle")
    return {
        "shape": np.full(frames, SHAPES.index(scene.shape)),
        "pattern": np.full(frames, PATTERNS.index(scene.pattern)),
        "colour": _per_frame(timeline["colour"], tuple(COLOURS), frames),
        "background": _per_frame(timeline["background"], tuple(BACKGROUNDS), frames),
        "wanted": _per_frame(timeline["motion"], MOTIONS, frames),
        "radius": np.float32(radius),
        "start": _start(radius, [value for _, value in timeline["motion"]], rng),
        "speed": rng.uniform(1.1, 1.9, size=2).astype(np.float32),
        "diagonal": rng.choice([-1.0, 1.0], size=2).astype(np.float32),
        "paired": np.int64(scene.companion is not None),
        "shape2": np.int64(SHAPES.index(companion[1])),
        "colour2": np.int64(tuple(COLOURS).index(companion[0])),
        "place2": rng.uniform(COMPANION / 2 + MARGIN, SIZE - COMPANION / 2 - MARGIN, size=2).astype(np.float32),
    }


def _event_times(count: int, frames: int, rng: np.random.Generator) -> list[int]:
    """Frames at which the events happen: equal distances, moved by up to a sixteenth of the clip."""
    jitter = rng.uniform(-1 / 16, 1 / 16, size=count) if count <= 3 else np.zeros(count)
    return [round(frames * ((i + 1) / (count + 1) + jitter[i])) for i in range(count)]


def _per_frame(changes: list[tuple[int, str]], names: Sequence[str], frames: int) -> np.ndarray:
    values = np.empty(frames, dtype=np.int64)
    for start, value in changes:
        values[start:] = names.index(value)
    return values


def _start(radius: float, motions: list[str], rng: np.random.Generator) -> np.ndarray:
    """Start position: on each axis, in the part of the frame that leaves room for the first motion along it."""
    low, high = radius + MARGIN, SIZE - radius - MARGIN
    place = rng.uniform(low, high, size=2)
    for axis, (negative, positive) in enumerate((("left", "right"), ("up", "down"))):
        first = next((m for m in motions if m in (negative, positive)), None)
        room = rng.uniform(0.0, 0.4) * (high - low)
        if first:
            place[axis] = high - room if first == negative else low + room
    return place.astype(np.float32)


def _trajectories(table: dict[str, np.ndarray], frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrate all clips at once -> x, y (N, T) float32 and the actual motion (N, T) int64."""
    low = (table["radius"] + MARGIN)[:, None]
    high = SIZE - low
    place, wanted = table["start"].copy(), table["wanted"]
    places = np.empty((len(place), frames, 2), np.float32)
    actual = wanted.copy()
    speeds = _velocities(table, wanted[:, 0])
    for t in range(frames):
        if t:
            changed = wanted[:, t] != wanted[:, t - 1]
            speeds = np.where(changed[:, None], _velocities(table, wanted[:, t]), speeds)
            place = place + speeds
            out = (place < low) | (place > high)
            place = np.where(place < low, 2 * low - place, np.where(place > high, 2 * high - place, place))
            speeds = np.where(out, -speeds, speeds)
        places[:, t] = place
        actual[:, t] = _actual_motion(wanted[:, t], speeds)
    return places[..., 0], places[..., 1], actual


def _velocities(table: dict[str, np.ndarray], motion: np.ndarray) -> np.ndarray:
    """Velocity (N, 2) in pixels per frame of the wanted motion (N,)."""
    directions = np.array([_DIRECTIONS.get(name, (0, 0)) for name in MOTIONS], np.float32)[motion]
    bouncing = (motion == MOTIONS.index("bouncing"))[:, None]
    return np.where(bouncing, table["diagonal"], directions) * table["speed"]


def _actual_motion(wanted: np.ndarray, speeds: np.ndarray) -> np.ndarray:
    """The wanted motion, with left/right and up/down swapped where a reflection has turned it round."""
    along_x = np.where(speeds[:, 0] < 0, MOTIONS.index("left"), MOTIONS.index("right"))
    along_y = np.where(speeds[:, 1] < 0, MOTIONS.index("up"), MOTIONS.index("down"))
    return np.where(wanted < 2, along_x, np.where(wanted < 4, along_y, wanted))


def _distance(shape: int, dx: torch.Tensor, dy: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """Signed distance (pixels, negative inside) from points to a shape that fits in a circle or square of radius r."""
    ax, ay = dx.abs(), dy.abs()
    if SHAPES[shape] == "circle":
        return (dx.square() + dy.square()).sqrt() - r
    if SHAPES[shape] == "square":
        return torch.maximum(ax, ay) - 0.88 * r
    if SHAPES[shape] == "triangle":  # equilateral, tip up, moved down so that its height is centred
        base, dy = 1.15 * r / 2, dy - 0.29 * r
        return torch.maximum(dy - base, 0.866 * ax - 0.5 * dy - base)
    return torch.maximum(torch.minimum(ax, ay) - 0.36 * r, torch.maximum(ax, ay) - r)


PATCH = 32  # side of the part of a frame that painting one shape can touch


def _paint(image: torch.Tensor, shape: torch.Tensor, colour: torch.Tensor, x, y, r) -> None:
    """Draw one antialiased shape on each image (M, 64, 64, 3) uint8, in place; all other arguments (M,)."""
    palette = torch.tensor(list(COLOURS.values()), dtype=torch.float32)
    left, top = ((place - PATCH / 2).long().clamp(0, SIZE - PATCH) for place in (x, y))
    for kind in range(len(SHAPES)):
        these = (shape == kind).nonzero()[:, 0]
        if len(these) == 0:
            continue
        columns, rows = (start[these, None] + torch.arange(PATCH) for start in (left, top))
        where = (these[:, None, None], rows[:, :, None], columns[:, None, :])
        dx = (columns + 0.5 - x[these, None])[:, None, :]
        dy = (rows + 0.5 - y[these, None])[:, :, None]
        cover = (0.5 - _distance(kind, dx, dy, r[these, None, None])).clamp(0, 1)[..., None]
        painted = torch.lerp(image[where].float(), palette[colour[these]][:, None, None], cover)
        image[where] = painted.round_().to(torch.uint8)


def _backdrops() -> torch.Tensor:
    """All backgrounds (colours, patterns, 64, 64, 3) uint8."""
    shades = torch.tensor(list(BACKGROUNDS.values()), dtype=torch.uint8)
    cell = torch.arange(SIZE) // CELL
    striped = (cell % 2)[None, :].expand(SIZE, SIZE)
    checkered = (cell[:, None] + cell[None, :]) % 2
    masks = torch.stack([torch.zeros_like(striped), striped, checkered])
    return shades[:, masks]


def _draw(table: dict[str, torch.Tensor]) -> torch.Tensor:
    """Draw every frame of the planned clips -> (N, T, 64, 64, 3) uint8."""
    count, frames = table["x"].shape
    flat = {name: table[name].reshape(-1) for name in ("shape", "colour", "background", "pattern", "x", "y")}
    image = _backdrops()[flat["background"], flat["pattern"]]

    def each_frame(value: torch.Tensor) -> torch.Tensor:
        return value.repeat_interleave(frames)

    paired = each_frame(table["paired"]).nonzero()[:, 0]
    if len(paired):
        part = image[paired]
        place = table["place2"].repeat_interleave(frames, dim=0)[paired]
        radius = torch.full((len(paired),), COMPANION / 2)
        shape2, colour2 = each_frame(table["shape2"])[paired], each_frame(table["colour2"])[paired]
        _paint(part, shape2, colour2, place[:, 0], place[:, 1], radius)
        image[paired] = part
    _paint(image, flat["shape"], flat["colour"], flat["x"], flat["y"], each_frame(table["radius"]))
    return image.reshape(count, frames, SIZE, SIZE, 3)


def crowded_frames(count: int, seed: int, shapes: int = 5) -> torch.Tensor:
    """Frames with several overlapping shapes of all sizes and colours (count, 64, 64, 3) uint8, to train a VAE on."""
    generator = torch.Generator().manual_seed(seed)

    def draw(limit: int) -> torch.Tensor:
        return torch.randint(limit, (count,), generator=generator)

    frames = torch.empty(count, SIZE, SIZE, 3, dtype=torch.uint8)
    plan = [
        (draw(len(SHAPES)), draw(len(COLOURS)), *(torch.rand(3, count, generator=generator) * 48 + 8).unbind())
        for _ in range(shapes)
    ]
    background, pattern, backdrops = draw(len(BACKGROUNDS)), draw(len(PATTERNS)), _backdrops()
    for start in range(0, count, 4096):
        part = slice(start, start + 4096)
        image = backdrops[background[part], pattern[part]]
        for shape, colour, x, y, size in plan:
            # sizes from a little below the companion's to the largest diameter
            _paint(image, shape[part], colour[part], x[part], y[part], (size[part] / 48 * 18 + 10 - 3) / 2)
        frames[part] = image
    return frames
