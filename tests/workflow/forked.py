"""Snakemake in forks of one process that has loaded what takes long: a dry run costs what its DAG costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

OURS = ("miga", "baselines", "eval")
GROUPS = ("miga.methods", "miga.benchmarks", "miga.metrics", "miga.base_models", "miga.backbones")


class Snakemake:
    """Runs `snakemake` in `root`, a tree of this repository, or elsewhere; its own modules are read anew in each run.
    Each run has the options `always`."""

    def __init__(
        self, root: Path, folder: Path, config: Sequence[str] = (), cwd: Path | None = None,
        always: Sequence[str] = ("--nolock", "--cores", "2"),
    ) -> None:  # fmt: skip
        self.root, self.folder, self.config, self.always = root, folder, config, always
        path = os.pathsep.join([str(root), str(Path(__file__).with_name("plugins"))])
        environment = {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": path}
        self.server = subprocess.Popen(
            [sys.executable, __file__], cwd=cwd or root, env=os.environ | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *arguments: str, config: Sequence[str] | None = None) -> subprocess.CompletedProcess:
        """With results in `folder`; config: in place of that of every run."""
        settings = [*self.always, *arguments, "--config", f"results={self.folder}/results"]
        settings += self.config if config is None else config
        files = [self.folder / name for name in ("stdout", "stderr")]
        self.server.stdin.write(json.dumps([settings, *map(str, files)]) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, "the server of forks is gone"
        return subprocess.CompletedProcess(settings, int(answer), *(file.read_text() for file in files))

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()


def serve() -> None:
    """A line on stdin is arguments and files for stdout and stderr; a line on stdout is the exit status."""
    from snakemake.cli import main

    for group in GROUPS:
        for point in entry_points(group=group):
            point.load()
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    for line in sys.stdin:
        arguments, *files = json.loads(line)
        if not (child := os.fork()):
            for number, file in ((0, os.devnull), *zip((1, 2), files, strict=True)):
                os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            sys.argv[1:] = arguments  # which a sentence about a wrong value quotes
            try:
                main(arguments)
            except SystemExit as done:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(int(done.code or 0))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder
    serve()
