"""The command line `miga`: each command is a function with typed arguments, imported when it is called."""

from __future__ import annotations

import importlib
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
from tyro.conf import Positional

COMMANDS = {
    "generate": ("miga.commands:generate", "make one video"),
    "methods": ("miga.commands:methods", "list the methods"),
    "models": ("miga.commands:models", "list the base models"),
    "models convert": ("miga.commands:convert", "turn an original checkpoint into a model directory"),
    "models fetch": ("miga.commands:fetch", "download the weights of a base model, pinned and verified"),
    "sprites train": ("miga.sprites.cli:train", "train the models that this project ships"),
    "sprites evaluate": ("miga.sprites.cli:evaluate", "measure a sprites model with the reader"),
    "doctor": ("miga.experiment.doctor:doctor", "say what is installed, which suite would run and what is missing"),
    "plan": ("miga.experiment.plan:plan", "estimate what a suite costs before it starts"),
    "score": ("eval.cli:score", "score a folder of videos that anybody made"),
    "vbench fetch": ("eval.vbench.cli:fetch", "download the weights of VBench's networks"),
    "vbench check": ("eval.vbench.cli:check", "name every video of a folder that VBench would stumble over"),
    "vbench export": ("eval.vbench.cli:export", "write VBench's results files as the zip for its leaderboard"),
    "verify": ("eval.cli:verify", "recompute what a finished suite says about itself"),
    "leaderboard merge": ("eval.cli:merge", "join the leaderboards of several machines"),
    "leaderboard validate": ("eval.cli:validate", "check that leaderboards fit the schema"),
    "narrlv fetch": ("eval.narrlv.cli:fetch", "fetch NarrLV's prompt suites and compare their checksums"),
    "narrlv answer": ("eval.narrlv.cli:answer", "have a server answer NarrLV's questions about a folder of videos"),
    "narrlv questions": ("eval.narrlv.cli:questions", "have a server write questions for prompts of your own"),
    "narrlv metric": ("eval.narrlv.cli:metric", "compute NarrLV's scores from answers in the released layout"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command. Bad input is one sentence and exit status 2; MIGA_DEBUG=1 shows where it came from."""
    words = sys.argv[1:] if argv is None else argv
    try:
        name = find(words)
        if name is None:
            return overview(words)
        module, function = COMMANDS[name][0].split(":")
        command = getattr(importlib.import_module(module), function)
        return tyro.cli(command, prog=f"miga {name}", args=words[len(name.split()) :]) or 0
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        if os.environ.get("MIGA_DEBUG"):
            raise
        print(f"miga: {sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("miga: interrupted", file=sys.stderr)
        return 130


def find(words: list[str]) -> str | None:
    """The command that these words start with; the longest name wins."""
    names = (" ".join(words[:length]) for length in (2, 1))
    return next((name for name in names if name in COMMANDS), None)


def overview(words: list[str]) -> int:
    """The commands; for an unknown one a sentence with the nearest known one."""
    from eval.parsing import known

    if words and words[0] not in ("-h", "--help", "help"):
        group = [name for name in COMMANDS if name.startswith(words[0] + " ")]
        known(" ".join(words[: 2 if group else 1]), COMMANDS, "command")
    print("usage: miga COMMAND [--help] ...\n")
    for name, (_, summary) in COMMANDS.items():
        print(f"  {name:<18} {summary}")
    return 0 if words else 2


def sentence(error: Exception) -> str:
    """An error as one sentence that names the file where there is one."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
    return " ".join(str(error).split())


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


def generate(
    prompt: str,
    then: Annotated[list[str], tyro.conf.UseAppendAction] = [],  # noqa: B006 (tyro reads the default)
    model: str = "sprites-unet",
    method: str = "miga",
    frames: int = 48,
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
        frames: Length in video frames; 0 goes on until it is interrupted (Ctrl-C), then closes the video properly.
        seed: The same seed gives the same frames.
        out: The video, an .mp4 file.
        param: Parameters of the method, as key=value.
        model_param: Options of the base model, as key=value.
        crf: Constant rate factor of the encoder, 0 to 51; smaller is finer.
        checkpoint_every: Frames between checkpoints; killed and run again with the same arguments, it goes on.
    """
    from eval.parsing import parse
    from miga.experiment.suite import Encoder

    if not all(text.strip() for text in (prompt, *then)):
        raise ValueError("the prompt is empty: say what the video shows")
    if frames < 0:
        raise ValueError(f"--frames {frames}: give a positive number, or 0 for a video without end")
    if checkpoint_every < 0:
        raise ValueError(f"--checkpoint-every {checkpoint_every}: give a positive number, or 0 for no checkpoints")
    if out.suffix.lower() != ".mp4" or out.is_dir():
        raise ValueError(f"{out}: the output must be an .mp4 file")
    encoder = parse(Encoder, {"crf": crf}, "--crf")
    if out.parent.exists() and not out.parent.is_dir():
        raise ValueError(f"{out.parent}: is not a folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):  # an unwritable folder is found before any work
        pass

    from tqdm import tqdm

    from miga import models
    from miga.experiment import run

    params = key_values(param)
    run.configure(method, params)
    base = models.load(model, **key_values(model_param))
    job = run.Job(
        suite="custom",
        base=model,
        entry=method,
        method=method,
        params=params,
        prompt_id=out.stem,
        prompt=prompt,
        then=tuple(then),
        seed=seed,
        frames=frames or None,
        encoder=encoder,
        video=out,
    )
    texts = base.encode([prompt, *then])
    with tqdm(total=job.frames, unit="frame", desc=out.name, delay=1) as bar, stoppable(job.frames is None) as stopped:
        facts = run.generate(job, base, texts, bar.update, stopped, checkpoint_every or None)
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


def methods(json: bool = False) -> None:
    """List the methods that are installed, from this repository and from other packages.

    Args:
        json: Print everything that their cards say, and their parameters, as JSON.
    """
    from dataclasses import asdict
    from json import dumps

    from miga.engine.method import METHODS

    found = {name: METHODS.get(name) for name in METHODS.names()}
    if json:
        cards = {n: asdict(m.card) | {"params": m.config.model_json_schema()["properties"]} for n, m in found.items()}
        print(dumps(cards, indent=1, default=str))
        return
    for name, method in found.items():
        card = method.card
        print(f"{name:<16} {card.label:<18} {'control' if card.control else card.length:<9} {card.summary}")


def models(json: bool = False) -> None:
    """List the base models and whether their weights are here.

    Args:
        json: Print everything that is known of them as JSON.
    """
    from miga import models

    models.show(json)


def convert(name: Positional[str], source: Positional[Path], out: Positional[Path]) -> None:
    """Turn the original weights of a base model into a directory that loads like any other.

    Args:
        name: videocrafter2, wan2.1-1.3b or wan2.1-14b.
        source: VideoCrafter2's model.ckpt, or the folder of Wan2.1 as its authors publish it.
        out: The directory to make.
    """
    from miga.models.convert import convert

    print(convert(name, source, out))


def fetch(name: Positional[str]) -> None:
    """Download the weights of a base model by pinned revision, verify them, and go on where it was interrupted.

    Args:
        name: As `miga models` lists it.
    """
    from miga.models.fetch import fetch

    fetch(name)


if __name__ == "__main__":
    sys.exit(main())
