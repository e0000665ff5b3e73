"""The walls of docs/modules.md: who may import whom, and no circle. Nothing is imported here, only read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {"eval.registry", "eval.parsing", "eval.files"}  # every room may import these
LEFT_OVER: set[tuple[str, str]] = set()  # arrows that are still to go; one that is gone must leave this set


def walls(page: str) -> dict[str, set[str]]:
    """The table of the page: room -> rooms that it may import from."""
    table = re.search(r"\| room \| imports from \|\n\|[-|]+\|\n((?:\|.*\n)+)", page)[1]
    cells = [row.strip("| \n").split("|") for row in table.splitlines()]
    rooms = {name(cell[0].strip(" `")): cell[-1] if len(cell) > 1 else "" for cell in cells}
    listed = {room: {name(other) for other in re.findall(r"`(.+?)`", text)} for room, text in rooms.items()}
    return {room: set(rooms) if "every room" in rooms[room] else listed[room] for room in rooms}


def name(path: str) -> str:
    """The dotted name of a folder or file of this repository."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def sources(root: Path, rooms: Iterator[str]) -> dict[str, Path]:
    """Module name -> file, for all modules of the rooms."""
    files = [path for room in rooms for path in (root / room.replace(".", "/")).rglob("*.py")]
    return {name(path.relative_to(root).as_posix()): path for path in files}


def imports(module: str, path: Path, known: set[str]) -> set[str]:
    """The modules among `known` that a file imports anywhere: lazily and for type checking too."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            parts = {f"{base}.{alias.name}" for alias in node.names}
            found |= {part if part in known else base for part in parts}
    return (found & known) - {module}


def graph(root: Path, rooms: Iterator[str]) -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    files = sources(root, rooms)
    return {module: imports(module, path, set(files)) for module, path in files.items()}


def room_of(module: str, rooms: Iterator[str]) -> str:
    return next(room for room in rooms if f"{module}.".startswith(f"{room}."))


def forbidden(arrows: dict[str, set[str]], may: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Arrows that lead through a wall."""
    return {
        (module, other)
        for module, others in arrows.items()
        for other in others - GROUND
        if room_of(other, may) not in may[room_of(module, may)] | {room_of(module, may)}
    }


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, none where there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return error.args[1]
    return []


MAY = walls((ROOT / "docs" / "modules.md").read_text())
ARROWS = graph(ROOT, MAY)


def test_no_arrow_leads_through_a_wall():
    assert forbidden(ARROWS, MAY) == LEFT_OVER


def test_the_ground_modules_stand_on_nothing():
    assert {other for module in GROUND for other in ARROWS[module]} <= GROUND


def test_there_is_no_circle():
    assert not circle(ARROWS)


@pytest.mark.parametrize(
    "room, stranger, left_over",
    [
        ("workflow", "torch", []),
        ("miga", "snakemake", []),
        ("baselines", "snakemake", []),
        ("eval", "snakemake", []),
    ],
)
def test_workflow_knows_no_tensors_and_the_rest_no_snakemake(room, stranger, left_over):
    importing = re.compile(rf"^\s*(import|from) {stranger}\b", re.MULTILINE)
    assert [path.name for path in (ROOT / room).rglob("*.py") if importing.search(path.read_text())] == left_over


def test_every_package_of_ours_is_in_a_room():
    packages = {name(path.parent.relative_to(ROOT).as_posix()) for path in ROOT.glob("[!.]*/*/__init__.py")}
    ours = {package for package in packages if package.split(".")[0] in {"miga", "baselines", "eval"}}
    assert ours and all(room_of(package, MAY) for package in ours)


@pytest.fixture
def planted(tmp_path):
    """Writes modules, then tells the arrows between them."""

    def plant(**files: str) -> dict[str, set[str]]:
        for module, text in files.items():
            path = tmp_path / f"{module.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return graph(tmp_path, MAY)

    return plant


@pytest.mark.parametrize(
    "text",
    [
        "import miga.models.wan",
        "from miga.models import wan",
        "from miga.models.wan import Wan",
        "from ..models import wan",
        "def late():\n    from miga.models import wan",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from miga.models.wan import Wan",
    ],
)
def test_an_arrow_through_a_wall_is_seen(planted, text):
    arrows = planted(miga__engine__queue=text, miga__models__wan="from eval import parsing", eval__parsing="")
    assert forbidden(arrows, MAY) == {("miga.engine.queue", "miga.models.wan")}


def test_a_circle_is_seen(planted):
    modules = dict(eval__one="from eval.two import f", eval__two="def f():\n    import eval.three")
    assert not circle(planted(**modules, eval__three=""))
    assert set(circle(planted(eval__three="from eval import one"))) == {"eval.one", "eval.two", "eval.three"}
