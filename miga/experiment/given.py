"""Videos that others made: which file is which video of a suite, and whether it may stand beside ours.

Nothing is asked of them but their names. What nobody recorded stays unknown.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from eval.files import replacing, write_json
from eval.names import is_video, prompt_and_index, readable
from eval.parsing import known
from miga.experiment.suite import Given

COLUMNS = ("file", "prompt_id", "prompt", "sample")  # of a CSV map
NAMED = 6  # of many files, so many are named
NO_PROMPT = "of no prompt of the suite"
NO_SEED = "more samples of a prompt than the suite has seeds"
NO_MP4 = "not .mp4: convert it"
NO_VIDEO = "no video"

Place = tuple[str, int]  # prompt id and seed
Samples = dict[str, list[tuple[int, Path]]]  # prompt id -> (number, file) of its videos


@dataclass(frozen=True)
class Found:
    """The files of an entry by their place in the suite, and those that are none of it by the reason why."""

    files: dict[Place, Path]
    aside: dict[str, list[str]] = field(default_factory=dict)

    def sentences(self) -> Iterator[str]:
        """How many videos of how many prompts, and what was left aside."""
        prompts = len({prompt for prompt, _ in self.files})
        yield f"{len(self.files)} videos of {prompts} prompts"
        for reason, names in self.aside.items():
            shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            yield f"left aside: {len(names)} {reason} ({shown})"


@dataclass(frozen=True)
class Wanted:
    """What the videos of a base model in a suite are like."""

    frames: int
    fps: float
    size: tuple[int, int]  # width and height


def find(given: Given, root: Path, prompts: Mapping[str, str | None], seeds: Mapping[str, Sequence[int]]) -> Found:
    """The videos of an entry. `prompts`: id -> text, `seeds`: id -> seeds of the suite, for its samples in their order.

    `ValueError` where there is no such folder or map, where none of the files is of any of the prompts, and where two
    of them claim one place.
    """
    path = root / given.videos
    aside: dict[str, list[str]] = {}
    samples = (mapped if path.suffix == ".csv" else named)(path, prompts, aside)
    files: dict[Place, Path] = {}
    for prompt, numbered in samples.items():
        numbered.sort()
        for (number, one), (other_number, other) in pairwise(numbered):
            if number == other_number:
                raise ValueError(f"{path}: {one.name} and {other.name} are both sample {number} of {prompt!r}")
        own = seeds[prompt]
        files |= {(prompt, seed): file for seed, (_, file) in zip(own, numbered, strict=False)}
        for _, file in numbered[len(own) :]:
            aside.setdefault(NO_SEED, []).append(file.name)
    if not files:
        told = "; ".join([*Found({}, aside).sentences()][1:])
        raise ValueError(
            f"{path}: no video of any prompt of the suite{told and f' ({told})'}: name them <prompt id>.mp4 or "
            "<prompt>-<i>.mp4, or give a CSV file with the columns file and prompt_id"
        )
    return Found(files, aside)


def named(folder: Path, prompts: Mapping[str, str | None], aside: dict[str, list[str]]) -> Samples:
    """By the names of files: a prompt's id or text, `-<i>` behind it, or an id as the name of their folder."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of videos")
    samples: Samples = {}
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    films = {path.with_suffix("") for path in paths if is_video(path)}
    for path in paths:
        name = readable(path.relative_to(folder).as_posix())
        if not is_video(path):
            if not (path.suffix == ".json" and path.with_suffix("") in films):  # a sidecar
                aside.setdefault(NO_VIDEO, []).append(name)
        elif path.suffix.lower() != ".mp4":
            aside.setdefault(NO_MP4, []).append(name)
        elif claimed := list(claims(path.relative_to(folder), prompts)):
            for prompt, number in claimed:
                own = samples.setdefault(prompt, [])
                own.append((len(own) if number is None else number, path))
        else:
            aside.setdefault(NO_PROMPT, []).append(name)
    return samples


def claims(path: Path, prompts: Mapping[str, str | None]) -> Iterator[tuple[str, int | None]]:
    """(prompt id, number of the sample) that a file is by its name; None: the next one of its folder."""
    if len(path.parts) == 2 and (parent := readable(path.parts[0])) in prompts:
        yield parent, None
    elif len(path.parts) == 1:
        for name, number in ((readable(path.stem), 0), prompt_and_index(path)):
            if ids := [id for id, text in prompts.items() if name in (id, text)]:
                yield from ((id, number) for id in ids)
                return


def mapped(path: Path, prompts: Mapping[str, str | None], aside: dict[str, list[str]]) -> Samples:
    """By a CSV file: file (relative to it), prompt_id or prompt, and perhaps sample."""
    if not path.is_file():
        raise ValueError(f"{path}: no such CSV file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({' '.join(str(error).split())})") from None
    for column in rows[0] if rows else ():
        known(str(column), COLUMNS, f"column of {path}:")
    samples: Samples = {}
    for line, row in enumerate(rows, 2):
        file = path.parent / (row.get("file") or "")
        if not file.is_file():
            raise ValueError(f"{path}, line {line}: no such file {row.get('file')!r}")
        asked = {key: value for key in ("prompt_id", "prompt") if (value := row.get(key))}
        if not asked:
            raise ValueError(f"{path}, line {line}: says neither prompt_id nor prompt")
        ids = [id for id, text in prompts.items() if asked.items() <= {("prompt_id", id), ("prompt", text)}]
        if not ids and asked.get("prompt_id") in prompts:
            raise ValueError(f"{path}, line {line}: {asked['prompt_id']!r} has another prompt in the suite")
        if file.suffix.lower() != ".mp4":
            aside.setdefault(NO_MP4, []).append(file.name)
            continue
        for id in ids:
            own, number = samples.setdefault(id, []), row.get("sample") or ""
            if number and not number.isdecimal():
                raise ValueError(f"{path}, line {line}: sample {number!r} is no number")
            own.append((int(number) if number else len(own), file))
        if not ids:
            aside.setdefault(NO_PROMPT, []).append(file.name)
    return samples


def unlike(files: Mapping[Place, Path], wanted: Wanted, whole: bool = False) -> Iterator[tuple[str, str]]:
    """(key of `differs`, sentence) of every file that differs from the suite's videos.

    whole: decode every frame, so that a file that breaks in the middle is found. `ValueError` for one that cannot be
    read, or that decoders disagree on.
    """
    from eval import video

    for path in files.values():
        try:
            facts = video.facts(path)
            if facts.bits > 8:
                raise video.VideoError(f"{facts.bits} bits per channel, which decoders disagree on: convert it")
            frames = video.fingerprint(path)[1] if whole or not facts.frames else facts.frames
        except video.VideoError as error:
            raise ValueError(f"{path}: {error}") from None
        size = facts.width, facts.height
        if frames != wanted.frames:
            yield "frames", f"{path.name} has {frames} frames, not {wanted.frames}"
        if abs(facts.fps - wanted.fps) > 0.01:
            yield "fps", f"{path.name} has {facts.fps:g} frames per second, not {wanted.fps:g}"
        if size != tuple(wanted.size):
            yield "size", f"{path.name} has {size[0]}x{size[1]} pixels, not {wanted.size[0]}x{wanted.size[1]}"


def check(name: str, given: Given, found: Found, wanted: Wanted, base: str) -> None:
    """`ValueError` for a difference to the videos of a base model that the entry does not own up to."""
    for key, sentence in unlike(found.files, wanted):
        if key not in given.differs:
            raise ValueError(
                f"{name}: {sentence} as on {base!r}: write `differs: [{', '.join([*given.differs, key])}]` at the "
                "entry if the row shall have it nevertheless"
            )


def take(source: Path, video: Path, about: Mapping[str, object], given: Given) -> None:
    """Copy a video into the results and write beside it what is known of it.

    about: its identity and prompt. What only its maker could know is null in the sidecar. `ValueError` for a video that
    cannot be read to its end.
    """
    from eval.records import Sidecar, sidecar_of
    from eval.video import VideoError, facts, fingerprint

    try:
        (digest, frames), seen = fingerprint(source), facts(source)
    except VideoError as error:
        raise ValueError(f"{source}: {error}") from None
    with replacing(video) as partial:
        shutil.copyfile(source, partial)
    said = Sidecar(
        **about, method=given.origin, origin=given.origin, control=False, sound=False, port=False, frames=frames,
        fps=seen.fps, frames_sha256=digest, width=seen.width, height=seen.height, file=source.name,
        licence=given.licence, source=given.source,
    )  # fmt: skip
    write_json(sidecar_of(video), said.model_dump())
