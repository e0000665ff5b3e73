"""Files that are either the old ones or the new ones, never half of them, and never somebody else's."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LONGEST = 200  # bytes of a file's name that leave room for what is put around it; file systems take 255


def hidden(path: Path, ending: str) -> Path:
    """`.<name>.<ending>` beside `path`; of a name too long for that, its digest."""
    name = os.fsencode(path.name)
    short = path.name if len(name) <= LONGEST else hashlib.sha256(name).hexdigest()[:32]
    return path.with_name(f".{short}.{ending}")


def file_digest(path: str | Path) -> str:
    """sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def naming(path: Path, *others: Path) -> Iterator[None]:
    """`OSError`s of the block name `path` where they name no file (a full disk), or one of the others."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename in (None, *map(str, others)):
            raise type(error)(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error
        raise


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A hidden file to write in place of `path`, of this thread alone.

    It is moved to `path` when the block ends, and removed when the block fails: then what was at `path` is still there.
    """
    path = Path(path)
    partial = hidden(path, f"{os.getpid()}-{threading.get_ident()}.partial")
    with naming(path, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def leftovers(path: Path) -> list[Path]:
    """What writers of `path` have left beside it, those that were killed or still write."""
    theirs = re.compile(re.escape(hidden(path, "").name) + r"\d+(-\d+)?\.partial")
    return [left for left in path.parent.iterdir() if theirs.fullmatch(left.name)]


def write_bytes(path: str | Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8 and move it into place. What is no text (bytes of a file's name) reads as JSON escapes it."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, data: Any, **options: Any) -> None:
    """Write JSON and move it into place; what is not JSON (NaN too) is a `ValueError`. options: of `json.dumps`."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False, **options) + "\n")


def only_ours(path: str | Path, is_ours: Callable[[Path], Any], what: str) -> None:
    """`ValueError` where something stands at `path` that is not `what` this project writes: it is not overwritten.

    is_ours: reads the file; False, or an error of any kind, says that it is another one.
    """
    path = Path(path)
    if not path.exists():
        return
    try:
        fine = path.is_file() and is_ours(path) is not False
    except Exception:  # whatever a reader says of a file that is not its own
        fine = False
    if not fine:
        raise ValueError(f"{path} is there already and is not {what}: choose another name, or move it away")


def writable(path: Path) -> None:
    """`OSError` that names `path` where no file can be made there: asked before work is spent. Its folder is made."""
    path = Path(path)
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """The block runs in one process at a time for each `path`; a second one is a `ValueError`.

    The lock goes with the process, however it ends. On a file system without locks there is none.
    """
    lock = hidden(path, "lock")
    with naming(path, lock):
        handle = _locked(lock)
    if handle is None:
        raise ValueError(f"{path}: another run is making it; wait for it, or choose another name")
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(handle)


def _locked(lock: Path) -> int | None:
    """A handle that holds the lock; None while another process does."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        return handle
    if os.fstat(handle).st_nlink:
        return handle
    os.close(handle)  # of a run that ended meanwhile and took its lock away
    return _locked(lock)
