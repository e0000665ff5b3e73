"""Write the tables of docs/modules.md from the first sentence of each module: `python docs/modules.py`."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "modules.md"
ROOMS = (
    *("miga/engine", "miga/models", "miga/method", "baselines", "miga/sprites"),
    *("miga/experiment", "miga/commands", "eval"),
)
MARK = "<!-- below: made by `python docs/modules.py` -->\n"


def first_paragraph(path: Path) -> str:
    """The first paragraph of a module's docstring, as one line; `ValueError` where there is none."""
    text = ast.get_docstring(ast.parse(path.read_text(), str(path)))
    if not text:
        raise ValueError(f"{path.relative_to(ROOT)}: has no docstring: say in its first line what lives there")
    return " ".join(text.split("\n\n")[0].split())


def section(room: str) -> str:
    """A room: what its `__init__` says of it, and a row per module, packages under their own name."""
    folder = ROOT / room
    rows = []
    for path in sorted(folder.rglob("*.py")):
        if path != folder / "__init__.py":
            name = path.relative_to(folder).as_posix().removesuffix("__init__.py")
            rows.append(f"| `{name}` | {first_paragraph(path).replace('|', chr(92) + '|')} |\n")
    table = "\n| module | what lives there |\n|---|---|\n" + "".join(rows) if rows else ""
    return f"\n## `{room}/`\n\n{first_paragraph(folder / '__init__.py')}\n{table}"


def page(written: str) -> str:
    """The page: what people wrote above the mark, the tables of all rooms below it."""
    return written.split(MARK)[0] + MARK + "".join(map(section, ROOMS))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
