"""Jobs of Snakemake as forks of one process that has imported what they import: `python forks.py FOLDER`.

A job that works for two hours does not mind the seconds in which it starts. Where work is slept through at a small
scale they must be as few: a fork runs each job's script, and is killed and fails as a process does.
"""

from __future__ import annotations

import os
import runpy
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path

SOCKET = "forks"
CLIENT = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({path!r})
server.sendall(sys.argv[1].encode() + b"\\n")
sys.exit(server.recv(1) != b"0")
"""  # what a fork that is killed says is nothing


def client(folder: Path) -> str:
    """What stands for the Python that Snakemake runs scripts with."""
    path = folder / "client.py"
    path.write_text(CLIENT.format(path=str(folder / SOCKET)))
    return f"{sys.executable} -S -E {path}"


def serve(folder: Path) -> None:
    """Until killed; folder/<pid> says which script a fork runs."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen(64)
        while True:
            connection, _ = listener.accept()
            with connection:
                script = connection.makefile().readline().strip()
                if not os.fork():
                    work(folder, script, connection)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def work(folder: Path, script: str, connection: socket.socket) -> None:
    (folder / str(os.getpid())).write_text(script)
    try:
        runpy.run_path(script, run_name="__main__")
        sys.stdout.flush()
        connection.sendall(b"0")
    except BaseException:
        traceback.print_exc()
        connection.sendall(b"1")
    finally:
        os._exit(0)


if __name__ == "__main__":
    from importlib import import_module

    for name in ("pandas", "sleeper", "baselines.direct", "baselines.fifo_diffusion", "miga.experiment.run"):
        import_module(name)
    serve(Path(sys.argv[1]))
