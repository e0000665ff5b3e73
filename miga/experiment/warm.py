"""Jobs of a run on this machine share what they import: each is a fork of one process that has imported it.

A job's own process hands its script over, waits, and ends as the script ends; where there is no such process, it runs
the script itself. `python -m miga.experiment.warm SOCKET NUMBER MODULE ...` serves until its standard input ends: when
the run does. It serves as soon as it has so many of the modules, and imports the others while nobody asks.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ADDRESS = "MIGA_WARM"  # in the environment of jobs: where the process listens that they may be forks of
HELD = []  # open until the run ends
DONE = []  # in a fork: that its script has come to its end


def begin(first: list[str], others: Sequence[str] = ()) -> None:
    """Start it for this run, where the system has what it needs. It imports what the first jobs need while they wait
    for it, then the others."""
    if hasattr(os, "pidfd_open"):
        folder = tempfile.TemporaryDirectory(prefix="miga-")
        address = str(Path(folder.name, "jobs"))
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(64)
            numbers = map(str, (listener.fileno(), len(first)))
            command = [sys.executable, "-m", __spec__.name, *numbers, *first, *others]
            streams = dict(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            process = subprocess.Popen(command, **streams, env=os.environ | threads, pass_fds=[listener.fileno()])
        HELD.extend([folder, process])
        os.environ[ADDRESS] = address


def hand_over() -> None:
    """Have this script run as a fork and end as it ends; returns where that cannot be."""
    address = os.environ.pop(ADDRESS, None)
    if address is None:
        return
    task = pickle.dumps((sys.argv, sys.path, os.getcwd(), dict(os.environ)))
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
            socket.send_fds(server, [len(task).to_bytes(8, "big")], [1, 2])
            server.sendall(task)
        except OSError:
            return
        try:
            status = server.recv(8)  # nothing, where what serves was killed
        except KeyboardInterrupt:  # the fork ends with this process
            os._exit(128 + signal.SIGINT)
    code = int.from_bytes(status, "big", signed=True) if status else -signal.SIGKILL
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)


def serve(listener: socket.socket, first: list[str], others: list[str]) -> None:
    """Fork for each script that comes; returns in the fork that is to run one, with it in place."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends its jobs, and the end of the run ends this
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with listener:
        load(first)
        waiting = list(others)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [], 0 if waiting else None)
            if sys.stdin in ready:
                sys.exit()
            if not ready:
                load([waiting.pop(0)])
                continue
            client, _ = listener.accept()
            if os.fork() == 0:
                break
            client.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    attend(client)


def load(modules: list[str]) -> None:
    """Import modules, for forks to share."""
    for module in modules:
        with suppress(Exception):  # the job that needs it will say so
            import_module(module)
    gc.freeze()  # a collection would write to, and so copy, what forks share


def attend(client: socket.socket) -> None:
    """Run a client's script in a fork, which dies with either of the two, and tell how it ended."""
    head, fds, _, _ = socket.recv_fds(client, 8, 2)
    with client.makefile("rb") as stream:
        task = stream.read(int.from_bytes(head, "big"))
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != guard:
            os._exit(1)
        client.close()
        become(fds, *pickle.loads(task))
        return
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([ended, client], [], [])
    if ended not in ready:  # the client is gone
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):
        client.sendall(status.to_bytes(8, "big", signed=True))
    os._exit(0)


def become(fds: list[int], argv: list[str], path: list[str], folder: str, environ: dict[str, str]) -> None:
    """Look to a script as the process that handed it over would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, fd in enumerate(fds, 1):
        os.dup2(fd, stream)
        os.close(fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv, sys.path = argv, path


def leave() -> None:
    """End a fork whose script is done as it stands: taking apart all that it shares would copy it first, which takes
    longer than many a job."""
    if DONE:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    atexit.register(leave)  # the first one is called last
    own, number, *modules = sys.argv[1:]
    serve(socket.socket(fileno=int(own)), modules[: int(number)], modules[int(number) :])
    runpy.run_path(sys.argv[0], run_name="__main__")
    DONE.append(True)
