"""Publish a finished suite to Weights & Biases: tables, figures, sample videos and the scores as an artifact.

Off the critical path: it runs in a process of its own with a time limit, a network that is down or slow is a sentence
in the returned status and never an error, and publishing the same results twice leaves one run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import psutil

from eval import leaderboard, records
from eval.files import writable, write_json
from eval.scores import read

Mode = Literal["offline", "online", "disabled"]
BLOCK, LATER = 32768, (3, 4)  # of wandb's files: bytes of a block, and kinds of pieces that are not a record's first


def publish(
    suite: str | Path,
    mode: Mode = "offline",
    project: str = "miga-bench",
    entity: str | None = None,
    videos: int = 8,
    timeout: float = 120,
) -> dict[str, Any]:
    """Publish the folder of a suite (scores.parquet, videos.parquet, tables/, plots/, leaderboard/, videos).

    Returns {"state": "published" | "unchanged" | "disabled" | "failed", "mode", "id", "reason"} and writes it to
    <suite>/wandb/status.json. Takes at most `timeout` seconds. The key is read from the environment (WANDB_API_KEY) by
    wandb itself; without one, "online" becomes "offline". `videos` sample videos go into the table.
    """
    suite = Path(suite)
    folder = suite / "wandb"
    writable(folder / "status.json")
    status: dict[str, Any] = {"state": "disabled", "mode": mode, "id": None, "reason": None}
    if mode != "disabled":
        if mode == "online" and not os.environ.get("WANDB_API_KEY"):
            status |= {"mode": "offline", "reason": "no WANDB_API_KEY in the environment: published offline"}
        status["id"] = run_id(suite)
        status |= _publish_once(suite, status, project, entity, videos, timeout)
    write_json(folder / "status.json", status)
    return status


def run_id(suite: Path) -> str:
    """The same results have the same id, whatever the machine."""
    scores = read(suite / "scores.parquet")
    return hashlib.sha256(f"{suite.name}/{leaderboard.digest(scores)}".encode()).hexdigest()[:16]


def _publish_once(suite: Path, status: dict, project: str, entity: str | None, videos: int, timeout: float) -> dict:
    try:
        before = json.loads((suite / "wandb/status.json").read_text())
    except (OSError, ValueError):
        before = {}
    if before.get("state") in ("published", "unchanged") and all(before.get(k) == status[k] for k in ("mode", "id")):
        return {"state": "unchanged"}
    old = set(suite.glob(f"wandb/offline-run-*-{status['id']}"))
    request = {
        "suite": str(suite),
        "project": project,
        "entity": entity,
        "videos": videos,
        "timeout": timeout,
        **status,
    }
    done = _in_time(request)
    new = set(suite.glob(f"wandb/offline-run-*-{status['id']}")) - old
    for run in old if done["state"] == "published" else new:  # a whole one stays until another is whole
        shutil.rmtree(run)
    return done


def _in_time(request: dict[str, Any]) -> dict[str, Any]:
    """Publish in a process of its own, and what became of it."""
    timeout = request["timeout"]
    # a file, not a pipe: wandb's service process inherits it and may outlive the one that is waited for
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "eval.track", json.dumps(request)],
            stdout=subprocess.DEVNULL, stderr=errors, env=_environment(Path(request["suite"])),
        )  # fmt: skip
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            return {"state": "failed", "reason": f"not finished after {timeout:g} s"}
        errors.seek(0)
        last = (errors.read().strip().splitlines() or ["unknown"])[-1]
    return {"state": "failed", "reason": _without_key(last)} if process.returncode else {"state": "published"}


def _kill(pid: int) -> None:
    """A process and all that it started, wandb's service in a session of its own among them."""
    root = psutil.Process(pid)
    family = [root, *root.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=5)


def _environment(suite: Path) -> dict[str, str]:
    """Everything that wandb writes stays in the suite's folder."""
    folder = str((suite / "wandb").resolve())
    quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_DISABLE_GIT": "true"}
    return {**os.environ, **quiet, "WANDB_DATA_DIR": folder, "WANDB_CACHE_DIR": f"{folder}/cache"}


def _without_key(text: str) -> str:
    key = os.environ.get("WANDB_API_KEY")
    return text.replace(key, "***") if key else text


def _log(request: dict[str, Any]) -> None:
    """One run with everything, in the process that may be killed."""
    import wandb

    suite = Path(request["suite"])
    scores = read(suite / "scores.parquet")
    known = records.found(suite)
    settings = wandb.Settings(
        init_timeout=request["timeout"], console="off", x_disable_stats=True, disable_git=True, disable_code=True
    )
    run = wandb.init(
        project=request["project"], entity=request["entity"], group=fitting(suite.name), job_type="results",
        id=request["id"], name=fitting(f"{suite.name}-{request['id'][:6]}"), resume="allow", mode=request["mode"],
        dir=str(suite), tags=tags(suite.name, *scores["base"], *scores["method"]),
        config=_config(scores, known), settings=settings,
    )  # fmt: skip
    boards = sorted((suite / "leaderboard").glob("*.csv"))
    for path in boards:
        board = leaderboard.read(path)
        for row in board[board["value"].notna()].itertuples():
            run.summary[f"{row.metric}/{row.base}/{row.entry}"] = row.value
    log: dict[str, Any] = {f"tables/{p.stem}": _table(wandb, p) for p in sorted((suite / "tables").glob("*.csv"))}
    log |= {f"plots/{path.stem}": wandb.Image(str(path)) for path in sorted((suite / "plots").glob("*.png"))}
    log["videos"] = _videos(wandb, suite, scores, known, request["videos"])
    run.log(log, step=0)
    results = wandb.Artifact(
        artifact_name(suite.name), type="results", metadata={"scores_sha256": leaderboard.digest(scores)}
    )
    for path in (suite / "scores.parquet", suite / "manifest.json", *boards, *sorted((suite / "tables").glob("*.csv"))):
        if path.is_file():
            results.add_file(str(path), name=str(path.relative_to(suite)))
    run.log_artifact(results)
    if request["mode"] == "online":
        results.wait()  # or a lost upload would go unnoticed
    run.finish()
    if request["mode"] == "offline":
        wandb.teardown()  # only then has its service closed the file
        _check(Path(run.dir).with_name(f"run-{request['id']}.wandb"))


def _check(log: Path) -> None:
    """`OSError` where the file of an offline run has no end: wandb says nothing of a disk that was full."""
    from wandb.proto.wandb_internal_pb2 import Record

    # as LevelDB's logs: blocks, and pieces of records with heads of 7 bytes
    data, place, record = log.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        length, piece = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        record = (record if piece in LATER else b"") + data[place + 7 : place + 7 + length]
        place += 7 + length
    if place != len(data) or not Record.FromString(record).HasField("exit"):
        raise OSError(f"wandb could not write all of {log.name}: is there room on the disk?")


def fitting(name: str, most: int = 128) -> str:
    """A name of at most `most` characters; a longer one is cut and keeps a digest, so that no two become one."""
    return name if len(name) <= most else f"{name[: most - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def tags(suite: str, *names: str) -> list[str]:
    """The suite's tag and others, at most 20 of 1 to 64 characters, as W&B takes them."""
    others = sorted({fitting(name, 64) for name in names if name})
    return [fitting(f"suite:{suite}", 64), *others][:20]


def artifact_name(suite: str) -> str:
    """Name of a suite's results as an artifact: W&B takes ASCII letters, digits, dots, dashes and underscores."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", suite)
    if plain != suite:
        plain += f"-{hashlib.sha256(suite.encode()).hexdigest()[:8]}"
    return f"{fitting(plain, 120)}-results"


def _config(scores: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """What made the results, by base model and entry. Dots do not belong in wandb's keys."""
    first = known.drop_duplicates(["base", "entry"])
    entries: dict[str, Any] = {}
    for row in first.itertuples():
        name = f"{row.base}/{row.entry}"
        key = name.replace(".", "_")
        if key in entries:  # of a name that differs in dots alone
            key += f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        entries[key] = {"method": row.method, "version": row.version, "params": row.params}
    protocols = scores.groupby("metric")[["protocol", "version"]].first().to_dict("index")
    return {"suite": scores["suite"].iloc[0], "entries": entries, "metrics": protocols}


def _table(wandb, path: Path):
    return wandb.Table(dataframe=pd.read_csv(path))


def _videos(wandb, suite: Path, scores: pd.DataFrame, known: pd.DataFrame, count: int):
    """Prompt x entry x video x scores: the first prompts on every entry, as many videos as asked for."""
    values = scores.pivot_table(index=["base", "entry", "prompt_id", "seed"], columns="metric", values="value")
    metrics = list(values.columns)
    table = wandb.Table(columns=["prompt", "base", "method", "seed", "video", *metrics])
    known = known.assign(path=[suite / place for place in records.places(known)])
    known = known.sort_values(["prompt_id", "seed", "base", "entry"], kind="stable")
    for row in known[known["path"].map(Path.is_file)].head(count).itertuples():
        key = (row.base, row.entry, row.prompt_id, row.seed)
        found = [float(values.loc[key, metric]) if key in values.index else None for metric in metrics]
        video = wandb.Video(str(row.path), format="mp4", caption=str(row.prompt)[:200])
        table.add_data(row.prompt, row.base, row.label, row.seed, video, *found)
    return table


if __name__ == "__main__":
    logging.raiseExceptions = False  # wandb's log on a full disk: its tracebacks would be the last words
    try:
        _log(json.loads(sys.argv[1]))
    except Exception as error:  # its sentence, in one line, is the reason in the status
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
