"""Sprites-NarrLV: stories of the sprites world, their questions by rule, and the reader as the judge that answers them.

A story is a caption whose events all change one thing: the background (scene attribute), the shape's colour (target
attribute) or its motion (target action), so n atoms are n states in order. The questions are the benchmark's categories
in the grammar's words. The same code as for NarrLV goes from them to the table; the scores are not NarrLV's.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, permutations, product
from pathlib import Path

import numpy as np
import yaml

from eval.narrlv.suite import ANOMALIES, ATTRIBUTES, FACTORS, LAYOUT, SCENE, TARGET, Item
from miga.sprites.reader import Reader, Reading, shipped_reader
from miga.sprites.world import (
    BACKGROUNDS,
    COLOURS,
    MOTION_PHRASES,
    PATTERNS,
    SHAPES,
    SIZES,
    Event,
    Scene,
    caption,
    parse,
)

UNSURE = "I cannot tell."

KINDS = {"scene_attribute": "background", "target_attribute": "colour", "target_action": "motion"}  # factor: event
_FACTOR_OF = {kind: factor for factor, kind in KINDS.items()}

# --- prompts and questions --------------------------------------------------------------------------------------------


def stories(per_cell: int, seed: int = 0, tnas: Sequence[int] = (2, 3, 4)) -> list[Item]:
    """`per_cell` stories of each (number of atoms, factor), all different; the first of every cell come first."""
    rng = np.random.default_rng([seed, 2])
    told: dict[str, None] = {}
    cells = list(product(tnas, KINDS.values()))
    while len(told) < per_cell * len(cells):
        tna, kind = cells[len(told) % len(cells)]
        told.setdefault(caption(_draw(kind, tna, rng)))
    return [item(text, str(place // len(cells) + 1)) for place, text in enumerate(told)]


def item(prompt: str, scene: str = "1") -> Item:
    """The item of a caption; `ValueError` when it is no caption or its events do not change one thing only."""
    told = parse(prompt)
    kinds = {event.kind for event in told.events}
    if len(kinds) != 1:
        raise ValueError(f"not a story: the events of {prompt[:120]!r} must change one thing, and there must be one")
    factor, tna = _FACTOR_OF[kinds.pop()], len(told.events) + 1
    atoms = tuple(caption(state) for state in _states(told))
    return Item(f"sprites_{factor}_tna_{tna}", factor, tna, scene, 0, prompt, atoms, questions(told))


def questions(story: Scene) -> dict[str, tuple[str, ...]]:
    """The questions of a story by category."""
    kind = story.events[0].kind
    values = [getattr(state, kind) for state in _states(story)]
    category = FACTORS[_FACTOR_OF[kind]]
    facts = {"shape": story.shape, "colour": story.colour, "pattern": story.pattern, "background": story.background}
    return {
        SCENE: (_ASK["pattern"].format(**facts),),
        TARGET: (_ASK["shape"].format(**facts),),
        ATTRIBUTES: (_ASK["background"].format(**facts),),
        LAYOUT: (_ASK["layout"].format(**facts),),
        f"{category} Evolution_0": tuple(_ASK[f"{kind} occurs"].format(shape=story.shape, a=_say(v)) for v in values),
        f"{category} Evolution_1": tuple(
            _ASK[f"{kind} changes"].format(shape=story.shape, a=_say(a), b=_say(b)) for a, b in pairwise(values)
        ),
        ANOMALIES[0]: (_ASK["scene deforms"],),
        ANOMALIES[1]: (_ASK["shape deforms"].format(**facts),),
    }


def _draw(kind: str, tna: int, rng: np.random.Generator) -> Scene:
    """A scene with tna - 1 events of one kind, all states different."""

    def pick(values: Sequence) -> object:
        return values[int(rng.integers(len(values)))]

    state = {
        "shape": pick(SHAPES),
        "colour": pick(tuple(COLOURS)),
        "background": pick(tuple(BACKGROUNDS)),
        "pattern": pick(PATTERNS),
        "size": pick(tuple(SIZES)),
        "motion": pick(("left", "right", "up", "down", "still")),
    }
    if kind == "motion":
        values = pick([way for way in _MOTIONS if len(way) == tna])
    else:
        values = rng.permutation(tuple({"colour": COLOURS, "background": BACKGROUNDS}[kind])).tolist()[:tna]
    state[kind], *later = values
    return Scene(**state, events=tuple(Event(kind, value) for value in later))


# Motions that a viewer can tell apart: a shape that meets the border turns back, so no story has both ways of one axis,
# and one that bounces around may be anywhere afterwards, so that comes last.
_MOTIONS = [
    (*order, *last)
    for across, along in product(("left", "right"), ("up", "down"))
    for length in (1, 2, 3)
    for order in permutations((across, along, "still"), length)
    for last in ((), ("bouncing",))
    if len(order) + len(last) > 1
]


def _states(story: Scene) -> list[Scene]:
    """The scene at each atom, without events."""
    facts = {name: getattr(story, name) for name in ("shape", "colour", "motion", "background", "pattern", "size")}
    states = [Scene(**facts)]
    for event in story.events:
        facts[event.kind] = event.value
        states.append(Scene(**facts))
    return states


def _say(value: str) -> str:
    return MOTION_PHRASES.get(value, value)


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What T frames in order of time show, in words; `motion` is empty for a single frame."""

    shape: Sequence[str]
    colour: Sequence[str]
    background: Sequence[str]
    pattern: Sequence[str]
    motion: Sequence[str]

    @classmethod
    def of(cls, reading: Reading) -> Seen:
        names = {head: reading.names(head) for head in ("shape", "colour", "background", "pattern")}
        return cls(**names, motion=motions(reading.x, reading.y))


FASTEST_REST = 2.0  # pixels in a twelfth of a clip: what the reader's jitter adds up to on a shape at rest


def motions(x: np.ndarray, y: np.ndarray) -> list[str]:
    """The motion at each window of a twelfth of a clip from its positions (T,) in pixels.

    A shape moves along an axis where its path there is over 45 % of what it reaches at its fastest: a turn at the
    border is then no rest, and hardly a window that lies across two motions shows both.
    """
    span = max(2, round(len(x) / 12))
    if len(x) <= span:
        return []
    moves, ways = [], []
    for place in (x, y):
        place = np.median(np.stack([np.r_[place[:1], place[:-1]], place, np.r_[place[1:], place[-1:]]]), axis=0)
        path = np.convolve(np.abs(np.diff(place)), np.ones(span), "valid")
        fast = np.quantile(path, 0.9)
        moves.append(path > 0.45 * fast if fast > FASTEST_REST else np.zeros(len(path), bool))
        ways.append(place[span:] - place[:-span] > 0)
    across, along = np.where(ways[0], "right", "left"), np.where(ways[1], "down", "up")
    return np.select(
        [moves[0] & moves[1], moves[0], moves[1]], [np.full(len(across), "bouncing"), across, along], "still"
    ).tolist()


_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def runs(values: Sequence, total: int) -> list:
    """Values one after the other, without those that last less than a sixteenth of the `total` frames."""
    least = max(1, round(total / 16))
    long = [value for value, group in groupby(values) if len(list(group)) >= least]
    return [value for value, _ in groupby(long)]


def _holds(values: Sequence, wanted: object) -> bool:
    return wanted in runs(values, len(values))


def _follows(values: Sequence, first: object, second: object) -> bool:
    """Whether `second` comes right after `first`, or after `first` and back again at the border."""
    found = runs(values, len(values))
    back = (first, _OPPOSITE.get(first)) if isinstance(first, str) else (first,)
    for start in (i for i, value in enumerate(found) if value == first):
        rest = next((value for value in found[start:] if value not in back), None)
        if rest == second or (second in back and second in found[start + 1 : start + 2]):
            return True
    return False


def _steady(values: Sequence[str]) -> bool:
    """Whether nine tenths of the frames show the same."""
    return max(map(list(values).count, set(values))) >= 0.9 * len(values)


def _painted(seen: Seen, shape: str) -> list[str | None]:
    """The colour of a shape frame by frame; None where another one is seen."""
    return [c if s == shape else None for s, c in zip(seen.shape, seen.colour, strict=True)]


_MOTION_OF = {phrase: motion for motion, phrase in MOTION_PHRASES.items()}
_ASK = {
    "pattern": "Is the background {pattern}?",
    "shape": "Does the scene feature a {shape}?",
    "background": "Is the background mainly {background}?",
    "layout": "Is there a {colour} {shape} on a {pattern} {background} background?",
    "background occurs": "Does the video contain any segment where the background is {a}?",
    "background changes": "Does the background turn from {a} to {b}?",
    "colour occurs": "Does the video contain any segment where the {shape} is {a}?",
    "colour changes": "Does the {shape} turn from {a} to {b}?",
    "motion occurs": "Does the video contain any segment where the {shape} {a}?",
    "motion changes": "Is there a {shape} that first {a} and right after that {b}?",
    "scene deforms": "Does the background undergo abnormal deformation over time?",
    "shape deforms": "Does the {shape} undergo abnormal deformation over time?",
}
_ANSWER: Mapping[str, Callable[..., bool]] = {
    "pattern": lambda seen, pattern: _holds(seen.pattern, pattern),
    "shape": lambda seen, shape: _holds(seen.shape, shape),
    "background": lambda seen, background: _holds(seen.background, background),
    "layout": lambda seen, colour, shape, pattern, background: _holds(
        list(zip(seen.colour, seen.shape, seen.pattern, seen.background, strict=True)),
        (colour, shape, pattern, background),
    ),
    "background occurs": lambda seen, a: _holds(seen.background, a),
    "background changes": lambda seen, a, b: _follows(seen.background, a, b),
    "colour occurs": lambda seen, shape, a: _holds(_painted(seen, shape), a),
    "colour changes": lambda seen, shape, a, b: _follows(_painted(seen, shape), a, b),
    "motion occurs": lambda seen, shape, a: _holds(seen.shape, shape) and _holds(seen.motion, _MOTION_OF[a]),
    "motion changes": lambda seen, shape, a, b: (
        _holds(seen.shape, shape) and _follows(seen.motion, _MOTION_OF[a], _MOTION_OF[b])
    ),
    "scene deforms": lambda seen: not _steady(seen.pattern),
    "shape deforms": lambda seen, shape: not (_steady(seen.shape) and _holds(seen.shape, shape)),
}


def _pattern(kind: str) -> re.Pattern[str]:
    """A regular expression that reads the question back."""
    words = {"shape": SHAPES, "colour": COLOURS, "pattern": PATTERNS, "background": BACKGROUNDS}
    values = {"background": BACKGROUNDS, "colour": COLOURS, "motion": _MOTION_OF}.get(kind.split()[0], ())
    slots = {**words, "a": values, "b": values}
    text = re.escape(_ASK[kind]).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(text.format(**{name: f"(?P<{name}>{'|'.join(known)})" for name, known in slots.items()}))


_PATTERNS = {kind: _pattern(kind) for kind in _ASK}


def answer(question: str, seen: Seen) -> str:
    """Yes, no, or that a question is none of this world."""
    for kind, pattern in _PATTERNS.items():
        if found := pattern.match(question):
            return "yes" if _ANSWER[kind](seen, **found.groupdict()) else "no"
    return UNSURE


_RULES = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()  # another rule is another judge


class ReaderJudge:
    """The reader behind NarrLV's judge contract: reads the frames, answers by rule, always the same."""

    concurrency = 1

    def __init__(self, reader: Reader | None = None) -> None:
        self.reader = reader or shipped_reader()
        weights = hashlib.sha256()
        for name, value in sorted(self.reader.network.state_dict().items()):
            weights.update(name.encode() + value.cpu().numpy().tobytes())
        self.protocol = {"judge": "sprites-reader", "weights": weights.hexdigest(), "rules": _RULES}
        self._last: tuple[np.ndarray, Seen] | None = None

    def ask(self, frames: np.ndarray, question: str, votes: int, seed: int) -> list[str]:
        """The same vote so often, whatever the seed; without frames nothing is seen."""
        if len(frames) == 0:
            return [UNSURE] * votes
        if self._last is None or self._last[0] is not frames:  # the questions of a video come one after the other
            self._last = frames, Seen.of(self.reader.read(frames))
        return [answer(question, self._last[1])] * votes


def prompts_file(per_cell: int) -> str:
    """The text of `config/prompts/sprites_narrlv.yaml`."""
    head = "# Written by `python -m miga.sprites.story`: the first nine have every (number of atoms, factor) once.\n"
    return head + yaml.safe_dump(
        [{"id": one.id, "prompt": one.prompt} for one in stories(per_cell)], sort_keys=False, width=200
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(prompts_file(int(sys.argv[2])), encoding="utf-8")
