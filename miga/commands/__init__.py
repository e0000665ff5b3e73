"""The command line `miga`: each command is a function with typed arguments, imported when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Callable

import tyro

COMMANDS = {
    "generate": ("miga.commands.generate:generate", "make one video"),
    "show": ("miga.commands.show:show", "show a video and its sidecar as a page"),
    "init": ("miga.commands.init:init", "lay down what runs suites in a folder of your own"),
    "methods": ("miga.commands.methods:methods", "list the methods"),
    "models": ("miga.commands.models:models", "list the base models"),
    "models convert": ("miga.commands.models:convert", "turn an original checkpoint into a model directory"),
    "models fetch": ("miga.commands.models:fetch", "download the weights of a base model, pinned and verified"),
    "sprites train": ("miga.commands.sprites:train", "train the models that this project ships"),
    "sprites evaluate": ("miga.commands.sprites:evaluate", "measure a sprites model with the reader"),
    "sprites faults": ("miga.commands.sprites:faults", "make the matrix of which metric sees which fault"),
    "tune": ("miga.commands.tune:tune", "measure which constants of MIGA suit a base model"),
    "suites": ("miga.commands.suites:suites", "list the suites: what each asks, costs and needs"),
    "doctor": ("miga.commands.doctor:doctor", "say what is installed, which suite would run and what is missing"),
    "plan": ("miga.experiment.plan:plan", "estimate what a suite costs before it starts"),
    "import": ("miga.commands.given:take_in", "make videos that somebody else made a row of a suite"),
    "progress": ("miga.experiment.progress:progress", "say how far the run of a suite is"),
    "score": ("miga.commands.scores:score", "score a folder of videos that anybody made"),
    "metrics": (
        "miga.commands.metrics:metrics",
        "list the metrics: what each sees, what it is blind to, what it costs",
    ),
    "degrade": ("miga.commands.metrics:degrade", "give a video one fault, at a strength that you choose"),
    "vbench fetch": ("miga.commands.vbench:fetch", "download the weights of VBench's networks"),
    "vbench check": ("miga.commands.vbench:check", "name every video of a folder that VBench would refuse or misread"),
    "vbench export": ("miga.commands.vbench:export", "write VBench's results files as the zip for its leaderboard"),
    "verify": ("miga.commands.scores:verify", "recompute what a finished suite says about itself"),
    "strip": ("miga.commands.strip:strip", "make a moving picture of a finished suite"),
    "votes": ("miga.commands.votes:votes", "say who won how often in the blind votes of readers"),
    "leaderboard merge": ("miga.commands.scores:merge", "join the leaderboards of several machines"),
    "leaderboard validate": ("miga.commands.scores:validate", "check that leaderboards fit the schema"),
    "narrlv fetch": ("miga.commands.narrlv:fetch", "fetch NarrLV's prompt suites and compare their checksums"),
    "narrlv answer": (
        "miga.commands.narrlv:answer",
        "have a server answer NarrLV's questions about a folder of videos",
    ),
    "narrlv questions": ("miga.commands.narrlv:questions", "have a server write questions for prompts of your own"),
    "narrlv metric": ("miga.commands.narrlv:metric", "compute NarrLV's scores from answers in the released layout"),
    "completion": ("miga.commands.completion:completion", "have the shell complete commands and options"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command. Bad input is one sentence and exit status 2; MIGA_DEBUG=1 shows where it came from."""
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        name = find(words)
        if name is None:
            return overview(words)
        return tyro.cli(function(name), prog=f"miga {name}", args=words[len(name.split()) :]) or 0
    except BrokenPipeError:  # `miga methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MIGA_DEBUG"):
            raise
        print(f"miga: {sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("miga: interrupted", file=sys.stderr)
        return 130


def function(name: str) -> Callable[..., int | None]:
    """The function of a command; its module is imported."""
    module, attribute = COMMANDS[name][0].split(":")
    return getattr(importlib.import_module(module), attribute)


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
        print(f"  {name:<20} {summary}")
    return 0 if words else 2


def sentence(error: Exception) -> str:
    """An error as one sentence that names the file where there is one."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {(error.strerror or 'cannot be used').lower()}"
    words = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, OSError | ValueError | MemoryError | FloatingPointError):
        return words or type(error).__name__
    return f"this should not happen ({type(error).__name__}: {words}); MIGA_DEBUG=1 shows where it comes from"


if __name__ == "__main__":
    sys.exit(main())
