"""Where the results of a suite come from, and whether they still are what they say.

results/<suite>/manifest.json   versions, digests, hardware and command, and a digest of every result file
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import distributions
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import av
import pandas as pd
from pydantic import BaseModel, Field, PositiveInt

from eval import leaderboard, records, tables, video
from eval.benchmark import BENCHMARKS, Benchmark, Settings, Sheet
from eval.contrast import contrast
from eval.files import file_digest, write_json
from eval.metric import known_card
from eval.parsing import parse
from eval.records import LENGTHS, SIDECARS, sidecar_of
from eval.scores import read
from eval.statistics import RESAMPLES

RESULTS = (
    "scores.parquet",
    "videos.parquet",
    "quality.json",
    "prompts.json",
    "tables/*",
    "plots/*",
    "leaderboard/*",
    "faults.*",
    LENGTHS,
    SIDECARS,
)
EQUAL = 1e-9  # of numbers that are computed again


def build(
    suite: str | Path,
    command: str,
    code: Mapping[str, str],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of a suite's folder.

    command: the command line that made it. code: name -> digest of the sources that decided the results.
    config: the configuration in full, recorded with its digest.
    """
    suite = Path(suite)
    facts = records.read(suite / "videos.parquet")
    made = facts[facts["origin"].isna()]
    return {
        "suite": suite.name,
        "command": command,
        "code_sha256": dict(code),
        "config": dict(config),
        "config_sha256": _text_digest(config),
        "prompts_sha256": _text_digest(sorted(set(zip(facts["prompt_id"], facts["prompt"], strict=True)))),
        "weights_sha256": dict(zip(made["base"], made["weights_sha256"], strict=True)),
        "methods": {f"{fact.base}/{fact.entry}": fact.version for fact in made.itertuples()},
        "videos": len(facts),
        "packages": packages(),
        "hardware": hardware(),
        "files": {str(path.relative_to(suite)): file_digest(path) for path in _files(suite)},
    }


def write(manifest: Mapping[str, Any], path: str | Path) -> None:
    write_json(path, manifest, sort_keys=True)


def verify(suite: str | Path, videos: bool = True) -> Iterator[tuple[str, bool, str]]:
    """(what, whether it matches, why not) for everything that the folder of a suite claims about itself.

    Files against the manifest's digests; videos against the hash of decoded frames in their sidecars (`videos=False`
    skips the decoding); leaderboards and tables, row by row with intervals, against what scores and sidecars make.
    """
    suite = Path(suite)
    claims = read_claims(suite / "manifest.json")
    for name, digest in claims.files.items():
        path = suite / name
        if not path.is_file():
            yield name, False, "is missing"
        else:
            same = file_digest(path) == digest
            yield name, same, "" if same else "is not the file that the manifest describes"
    scores, facts = read(suite / "scores.parquet"), records.read(suite / "videos.parquet")
    yield _checked("videos.parquet, read again", lambda: _check_facts(suite, facts))
    said = scores, facts, claims.config.config.bootstrap, claims.config.experiment
    for path in sorted(suite.glob("leaderboard/*.csv")):
        yield _checked(path.relative_to(suite), lambda path=path: _check_board(path, *said))
    for path in sorted(suite.glob("tables/*.csv")):
        yield _checked(f"{path.relative_to(suite)}, recomputed", lambda path=path: _check_table(path, *said))
    if videos:
        for place, fact in zip(records.places(facts), facts.itertuples(), strict=True):
            yield _checked(place, lambda place=place, fact=fact: _check_video(suite / place, fact.frames_sha256))


class _Suite(BaseModel):
    reference: str | None = None
    benchmarks: dict[str, dict[str, Any]] = {}
    contrast: dict[str, tuple[str, str]] | None = None


class _Ablation(BaseModel):
    table: str
    rows: dict[str, str]


class _Experiment(BaseModel):
    suite: _Suite = _Suite()
    entries: dict[str, Any] = {}
    ablations: dict[str, _Ablation] = {}

    def rows_of(self, table: str) -> dict[str, str] | None:
        """Entry -> words of an ablation's table; None where the table is none."""
        return next((one.rows for one in self.ablations.values() if one.table == table), None)

    def benchmarks(self) -> Iterator[tuple[Benchmark, Settings]]:
        """The benchmarks of the suite, with what it says about them."""
        for name, said in self.suite.benchmarks.items():
            found = BENCHMARKS.get(name)
            yield found, parse(found.settings, said, f"benchmark {name!r}")


class _Settings(BaseModel):
    bootstrap: PositiveInt = RESAMPLES


class _Config(BaseModel):
    config: _Settings = _Settings()
    experiment: _Experiment = _Experiment()


class Claims(BaseModel):
    """What a manifest says that can be checked: files with their sha256, and how intervals were made."""

    files: Annotated[dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]], Field(min_length=1)]
    config: _Config


def read_claims(path: Path) -> Claims:
    """The claims of a manifest; `ValueError` that says what is wrong with the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{path.parent}: no manifest.json: give the folder of a finished suite, such as results/<suite>"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    claims = parse(Claims, data, str(path))
    if outside := [name for name in claims.files if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise ValueError(f"{path}: {outside[0]} is outside of the results")
    return claims


def packages() -> dict[str, str]:
    """Every installed distribution with its version."""
    found = {dist.metadata["Name"]: dist.version for dist in distributions() if dist.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def hardware() -> dict[str, Any]:
    """Machine, cores, memory and GPUs; no names of hosts or users."""
    import torch

    gpus = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": gpus,
        "cuda": torch.version.cuda,
        "ffmpeg": ".".join(map(str, av.library_versions["libavcodec"])),
    }


def _checked(what: object, check: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        problem = check()
    except (ValueError, OSError, KeyError) as error:
        problem = str(error)
    return str(what), not problem, problem


def _check_facts(suite: Path, facts: pd.DataFrame) -> str:
    """Whether the table of videos says what the sidecars do."""
    again = records.collect([suite / sidecar_of(place) for place in records.places(facts)])
    for name in again.columns.drop("label"):
        for place, found, made in zip(records.places(facts), facts[name], again[name], strict=True):
            if found != made and not (pd.isna(found) and pd.isna(made)):
                return f"{place}: {name} is {found!r}, the sidecar says {made!r}"
    return ""


def _check_video(path: Path, digest: str | None) -> str:
    if not digest:
        return "its sidecar does not say frames_sha256"
    return "" if video.frames_digest(path) == digest else "its frames are not those that its sidecar describes"


def _check_board(path: Path, scores: pd.DataFrame, facts: pd.DataFrame, resamples: int, experiment: _Experiment) -> str:
    """Make the board again, with all rows that the suite's entries have, and compare every number."""
    board = leaderboard.read(path)
    of_entries = scores[scores["entry"].isin(experiment.entries or board["entry"])]
    metrics = [known for name in dict.fromkeys(board["metric"]) if (known := known_card(name))]
    used = of_entries[of_entries["protocol"].isin(board["protocol"])]
    for benchmark, settings in experiment.benchmarks():
        if benchmark.table == path.stem:
            used, metrics = benchmark.own(of_entries, settings), benchmark.board(settings)
    again = leaderboard.build(used, facts, board["date"].iloc[0], metrics, resamples).set_index(leaderboard.KEY)
    board = board.set_index(leaderboard.KEY)
    if odd := _in_one_only(board, again, "leaderboard"):
        return odd
    for row in board.itertuples():
        if again.loc[row.Index, "scores_sha256"] != row.scores_sha256:
            return f"{'/'.join(row.Index[1:])} was computed from other scores"
    return _unequal(board, again, ("value", "low", "high", "n", "total", "prompts", "frames"))


def _check_table(path: Path, scores: pd.DataFrame, facts: pd.DataFrame, resamples: int, experiment: _Experiment) -> str:
    """Make the table again, with all rows that the suite says, and compare all that stands in it."""
    table = pd.read_csv(path)
    again = _made_again(path, table, scores, facts, resamples, experiment)
    if again is None:
        return "nobody here knows how it is made: the package of its benchmark or metrics is not installed"
    key = [column for column in ("base", "entry", "score", "series") if column in table]
    table, again = table.set_index(key), tables.to_frame(again).set_index(key)
    if lost := again.columns.difference(table.columns).tolist():
        return f"it has no column {lost[0]}"
    return _in_one_only(table, again, "table") or _unequal(table, again, again.columns)


def _made_again(
    path: Path, table: pd.DataFrame, scores: pd.DataFrame, facts: pd.DataFrame, resamples: int, experiment: _Experiment
) -> tables.Table | None:
    """The table of this name, of this suite; None where it is of a package that is not here."""
    name, suite, words = path.stem, experiment.suite, experiment.rows_of(path.stem)
    # in the table's order, which decides ties
    entries = list(dict.fromkeys([*table["entry"], *(words or experiment.entries)]))
    if name == "cost":
        return tables.cost(facts, entries, resamples=resamples)
    if name == "speed":
        return tables.speed(records.read_lengths(path.parents[1].glob(LENGTHS)), facts, entries)
    for benchmark, settings in experiment.benchmarks():
        if made := benchmark.tables(settings).get(name):
            return made(scores, facts, Sheet(entries=entries, resamples=resamples))
    columns = [known for column in table.columns if (known := known_card(column))]
    if not columns:
        return None
    for benchmark, settings in islice(experiment.benchmarks(), 1):  # tables of the suite are about its first
        scores = benchmark.own(scores, settings)
        columns = benchmark.columns(settings) if words else benchmark.board(settings)
    if name == "contrast":
        return contrast("", "", scores, facts, columns=columns, resamples=resamples, **suite.contrast)
    if name == "differences":
        return tables.differences("", "", scores, facts, suite.reference, columns, entries, resamples=resamples)
    if words:
        scores, facts = (rows[rows["entry"].isin(words)] for rows in (scores, facts))
    heading = "Setting" if words else "Method"
    return tables.comparison("", "", scores, facts, columns, entries, words, heading, resamples=resamples)


def _in_one_only(found: pd.DataFrame, again: pd.DataFrame, what: str) -> str:
    odd = sorted(set(found.index) ^ set(again.index))
    return f"{'/'.join(odd[0])} is in one of {what} and scores only" if odd else ""


def _unequal(found: pd.DataFrame, again: pd.DataFrame, columns: Iterable[str]) -> str:
    """The first cell that differs, in words."""
    for row in found.index:
        for column in columns:
            one, other = found.loc[row, column], again.loc[row, column]
            if not _same(one, other):
                return f"{'/'.join(row)}: {column} is {one}, the scores say {other}"
    return ""


def _same(one: Any, other: Any) -> bool:
    """Two numbers, or two words; what is missing equals what is empty."""
    gone = [pd.isna(value) or value == "" for value in (one, other)]
    if any(gone):
        return all(gone)
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return abs(float(one) - float(other)) <= EQUAL


def _files(suite: Path) -> Iterator[Path]:
    for pattern in RESULTS:
        yield from (path for path in sorted(suite.glob(pattern)) if path.is_file())


def _text_digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
