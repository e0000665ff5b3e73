"""What a person sees of a run: one line in front, a bar or a line per minute, and what goes wrong."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_miga as plugin
from miga.experiment.progress import Part, Progress, begin


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def record(text, event=None, level=logging.INFO, **facts):
    made = logging.LogRecord("snakemake", level, "", 0, text, (), None)
    made.__dict__.update(event=event, **facts)
    return made


@pytest.fixture
def started(tmp_path):
    part = Part(frames=48, passes=(1, 1), pace=None, videos=["base/entry/a/seed-0.json"])
    run = begin("mine", tmp_path, [part], asked=3, devices=1)
    return record(run.sentence(), progress=Progress(run, tmp_path))


def said(records, terminal=False, monkeypatch=None, **settings):
    """What is shown of these records by the end."""
    common = dict(nocolor=False, quiet=None, debug_dag=False, verbose=False, show_failed_logs=False)
    common |= dict(stdout=False, dryrun=False, printshellcmds=False)
    stream = Stream(terminal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugin.sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        handler = plugin.LogHandler(SimpleNamespace(**common | settings), None)
        for one in records:
            handler.emit(one)
        handler.close()
    return stream.getvalue()


CHATTER = record("Building DAG of jobs..."), record("Job stats", LogEvent.RUN_INFO)


def test_a_run_is_one_line_and_its_progress(started):
    after = record("Select jobs to execute..."), record("2 of 5", LogEvent.PROGRESS, done=2, total=5)
    shown = said([*CHATTER, started, *after])
    assert shown.splitlines() == [started.msg, "mine: 2 of 3 videos, 0.0 frames/s, 2 of 5 jobs"]


def test_a_terminal_has_a_bar_and_colours(started):
    shown = said([*CHATTER, started], terminal=True)
    assert "\r" in shown and "\033[" in shown and "2 of 3 videos" in shown and "DAG" not in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_what_goes_wrong_is_shown(started, terminal):
    wrong = record("a disk is full", LogEvent.ERROR, logging.ERROR)
    assert "a disk is full\n" in said([started, wrong], terminal).replace("\033[0m", "")


def test_where_no_run_begins_all_is_shown():
    assert said([*CHATTER, record("Nothing to be done")]).splitlines() == [
        "Building DAG of jobs...", "Job stats", "Nothing to be done",
    ]  # fmt: skip


def test_a_dry_run_is_snakemakes_own():
    assert said(CHATTER, dryrun=True).splitlines() == ["Building DAG of jobs...", "Job stats"]


def test_of_an_error_is_shown_what_it_is_and_not_where_it_comes_from(started, tmp_path):
    """Three errors one after another, the second without a trace, as a plot on a full disk ends."""
    chain = "\nDuring handling of the above exception, another exception occurred:\n\n"
    trace = 'Traceback (most recent call last):\n  File "plots.py", line 1, in draw\n    write()\n    ^^^^^^^\n'
    log = tmp_path / "plots.log"
    log.write_text(f"drawing\n{trace}OSError: one\n{chain}OSError: two\n{chain}{trace}OSError: no room: 'a.svg'\n")
    facts = dict(rule_name="plots", rule_msg=None, jobid=1, input=[], output=["a.svg"], log=[str(log)])
    facts |= dict(conda_env=None, shellcmd=None, aux={}, indent=False)
    wrong = record("", LogEvent.JOB_ERROR, logging.ERROR, **facts)
    shown = said([started, wrong], show_failed_logs=True).replace("\033[0m", "")
    assert "drawing\nOSError: no room: 'a.svg'\n" in shown and "Error in rule plots" in shown
    assert not any(
        words in shown for words in ("Traceback", "draw()", "write()", "^^", "OSError: one", "OSError: two", "During")
    )
    assert "Traceback" in said([started, wrong], show_failed_logs=True, verbose=True)
