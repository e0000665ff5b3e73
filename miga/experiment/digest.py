"""Digests of source code: what decides the frames of a video, what decides scores, what decides a page.

A rule of the workflow has the digest of the code that it depends on as a parameter, so that an edit makes it run again,
and a sidecar has it for the same reason. Digests are over what a program can notice (`eval.source`): comments change
none of them. Texts that are only shown to readers, such as the label of a metric, decide pages, and neither frames nor
scores.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from eval.source import parsed, tree
from miga.experiment.remembered import Remembered

ROOT = Path(__file__).resolve().parents[2]  # where the packages stand
# What runs suites: in a checkout beside the packages, in a wheel a copy of it (setup.py).
HOME_FILES = ("Snakefile", "config", "environment.yml", "profiles", "workflow")
HOME = ROOT if (ROOT / "Snakefile").is_file() else Path(__file__).resolve().with_name("home")
PACKAGES = ("miga", "baselines", "eval")
REMEMBERED = "MIGA_REMEMBERED"  # in the environment of a run and its jobs: the file of what is known of the code

# From job to frames to file. What a suite asks for is in the request, and so are the options and the weights of a base
# model, which is all that its registry decides.
FRAMES = ("miga.experiment.frames", "miga.experiment.start", "miga.experiment.video")
NOT_FRAMES = (
    "eval*", "miga.experiment*", "miga.commands*",
    "miga.models", *(f"miga.models.{name}" for name in ("convert*", "fetch", "folders", "registry")),
)  # fmt: skip
MADE_OF_SCORES = (
    "benchmark", "leaderboard", "manifest", "parsing", "plots", "quality", "records", "registry", "report*",
    "statistics", "tables*", "track",
)  # fmt: skip
NOT_SCORES = ("miga.experiment*", "miga.commands*", *(f"eval.{name}" for name in MADE_OF_SCORES))


def frames_digest(method: str, *model: str) -> str:
    """Of all code that decides the frames of a video: the engine, the package of the method, the class of the base
    model and the features that it judges frames by (each given by its module), and the way from there to the file."""
    return _digest((*FRAMES, method, *model), NOT_FRAMES, shown=False)


def texts_digest(*model: str) -> str:
    """Of all code that decides how a base model encodes prompts."""
    return _digest(("miga.experiment.texts", *model), NOT_FRAMES, shown=False)


def scores_digest(*modules: str) -> str:
    """Of all code that decides scores, by the modules that compute them."""
    return _digest(modules, NOT_SCORES, shown=False)


def code_digest(*modules: str) -> str:
    """Of these modules and all that they import from their packages and this project, shown texts included.

    A file of the repository, such as "workflow/scripts/tables.py", is a module too.
    """
    return _digest(modules, (), shown=True)


def script_digest(name: str) -> str:
    """Of one script of the workflow by itself, for rules whose digest must not cover all that it imports."""
    return hashlib.sha256(tree(HOME / "workflow" / "scripts" / f"{name}.py", False).encode()).hexdigest()[:16]


def remember(file: Path) -> None:
    """Take digests once for this run, its jobs and later runs: what is in the file holds until a source changes."""
    os.environ[REMEMBERED] = str(file.absolute())


def remembered() -> Remembered | None:
    """What is known of the code as it stands, where a run remembers it."""
    return _remembered(Path(os.environ[REMEMBERED])) if REMEMBERED in os.environ else None


@cache
def _remembered(file: Path) -> Remembered:
    return Remembered(file, _sources(*(ROOT / package for package in PACKAGES), HOME / "workflow"))


def _sources(*places: Path) -> str:
    """sha256 over all sources in folders, or files, as they are, and the Python that reads them. Quickly taken, and
    another one after any edit, be it of a comment."""
    digest = hashlib.sha256(sys.version.encode())
    files = [path for place in places for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    for path in filter(Path.is_file, files):
        content = path.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@cache  # a rule asks for each of its jobs
def _digest(roots: tuple[str, ...], without: tuple[str, ...], shown: bool) -> str:
    """As `_taken`, or as it is known, for packages of others too."""
    if not (known := remembered()):
        return _taken(roots, without, shown)
    others = sorted({root.split(".")[0] for root in roots if "/" not in root} - {*PACKAGES})
    places = (home / package for package in others if (home := _home(package)))
    theirs = _sources(*(place if place.is_dir() else place.with_suffix(".py") for place in places))
    return known.get(json.dumps([roots, without, shown, theirs]), lambda: _taken(roots, without, shown))


def _taken(roots: tuple[str, ...], without: tuple[str, ...], shown: bool) -> str:
    """sha256 (16 digits) over names and trees of the roots and what they import, but for modules of those patterns."""
    digest = hashlib.sha256()
    for module, path in sorted(closure(roots, without).items()):
        digest.update(f"{module}\0{tree(path, shown)}\0".encode())
    return digest.hexdigest()[:16]


def closure(roots: Iterable[str], without: Sequence[str] = ()) -> dict[str, Path]:
    """Module -> file of the roots and of all that they import, at the top or inside functions. Only roots may match
    a pattern of `without`."""
    roots = list(roots)
    packages = frozenset([*PACKAGES, *(root.split(".")[0] for root in roots if "/" not in root)])
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        for module, path in files_of(waiting.pop(), packages):
            if module not in found and (module in roots or not any(fnmatchcase(module, p) for p in without)):
                found[module] = path
                waiting += imports(module, path)
    return found


def files_of(module: str, packages: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """(module, file) of a module of these packages and of the packages above it, which run too.

    None for an attribute of a module, and for modules of other packages.
    """
    if "/" in module:
        yield module, HOME / module
        return
    parts = module.split(".")
    if parts[0] in packages and (above := _home(parts[0])):
        for depth in range(1, len(parts) + 1):
            place = above.joinpath(*parts[:depth])
            for path in (place.with_suffix(".py"), place / "__init__.py"):
                if path.is_file():
                    yield ".".join(parts[:depth]), path


@cache
def _home(package: str) -> Path | None:
    """The folder in which a top-level package or module stands; this does not import it."""
    if package in PACKAGES:
        return ROOT
    spec = PathFinder.find_spec(package)
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin)
    return path.parents[1] if path.name == "__init__.py" else path.parent


@cache
def imports(module: str, path: Path) -> tuple[str, ...]:
    """Names that a file imports anywhere: modules, and attributes of modules. Scripts find those beside them."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            names += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    if "/" in module:
        beside = {name: module.replace(path.name, f"{name}.py") for name in names}
        names = [beside[name] if path.with_name(f"{name}.py").is_file() else name for name in names]
    return tuple(names)
