"""Where the results of a suite come from, and whether they still are what they say.

results/<suite>/manifest.json   versions, digests, hardware and command, and a digest of every result file
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any

import av
import pandas as pd
from pydantic import BaseModel, Field, PositiveInt

from eval import leaderboard, records, tables, video
from eval.benchmark import BENCHMARKS, Sheet
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
    skips the decoding); leaderboards and tables, intervals included, against what the scores and sidecars make of them.
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
    resamples, suite_says = claims.config.config.bootstrap, claims.config.experiment.suite
    for path in sorted(suite.glob("leaderboard/*.csv")):
        yield _checked(path.relative_to(suite), lambda path=path: _check_board(path, scores, facts, resamples))
    for path in sorted(suite.glob("tables/*.csv")):
        yield _checked(
            f"{path.relative_to(suite)}, recomputed",
            lambda path=path: _check_table(path, scores, facts, resamples, suite_says),
        )
    if videos:
        for place, fact in zip(records.places(facts), facts.itertuples(), strict=True):
            yield _checked(place, lambda place=place, fact=fact: _check_video(suite / place, fact.frames_sha256))


class _Suite(BaseModel):
    reference: str | None = None
    benchmarks: dict[str, dict[str, Any]] = {}
    contrast: dict[str, tuple[str, str]] | None = None


class _Experiment(BaseModel):
    suite: _Suite = _Suite()


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


def _check_board(path: Path, scores: pd.DataFrame, facts: pd.DataFrame, resamples: int) -> str:
    board = leaderboard.read(path)
    metrics = [known for name in dict.fromkeys(board["metric"]) if (known := known_card(name))]
    used = scores[scores["entry"].isin(board["entry"]) & scores["protocol"].isin(board["protocol"])]
    again = leaderboard.build(used, facts, board["date"].iloc[0], metrics, resamples).set_index(leaderboard.KEY)
    for row in board.set_index(leaderboard.KEY).itertuples():
        name = "/".join(row.Index[1:])
        if row.Index not in again.index:
            return f"{name} is not in the scores"
        if again.loc[row.Index, "scores_sha256"] != row.scores_sha256:
            return f"{name} was computed from other scores"
        for column in ("value", "low", "high", "n", "total"):
            if not _same(getattr(row, column), again.loc[row.Index, column]):
                return f"{name}: {column} is {getattr(row, column)}, the scores say {again.loc[row.Index, column]}"
    return ""


def _check_table(path: Path, scores: pd.DataFrame, facts: pd.DataFrame, resamples: int, suite: _Suite) -> str:
    """Make the table again from the rows that it has, and compare every number."""
    table = pd.read_csv(path)
    sheet = Sheet(entries=list(dict.fromkeys(table["entry"])), resamples=resamples)
    common = dict(entries=sheet.entries, resamples=resamples)
    columns = [known for name in table.columns if (known := known_card(name))]
    if path.stem == "cost":
        again = tables.cost(facts, **common)
    elif path.stem == "speed":
        measured = records.read_lengths(path.parents[1].glob(LENGTHS))
        again = tables.speed(measured, facts, sheet.entries)
    elif made := _made_by_a_benchmark(path.stem, suite.benchmarks):
        again = made(scores, facts, sheet)
    elif not columns:
        return "nobody here knows how it is made: the package of its benchmark or metrics is not installed"
    else:
        again = _made_by_the_suite(path.stem, _of_the_first_benchmark(scores, suite), facts, suite, columns, **common)
    key = [column for column in ("base", "entry", "score", "series") if column in table]
    table, again = table.set_index(key), tables.to_frame(again).set_index(key)
    if odd := sorted(set(table.index) ^ set(again.index)):
        return f"{'/'.join(odd[0])} is in one of table and scores only"
    for row in table.index:
        for column in table.columns.intersection(again.select_dtypes("number").columns):
            found, made = table.loc[row, column], again.loc[row, column]
            if not _same(found, made):
                return f"{'/'.join(row)}: {column} is {found}, the scores say {made}"
    return ""


def _made_by_the_suite(name: str, scores, facts, suite: _Suite, columns, entries, resamples) -> tables.Table:
    """The table of differences, of differences of differences, or of an ablation."""
    if name == "contrast":
        return contrast("", "", scores, facts, columns=columns, resamples=resamples, **suite.contrast)
    if name == "differences":
        entries = [suite.reference, *entries]
        return tables.differences("", "", scores, facts, suite.reference, columns, entries, resamples=resamples)
    return tables.comparison("", "", scores, facts, columns, entries, resamples=resamples)


def _of_the_first_benchmark(scores: pd.DataFrame, suite: _Suite) -> pd.DataFrame:
    """The rows that tables of a suite are about, rather than of one of its benchmarks."""
    for name, said in suite.benchmarks.items():
        found = BENCHMARKS.get(name)
        return found.own(scores, parse(found.settings, said, f"benchmark {name!r}"))
    return scores


def _made_by_a_benchmark(name: str, benchmarks: Mapping[str, Any]) -> Callable | None:
    """How the suite's benchmarks make a table of that name; None where it is none of theirs."""
    for benchmark, said in benchmarks.items():
        found = BENCHMARKS.get(benchmark)
        if made := found.tables(parse(found.settings, said, f"benchmark {benchmark!r}")).get(name):
            return made
    return None


def _same(one: float | None, other: float | None) -> bool:
    return (pd.isna(one) and pd.isna(other)) or abs(one - other) <= EQUAL


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
