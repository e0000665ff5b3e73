"""Commands explain themselves: each help has one example, which parses; the shell completes them."""

import functools
import inspect
import re
import shlex
import subprocess

import pytest
import tyro

from miga import commands as cli


def example(name):
    """The example in the help of a command."""
    (found,) = re.findall(r"^Example: (.+)$", inspect.getdoc(cli.function(name)), re.M)
    return found


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_example_of_each_help_parses(name):
    program, *words = shlex.split(example(name))
    assert program == "miga" and cli.find(words) == name
    command = cli.function(name)
    parsed = functools.wraps(command)(lambda *given, **named: "parsed")
    assert tyro.cli(parsed, args=words[len(name.split()) :]) == "parsed"


def test_help_shows_it(capsys):
    with pytest.raises(SystemExit):
        cli.main(["init", "--help"])
    assert example("init") in capsys.readouterr().out


TRY = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
_tyro_miga; echo "${COMPREPLY[@]}"
"""


def test_the_shell_completes_commands_and_options(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["completion", "bash"])
    script = tmp_path / "miga"
    script.write_text(capsys.readouterr().out)
    for words, expected in ((["ge"], "generate"), (["models", "f"], "fetch"), (["generate", "--me"], "--method")):
        done = subprocess.run(["bash", "-c", TRY, "-", script, "miga", *words], capture_output=True, text=True)
        assert done.stdout.split() == [expected], done.stderr


def test_suites_say_what_they_ask_cost_and_need(capsys):
    assert cli.main(["suites", "quick"]) == 0
    said = capsys.readouterr().out
    assert "2 entries on sprites-unet; 2 prompts of sprites; seeds 1" in said
    assert f"4 videos, {4 * 48} frames" in said and "nothing that is not here" in said
    assert cli.main(["suites", "qiuck"]) == 2 and "did you mean 'quick'" in capsys.readouterr().err
