"""VBench's prompts from the package's own list, and whether a folder of videos is what a standard run expects."""

from __future__ import annotations

import json
import os
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval import video
from eval.vbench import VBENCH

SAMPLES = {"temporal_flickering": 25}  # videos per prompt before the filter of static ones; 5 for every other dimension


@dataclass(frozen=True)
class Prompt:
    """A prompt of the list: `id` is its place there and stays the same whatever is selected."""

    id: str
    prompt: str
    dimensions: tuple[str, ...]

    @property
    def samples(self) -> int:
        """Videos that VBench asks for."""
        return max(SAMPLES.get(dimension, 5) for dimension in self.dimensions)


def read(path: str | Path, dimensions: Sequence[str] = VBENCH, limit: int | None = None, seed: int = 0) -> list[Prompt]:
    """Prompts of VBench_full_info.json that belong to any of the dimensions, in the file's order.

    `limit` draws that many at random (by `seed`), as evenly over the dimensions as they come; ids do not change.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        whole = [Prompt(f"{i:04}", row["prompt_en"], tuple(row["dimension"])) for i, row in enumerate(rows)]
        for row, prompt in zip(rows, whole, strict=True):
            if not isinstance(row["dimension"], list) or not isinstance(prompt.prompt, str):
                raise TypeError(f"prompt {prompt.id}: a text and a list of dimensions are wanted")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not VBench's list of prompts ({type(error).__name__}: {error})") from None
    known = {name for prompt in whole for name in prompt.dimensions}
    if unknown := [name for name in dimensions if name not in known]:
        raise ValueError(f"{path}: has no dimension {unknown[0]!r}: known are {', '.join(sorted(known))}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit {limit}: at least one prompt")
    chosen = [prompt for prompt in whole if set(prompt.dimensions) & set(dimensions)]
    if limit is None or limit >= len(chosen):
        return chosen
    groups: dict[tuple[str, ...], list[Prompt]] = {}
    for prompt in random.Random(seed).sample(chosen, len(chosen)):
        groups.setdefault(tuple(d for d in dimensions if d in prompt.dimensions), []).append(prompt)
    taken: list[Prompt] = []
    while len(taken) < limit:  # one of each group in turn
        taken += [group.pop() for group in groups.values() if group]
    return sorted(taken[:limit], key=lambda prompt: prompt.id)


def preflight(
    folder: str | Path, prompts: Sequence[Prompt], samples: int | None = None, shortest: int = 3
) -> Iterator[str]:
    """A sentence for every reason why a standard run on this folder would not score what one thinks it scores.

    Missing and extra files by VBench's names (`<prompt>-<i>.mp4`), unreadable, too short and 10-bit videos, and frame
    rates, sizes and lengths that differ from those of most videos. `samples`: videos per prompt, default VBench's.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    if samples is not None and samples < 1:
        raise ValueError(f"samples {samples}: at least one video per prompt")
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    present = {path.name for path in visible if not path.is_dir()}
    wanted = {f"{p.prompt}-{i}.mp4" for p in prompts for i in range(samples or p.samples)}
    alike = _alike(wanted - present, present - wanted)
    twice = [text for text, count in Counter(prompt.prompt for prompt in prompts).items() if count > 1]
    yield from (f"{text!r} is in the list of prompts twice: both share their files" for text in twice)
    yield from (f"{path.name}: is a folder, in which VBench does not look" for path in sorted(visible) if path.is_dir())
    for name, meant in sorted(alike.items()):
        decomposed = unicodedata.normalize("NFC", name) == meant
        how = "with decomposed letters (Unicode)" if decomposed else "with capitals in the suffix"
        yield f"{name}: is spelled another way than VBench asks for, {how}: rename it to {meant}"
    yield from (f"{name}: is missing" for name in sorted(wanted - present - set(alike.values())))
    yield from (f"{name}: is not the video of any prompt" for name in sorted(present - wanted - set(alike)))
    yield from unlike([folder / name for name in sorted(wanted & present)], shortest)


def _alike(wanted: Iterable[str], present: Iterable[str]) -> dict[str, str]:
    """Names present -> names wanted that read the same: composed or decomposed letters, capitals of the suffix."""

    def plain(name: str) -> str:
        stem, suffix = os.path.splitext(unicodedata.normalize("NFC", name))
        return stem + suffix.lower()

    meant = {plain(name): name for name in wanted}
    return {name: meant[plain(name)] for name in present if plain(name) in meant}


def unlike(paths: Sequence[Path], shortest: int = 3) -> Iterator[str]:
    """A sentence for every video that is unreadable, too short, of 10 bits, or unlike most of the others."""
    known: dict[str, video.Facts] = {}
    for path in paths:
        try:
            known[path.name] = facts = video.facts(path)
        except video.VideoError as error:
            yield f"{path.name}: {error}"
            continue
        if facts.bits > 8:
            yield f"{path.name}: {facts.bits} bits per channel: decoders disagree on such video"
        if facts.variable_rate:
            yield f"{path.name}: its frame rate varies"
        if facts.rotation:
            yield f"{path.name}: is shown turned by {facts.rotation} degrees, and scored as it is shown"
        if facts.streams > 1:
            yield f"{path.name}: holds {facts.streams} videos; the longest is scored"
        if not facts.frames and not facts.seconds:
            yield f"{path.name}: does not say how long it is: if its end is missing, nothing tells"
        if 0 < facts.frames < shortest:
            yield f"{path.name}: {facts.frames} frames are too few"
    for what, value in (
        ("container", lambda facts: facts.container),
        ("frames per second", lambda facts: round(facts.fps, 3)),
        ("size", lambda facts: f"{facts.width}x{facts.height}"),
        ("frames", lambda facts: facts.frames),
    ):
        usual = Counter(value(facts) for facts in known.values() if value(facts)).most_common(1)
        for name, facts in known.items():
            if value(facts) and value(facts) != usual[0][0]:
                yield f"{name}: {what} {value(facts)}, most videos have {usual[0][0]}"
