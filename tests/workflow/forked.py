"""Snakemake in forks of one process that has loaded what takes long: a dry run costs what its DAG costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGINS = Path(__file__).with_name("plugins")
OURS = ("miga", "baselines", "eval")
GROUPS = ("miga.methods", "miga.benchmarks", "miga.metrics", "miga.base_models", "miga.backbones")


class Server:
    """The process; one for all tests of a worker (the fixture `forks`)."""

    def __init__(self) -> None:
        environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, (ROOT, PLUGINS)))}
        self.process = subprocess.Popen(
            [sys.executable, __file__], env=os.environ | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, arguments: Sequence[str], root: Path, cwd: Path, environment: Mapping, files: Sequence[Path]) -> int:
        """The exit status of `snakemake`, with modules of ours from `root`, and stdout and stderr in `files`."""
        said = [arguments, str(root), str(cwd), environment, [*map(str, files)]]
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the server of forks is gone"
        return int(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Snakemake:
    """Runs `snakemake` in `root`, a tree of this repository, or in `cwd`; modules of ours are read anew in each run.
    Each run has the options `always`, `config`, and this environment."""

    def __init__(
        self, server: Server, root: Path, folder: Path, config: Sequence[str] = (), cwd: Path | None = None,
        always: Sequence[str] = ("--nolock", "--cores", "2"), environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.server, self.root, self.folder, self.config = server, root, folder, config
        self.cwd, self.always, self.environment = cwd or root, always, dict(environment or {})
        self.environment["XDG_CACHE_HOME"] = str(folder / "cache")
        self.environment["PYTHONPATH"] = os.pathsep.join(map(str, (root, PLUGINS)))

    def __call__(self, *arguments: str, config: Sequence[str] | None = None) -> subprocess.CompletedProcess:
        """With results in `folder`; config: in place of that of every run."""
        settings = [*self.always, *arguments, "--config", f"results={self.folder}/results"]
        settings += self.config if config is None else config
        files = [self.folder / name for name in ("stdout", "stderr")]
        status = self.server.run(settings, self.root, self.cwd, self.environment, files)
        return subprocess.CompletedProcess(settings, status, *(file.read_text() for file in files))


def serve() -> None:
    """A line on stdin is what a run is of; a line on stdout is its exit status."""
    from snakemake.cli import main

    for group in GROUPS:
        for point in entry_points(group=group):
            point.load()
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    for line in sys.stdin:
        arguments, root, cwd, environment, files = json.loads(line)
        if not (child := os.fork()):
            os.chdir(cwd)
            os.environ.update(environment)
            sys.path.insert(0, root)
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
