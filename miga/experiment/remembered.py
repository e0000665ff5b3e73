"""What was found out of the code as it stands, remembered in a file: it holds until a source of the project changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from eval.files import write_json


class Remembered:
    """Answers by key, in a file that holds for one state of the code. Without a file that can be read or written,
    everything is found out anew."""

    def __init__(self, file: Path, code: str) -> None:
        self.file, self.code, self.known = file, code, {}
        with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            said = json.loads(file.read_text(encoding="utf-8"))
            if said["code"] == code:
                self.known = dict(said["known"])

    def get(self, key: str, find: Callable[[], Any]) -> Any:
        """What is known by that key, else what `find` says, which is written down."""
        if key not in self.known:
            self.known[key] = find()
            with suppress(OSError):
                write_json(self.file, {"code": self.code, "known": self.known})
        return self.known[key]
