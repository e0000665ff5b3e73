"""What registers itself: one lookup for every kind of plug-in, by the entry points of a group.

A package names its things in its own pyproject.toml, this repository no otherwise than any other:

    [project.entry-points."miga.methods"]
    my_method = "my_package:METHOD"
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from eval.parsing import known


class Registry:
    """The plug-ins of one entry-point group; each is imported when it is asked for, and no other.

    group: the entry-point group, such as "miga.methods".
    what: what one is called in sentences, such as "method".
    """

    def __init__(self, group: str, what: str) -> None:
        self.group, self.what = group, what

    @cached_property
    def points(self) -> dict[str, EntryPoint]:
        found = {point.name: point for point in entry_points(group=self.group)}
        if not found:  # this repository registers some in every group
            raise ValueError(f"no {self.what} is registered: install the package again (pip install -e .)")
        return found

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self.points))

    def get(self, name: str) -> Any:
        """The plug-in of that name; `ValueError` names the nearest known one."""
        known(name, self.points, self.what)
        return self.points[name].load()

    def module(self, name: str) -> str:
        """The dotted module in which a plug-in stands, without importing it; `ValueError` as in `get`."""
        known(name, self.points, self.what)
        return self.points[name].module

    def refresh(self) -> None:
        """Look again: packages were installed or removed since."""
        self.__dict__.pop("points", None)
