"""Commands that the documentation names: each is one and takes the options that stand there; short ones are run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import warnings
from pkgutil import resolve_name

import pytest
from snakemake.cli import get_argument_parser
from tyro.extras import get_parser

from eval.parsing import parse
from miga.commands import COMMANDS, find, main
from miga.experiment.digest import ROOT
from miga.experiment.experiment import load_experiment
from miga.experiment.suite import Config
from tests.test_docs import PAGES
from tests.workflow.forked import Snakemake

PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("baselines/*/README.md"))]
TOOLS = r"(?:\.venv/bin/)?(?:miga|snakemake|make|python)"
HERE = ("mine", "longlive")  # suites and entries that a page makes up


def named(page) -> list[tuple[str, bool]]:
    """The commands of a page, and whether each stands there in full: in a block of code, not in a sentence."""
    text = page.read_text()
    lines = [line for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S) for line in block.splitlines()]
    whole = [part.strip().removeprefix("$ ") for line in lines for part in line.split(" && ")]
    prose = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S))
    found = [(command, True) for command in whole] + [(command, False) for command in prose]
    return [(command, full) for command, full in found if re.match(rf"{TOOLS} [^=]", command)]


COMMANDS_OF = {page: named(page) for page in PAGES}
CASES = sorted({case for cases in COMMANDS_OF.values() for case in cases})


def words_of(command: str) -> list[str]:
    tool, *words = shlex.split(command, comments=True)
    return [tool.rpartition("/")[2], *words]


def of_miga(words: list[str], full: bool) -> None:
    name = find(words)
    assert name or words[0] in {known.split()[0] for known in COMMANDS}, f"no command {' '.join(words[:2])!r}"
    if name is None:  # a group, as in `miga narrlv ...`
        return
    rest = [word for word in words[len(name.split()) :] if word != "..."]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = get_parser(resolve_name(COMMANDS[name][0]))
    if full and "..." not in words:
        parser.parse_args(rest)
    options = {option for action in parser._actions for option in action.option_strings}
    assert {word for word in rest if word.startswith("--")} <= options


def of_snakemake(words: list[str], full: bool) -> None:
    said = get_argument_parser().parse_args(words)
    config = dict(pair.split("=", 1) for pair in said.config or ())
    assert config.keys() <= Config.model_fields.keys()
    if (suite := config.get("suite")) and suite[0] not in "<N" and not suite.startswith(HERE):
        load_experiment(suite, ROOT)
    numbers = {key: int(config[key]) for key in ("limit", "shard") if key in config}
    parse(Config, numbers, "config")


def of_make(words: list[str], full: bool) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert words[0] in targets, f"no target {words[0]} in the Makefile"


def of_python(words: list[str], full: bool) -> None:
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), f"no module {words[1]}"
    else:
        assert any(ROOT.rglob(words[0])) if "/" not in words[0] else (ROOT / words[0]).is_file(), words[0]


@pytest.mark.parametrize(("command", "full"), CASES)
def test_a_command_that_a_page_names_is_one(command, full):
    tool, *words = words_of(command)
    {"miga": of_miga, "snakemake": of_snakemake, "make": of_make, "python": of_python}[tool](words, full)


def test_commands_are_found():
    """The test above would pass with nothing to look at."""
    assert {words_of(command)[0] for command, full in CASES if full} >= {"miga", "snakemake", "make"}
    assert len(CASES) > 60


@pytest.mark.parametrize("command", ["models", "models --json", "methods", "methods --json", "metrics", "doctor"])
def test_what_needs_nothing_runs_as_written(command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), *(["--suite", "sprites"] if command == "doctor" else [])]) == 0
    assert capsys.readouterr().out


@pytest.fixture(scope="module")
def elsewhere(forks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    return Snakemake(forks, ROOT, folder, ["suite=sprites", "limit=1"], cwd=folder, always=["-s", f"{ROOT}/Snakefile"])


@pytest.mark.parametrize("option", ["--unlock", "--summary", "--rulegraph"])
def test_what_runs_no_job_needs_no_cores_and_works_from_anywhere(option, elsewhere):
    done = elsewhere(option)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
