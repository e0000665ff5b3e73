"""Digests of source code: which modules a piece of the project depends on, and one hash over them.

Snakemake sees that a script changed but not that a module did which it imports. The digest of the modules that a rule
uses is a parameter of the rule, so that editing them makes it run again; it is in the sidecars for the same reason.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("miga", "baselines", "eval")


def code_digest(*modules: str) -> str:
    """sha256 (16 digits) over the sources that these modules import from this project, themselves included."""
    found: set[Path] = set()
    waiting = [path for module in modules for path in paths_of(module)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imports(path)
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def paths_of(module: str) -> list[Path]:
    """The file of a module (none for an attribute of one or a foreign module) and the packages above it."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return []
    inits = [ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    return [path for path in [ROOT.joinpath(*parts).with_suffix(".py"), *inits] if path.is_file()]


@cache
def imports(path: Path) -> list[Path]:
    """Files of this project that a file imports anywhere, also inside functions."""
    package = path.relative_to(ROOT).parent.parts
    names = []
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [above, node.module]))
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return [file for name in names for file in paths_of(name)]
