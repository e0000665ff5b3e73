"""`miga generate`: one video from a prompt."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import tyro

LONGEST_NAME = 255  # bytes, on all common file systems


def generate(
    prompt: str,
    then: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006 (tyro reads the default)
    model: str = "sprites-unet",
    method: str = "miga",
    frames: int = 48,
    image: Path | None = None,
    video: Path | None = None,
    seed: int = 0,
    out: Path = Path("video.mp4"),
    param: Annotated[list[list[str]], tyro.conf.UseAppendAction] = [],  # noqa: B006 (tyro reads the default)
    model_param: Annotated[list[list[str]], tyro.conf.UseAppendAction] = [],  # noqa: B006
    crf: int = 10,
    checkpoint_every: int = 0,
) -> None:
    """Make one video, written as its frames come, with a sidecar (.json) beside it that says what made it.

    Args:
        prompt: What the video shows.
        then: What it shows next, for methods that take several prompts (fifo_diffusion, freenoise); may be repeated.
        model: A base model (`miga models` lists them).
        method: A method (`miga methods` lists them).
        frames: Length in video frames; 0 for one without end, until Ctrl-C, which closes the video properly.
        image: A picture that the video begins with (scaled to cover the frame, cut around the centre).
        video: An .mp4 file from whose end the video goes on.
        seed: The same seed gives the same frames.
        out: The video, an .mp4 file.
        param: Parameters of the method, as key=value.
        model_param: Options of the base model, as key=value.
        crf: Constant rate factor of the encoder, 0 to 51; smaller is finer.
        checkpoint_every: Frames between checkpoints; killed and run again with the same arguments, it resumes.
    """
    from eval.files import only_ours
    from eval.parsing import parse
    from miga.experiment.suite import SEEDS, Encoder

    if not all(text.strip() for text in (prompt, *then)):
        raise ValueError("the prompt is empty: say what the video shows")
    if image and video:
        raise ValueError("--image and --video: give one of them to begin with")
    for option, start in (("--image", image), ("--video", video)):
        if start and not start.is_file():
            raise ValueError(f"{option} {start}: no such file")
    for text in (prompt, *then):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"the prompt {text!a} is no text: give it in UTF-8")
    if 0 < frames <= len(then):
        raise ValueError(f"--frames {frames}: {1 + len(then)} prompts need at least as many frames")
    if not 0 <= seed <= SEEDS:
        raise ValueError(f"--seed {seed}: give a number from 0 to {SEEDS}")
    if frames < 0:
        raise ValueError(f"--frames {frames}: give a positive number, or 0 for a video without end")
    if checkpoint_every < 0:
        raise ValueError(f"--checkpoint-every {checkpoint_every}: give a positive number, or 0 for no checkpoints")
    if out.suffix.lower() != ".mp4" or out.is_dir():
        raise ValueError(f"{out}: the output must be an .mp4 file")
    encoder = parse(Encoder, {"crf": crf}, "--crf")
    if out.parent.exists() and not out.parent.is_dir():
        raise ValueError(f"{out.parent}: is not a folder")
    sidecar = out.with_suffix(".json")
    only_ours(sidecar, is_sidecar, "the sidecar of a video of ours")
    only_ours(out, lambda video: sidecar.exists(), "a video of ours (it has no sidecar)")
    if len(os.fsencode(sidecar.name)) > LONGEST_NAME:
        raise ValueError(f"{out.name[:40]}...: the name is too long for {sidecar.suffix} to stand beside it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):  # an unwritable folder is found before any work
        pass

    from tqdm import tqdm

    from miga import models
    from miga.experiment import run
    from miga.experiment.job import Job

    job = Job(
        suite="custom",
        base=model,
        entry=method,
        method=method,
        params=key_values(param),
        prompt_id=out.stem,
        prompt=prompt,
        then=tuple(then),
        start=image or video,
        seed=seed,
        frames=frames or None,
        encoder=encoder,
        video=out,
    )
    _ = job.configured  # an unknown method or parameter is found before the model is loaded
    base = models.load(model, **key_values(model_param))
    texts = base.encode([prompt, *then])
    for text in texts:
        if text.cut:
            print(f"note: {text.cut}", file=sys.stderr)
    with tqdm(total=job.frames, unit="frame", desc=out.name, delay=1) as bar, stoppable(job.frames is None) as stopped:
        facts = run.generate(job, base, texts, bar.update, stopped, checkpoint_every or None)
    print(
        f"{out}: {facts['frames']} frames at {facts['fps']} per second, {facts['wall_seconds']:.1f} s, "
        f"{facts['model_calls']} model calls, {facts['peak_memory_mb']:.0f} MB"
    )


def is_sidecar(path: Path) -> bool:
    """Whether a JSON file is one that this project wrote beside a video."""
    return "frames_sha256" in json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def stoppable(endless: bool) -> Iterator:
    """While the block runs, the first Ctrl-C (or SIGTERM) asks an endless video to end; a second one interrupts."""
    asked = []

    def ask(number, frame):
        asked.append(number)
        print("\nclosing the video after the frames in the making; again to drop it", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if not endless:
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def key_values(groups: list[list[str]]) -> dict[str, Any]:
    """`key=value` arguments, values read as YAML (numbers, booleans, lists)."""
    import yaml

    parsed = {}
    for pair in chain.from_iterable(groups):
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise ValueError(f"{pair!r} is not of the form key=value")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed[key] = value
    return parsed
