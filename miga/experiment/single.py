"""One video that a person asks for, from Python (`miga.generate`) or the command line: checked before work is spent."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from eval.files import only_ours, writable
from eval.parsing import parse
from eval.records import sidecar_of
from miga.engine.base_model import BaseModel
from miga.experiment import run
from miga.experiment import start as begin
from miga.experiment.job import Job
from miga.experiment.suite import SEEDS, Encoder
from miga.experiment.video import Frames

LONGEST_NAME = 255  # bytes, on all common file systems


def generate(
    model: BaseModel,
    prompt: str | Sequence[str],
    *,
    method: str = "miga",
    frames: int | None = 48,
    seed: int = 0,
    start: str | Path | None = None,
    params: Mapping[str, Any] | None = None,
    save: str | Path | None = None,
    crf: int = 10,
    checkpoint_every: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Frames]:
    """The frames of one video as they come: arrays `(n, height, width, 3)` of uint8 RGB, n of them at a time.

    What is asked for is checked when this is called; work begins with the first frames that are taken.

    model: a base model, of `miga.load`.
    prompt: what the video shows; several in a row for methods that take several (docs/methods.md says which).
    method: the name of a method, as `miga methods` lists them.
    frames: length in video frames; None: until you stop asking.
    seed: 0 to 2^63 - 1; the same seed gives the same frames.
    start: an image that the video begins with, or a video from whose end it goes on.
    params: the method's parameters, by name.
    save: an .mp4 file to write, with a sidecar (.json) beside it that says what made it. Both appear when the last
        frame was taken. A video without an end is kept as far as it was taken; any other that is left early is dropped.
    crf: constant rate factor of the encoder, 0 to 51; smaller is finer.
    checkpoint_every: frames between checkpoints of a saved video; killed and asked for again, it resumes.
    progress: called with the frames that have come, and the number that was asked for (None: no end).

    `ValueError`: one sentence that names what cannot be and what to do: an empty prompt, an unknown method or
    parameter, what the method does not do on this model, a file that is missing or somebody else's.
    """
    prompts = [prompt] if isinstance(prompt, str) else prompt
    job = asked(prompts, model.name, method, params or {}, frames, seed, start, save, crf, checkpoint_every)
    texts = model.encode(prompts)
    for text in texts:
        if text.cut:
            warnings.warn(text.cut, stacklevel=2)
    making = run.stream(job, model, texts, checkpoint_every)
    return making if progress is None else told(making, frames, progress)


def told(making: Iterator[Frames], asked: int | None, progress: Callable[[int, int | None], None]) -> Iterator[Frames]:
    """The same frames; `progress` hears of them first."""
    done = 0
    with closing(making):
        for frames in making:
            done += len(frames)
            progress(done, asked)
            yield frames


def asked(
    prompts: Sequence[str],
    base: str,
    method: str,
    params: Mapping[str, Any],
    frames: int | None,
    seed: int = 0,
    start: str | Path | None = None,
    save: str | Path | None = None,
    crf: int = 10,
    checkpoint_every: int | None = None,
) -> Job:
    """What is asked for, as `generate` says, for a base model of that name; `ValueError` where it cannot be."""
    if not prompts or not all(text.strip() for text in prompts):
        raise ValueError("the prompt is empty: say what the video shows")
    for text in prompts:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"the prompt {text!a} is no text: give it in UTF-8")
    if frames is not None and frames < 1:
        raise ValueError(f"frames {frames}: give a positive number, or None for a video without end")
    if frames is not None and frames < len(prompts):
        raise ValueError(f"frames {frames}: {len(prompts)} prompts need at least as many frames")
    if not 0 <= seed <= SEEDS:
        raise ValueError(f"seed {seed}: give a number from 0 to {SEEDS}")
    if checkpoint_every is not None and (checkpoint_every < 1 or save is None):
        raise ValueError(f"checkpoint_every {checkpoint_every}: give a positive number, for a video that is saved")
    if start is not None and not Path(start).is_file():
        raise ValueError(f"{start}: no such file to start from")
    if start is not None:
        begin.check(Path(start))
    job = Job(
        suite="custom",
        base=base,
        entry=method,
        method=method,
        params=dict(params),
        prompt_id="video" if save is None else Path(save).stem,
        prompt=prompts[0],
        then=tuple(prompts[1:]),
        start=start,
        seed=seed,
        frames=frames,
        encoder=parse(Encoder, {"crf": crf}, "encoder"),
        video=save,
    )
    _ = job.configured  # an unknown method or parameter is found before anything is loaded or written
    if job.video is not None:
        check_place(job.video)
    return job


def check_place(video: Path) -> None:
    """`ValueError` or `OSError` where a video of ours cannot be written; folders that it needs are made."""
    if video.suffix.lower() != ".mp4" or video.is_dir():
        raise ValueError(f"{video}: the output must be an .mp4 file")
    sidecar = sidecar_of(video)
    only_ours(sidecar, is_sidecar, "the sidecar of a video of ours")
    only_ours(video, lambda _: sidecar.exists(), "a video of ours (it has no sidecar)")
    if len(os.fsencode(sidecar.name)) > LONGEST_NAME:
        raise ValueError(f"{video.name[:40]}...: the name is too long for {sidecar.suffix} to stand beside it")
    writable(video)


def is_sidecar(path: Path) -> bool:
    """Whether a JSON file is one that this project wrote beside a video."""
    return "frames_sha256" in json.loads(path.read_text(encoding="utf-8"))
