"""`miga generate`: one video from a prompt."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import tyro


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

    Example: miga generate --prompt "a red circle moves right over a plain grey background" --frames 48 --out red.mp4

    Args:
        prompt: What the video shows.
        then: What it shows next, for methods that take several prompts (docs/methods.md says which); may be repeated.
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
    from miga import models
    from miga.experiment import run, single

    if image and video:
        raise ValueError("--image and --video: give one of them to begin with")
    if frames < 0:
        raise ValueError(f"--frames {frames}: give a positive number, or 0 for a video without end")
    prompts, every = [prompt, *then], checkpoint_every or None
    job = single.asked(prompts, model, method, key_values(param), frames or None, seed, image or video, out, crf, every)
    base = models.load(model, **key_values(model_param))
    texts = base.encode(prompts)
    for text in texts:
        if text.cut:
            print(f"note: {text.cut}", file=sys.stderr)

    from tqdm import tqdm

    with tqdm(total=job.frames, unit="frame", desc=out.name, delay=1) as bar, stoppable(job.frames is None) as stopped:
        facts = run.generate(job, base, texts, bar.update, stopped, every)
    print(
        f"{out}: {facts['frames']} frames at {facts['fps']} per second, {facts['wall_seconds']:.1f} s, "
        f"{facts['model_calls']} model calls, {facts['peak_memory_mb']:.0f} MB"
    )


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
