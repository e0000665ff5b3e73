"""What a person sees of a run: one bar, and what goes wrong. The rest of what Snakemake says is in its log file.

Snakemake finds this package by its name; `logger: miga` in a profile chooses it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

if TYPE_CHECKING:  # every job of a run imports this package, and needs no more
    from miga.experiment.progress import Progress

WRONG = (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR, LogEvent.ERROR)
EVERY = {True: 2, False: 60}  # seconds between two looks, on a terminal and elsewhere
LOOKING = 0.02  # of the time goes into looking at most: a file system of many nodes is slow
# Where errors come from, in logs and in Snakemake's own words, up to the line that says what went wrong in the end.
TRACES = re.compile(
    r"""^Traceback\ \(most\ recent\ call\ last\):\n (?:[ \t].*\n)*
      | ^\S.*\n\n (?:During\ handling\ of\ the|The)\ above\ exception.*\n\n
      | ^[ ]*File\ ".*",\ line\ \d+,\ in\ .*(?:\n|\Z)""",
    re.MULTILINE | re.VERBOSE,
)


class Formatter(DefaultFormatter):
    """As Snakemake says it, and of an error what it is, not where it comes from: that is in its log, and shown with
    `--verbose`."""

    def format(self, record: logging.LogRecord) -> str:
        return TRACES.sub("", super().format(record))


class LogHandler(LogHandlerBase):
    """Until a run begins nothing is shown but what goes wrong; where none begins (nothing to be done, `--unlock`, an
    error), all that was said is shown in the end. A dry run, `--verbose` and `--debug-dag` are as Snakemake shows them.
    """

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        said = self.common_settings
        self.plain = ColorizingTextHandler(
            said.nocolor,
            sys.stdout if said.stdout else sys.stderr,
            (DefaultFormatter if said.verbose else Formatter)(said.quiet, said.show_failed_logs),
            DefaultFilter(said.quiet, said.debug_dag, said.verbose, said.dryrun, said.printshellcmds),
        )
        self.show_all = said.dryrun or said.verbose or said.debug_dag
        self.held: list[logging.LogRecord] = []
        self.bar: Bar | None = None

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if self.show_all:
            self.plain.handle(record)
        elif progress := getattr(record, "progress", None):
            self.held.clear()
            self.plain.handle(record)
            self.bar = Bar(progress, self.plain.stream)
        elif record.levelno >= logging.WARNING or event in WRONG:
            self.show(record)
        elif event == LogEvent.PROGRESS and self.bar:
            self.bar.jobs = f"{record.done} of {record.total} jobs"
        elif not self.bar and event in (None, LogEvent.RUN_INFO):
            self.held.append(record)

    def show(self, record: logging.LogRecord) -> None:
        """A line of Snakemake's own, not through the middle of the bar."""
        if self.bar:
            self.bar.above(partial(self.plain.handle, record))
        else:
            self.plain.handle(record)

    def close(self) -> None:
        if self.bar:
            self.bar.close()
        for record in self.held:
            self.plain.handle(record)
        self.held.clear()
        super().close()


class Bar:
    """Videos done of all, frames per second, when it ends, and jobs: a bar on a terminal, else a line per minute."""

    def __init__(self, progress: Progress, stream) -> None:
        self.progress, self.stream, self.jobs = progress, stream, ""
        self.terminal = stream.isatty()
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.bar = tqdm(
            total=progress.run.asked,
            file=stream,
            disable=not self.terminal,
            bar_format="{l_bar}{bar}| {n_fmt} of {total_fmt} videos{postfix}",
        )
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        took = 0.0
        while not self.ended.wait(max(EVERY[self.terminal], took / LOOKING)):
            began = time.monotonic()
            self.tell()
            took = time.monotonic() - began

    def tell(self) -> None:
        done = self.progress.look()
        parts = ", ".join(filter(None, (self.progress.pace(time.time()), self.jobs)))
        with self.lock:
            if self.terminal:
                self.bar.n = done
                self.bar.set_postfix_str(parts)
            else:
                print(f"{self.progress.run.suite}: {done:,} of {self.progress.run.asked:,} videos, {parts}",
                      file=self.stream, flush=True)  # fmt: skip

    def above(self, show) -> None:
        with self.lock:
            self.bar.clear()
            show()
            self.bar.refresh()

    def close(self) -> None:
        self.ended.set()
        self.thread.join()
        self.tell()
        self.bar.close()
