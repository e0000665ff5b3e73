"""Publishing: what an offline run holds is read back from its file; nothing ever fails, hangs or duplicates."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from eval import leaderboard, plots, scores, tables, track
from eval import records as videos_table
from tests.eval.conftest import MAIN, made_up_facts, made_up_scores
from tests.eval.wandb_server import Server

pytest.importorskip("wandb")


def suite_folder(root, videos=True):
    table = made_up_scores(2, 1)
    facts = made_up_facts(root, table, videos)
    suite = root / "sprites"
    scores.write(table, suite / "scores.parquet")
    videos_table.write(facts, suite / "videos.parquet")
    tables.write(tables.comparison("vbench", "t", table, facts, MAIN, resamples=100), suite / "tables")
    leaderboard.write(
        leaderboard.build(table, facts, "2026-01-31", MAIN, resamples=100), suite / "leaderboard/vbench.csv"
    )
    plots.consistency_motion(table, facts, suite / "plots/motion", columns=MAIN)
    return suite


def records(path):
    """The protobuf records of a .wandb file: a header of 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, pending = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        pending = (pending if kind in (3, 4) else b"") + data[place + 7 : place + 7 + length]
        if kind in (1, 4):
            yield Record.FromString(pending)
        place += 7 + length


def test_an_offline_run_holds_the_results_and_is_not_doubled(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    suite = suite_folder(tmp_path)
    status = track.publish(suite, "online", timeout=120)  # without a key
    assert status["state"] == "published" and status["mode"] == "offline", status
    assert "no WANDB_API_KEY" in status["reason"]

    (run,) = suite.glob("wandb/offline-run-*")
    assert run.name.endswith(status["id"])
    found = list(records(run / f"run-{status['id']}.wandb"))
    summary = {
        "/".join(item.nested_key) or item.key: json.loads(item.value_json)
        for record in found if record.HasField("summary") for item in record.summary.update
    }  # fmt: skip
    board = leaderboard.read(suite / "leaderboard/vbench.csv")
    for row in board.itertuples():
        assert summary[f"{row.metric}/{row.base}/{row.entry}"] == pytest.approx(row.value)
    logged = {
        "/".join(item.nested_key) or item.key: json.loads(item.value_json)
        for record in found if record.HasField("history") for item in record.history.item
    }  # fmt: skip
    for name in ("tables/vbench/path", "plots/motion/path", "videos/path"):
        assert (run / "files" / logged[name]).is_file()
    videos = json.loads((run / "files" / logged["videos/path"]).read_text())
    assert len(videos["data"]) == 8 and videos["columns"][:5] == ["prompt", "base", "method", "seed", "video"]
    artifacts = [record.request.log_artifact.artifact for record in found if record.request.HasField("log_artifact")]
    artifacts += [record.artifact for record in found if record.HasField("artifact")]
    media = [entry for artifact in artifacts for entry in artifact.manifest.contents if entry.path.endswith(".mp4")]
    assert media and all(Path(entry.local_path).read_bytes()[4:8] == b"ftyp" for entry in media)
    names = {entry.path for artifact in artifacts if artifact.type == "results" for entry in artifact.manifest.contents}
    assert {"scores.parquet", "leaderboard/vbench.csv", "tables/vbench.csv"} <= names

    for part in (0.2, 0.9):  # as a full disk leaves it, of which wandb says nothing
        content = (run / f"run-{status['id']}.wandb").read_bytes()
        (tmp_path / "cut.wandb").write_bytes(content[: int(len(content) * part)])
        with pytest.raises(OSError, match=r"all of cut\.wandb: is there room"):
            track._check(tmp_path / "cut.wandb")

    assert track.publish(suite, "online")["state"] == "unchanged"
    (suite / "wandb/status.json").unlink()  # even when the note of the first publication is lost
    assert track.publish(suite, "offline", videos=0)["state"] == "published"
    assert len(list(suite.glob("wandb/offline-run-*"))) == 1


def test_a_server_that_never_answers_costs_no_more_than_the_time_limit(tmp_path, monkeypatch):
    suite = suite_folder(tmp_path, videos=False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
        start = time.monotonic()
        status = track.publish(suite, "online", timeout=3)
        assert status["state"] == "failed" and time.monotonic() - start < 13
    assert "0123456789" not in json.dumps(status)
    assert json.loads((suite / "wandb/status.json").read_text()) == status


def online(monkeypatch, server):
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)


def test_an_online_run_reaches_the_server_once(tmp_path, monkeypatch):
    suite = suite_folder(tmp_path)
    with Server() as server:
        online(monkeypatch, server)
        status = track.publish(suite, "online")
        assert status == {"state": "published", "mode": "online", "id": track.run_id(suite), "reason": None}
        (run,) = server.runs.values()
        assert run["group"] == "sprites" and len(run["history"]) == 1
        assert server.files["artifact/scores.parquet"] == (suite / "scores.parquet").read_bytes()
        assert any(name.endswith(".mp4") for name in server.files)

        before = server.requests
        assert track.publish(suite, "online")["state"] == "unchanged" and server.requests == before
        (suite / "wandb/status.json").unlink()  # another machine with the same results
        digests = set(server.artifacts)
        assert track.publish(suite, "online")["state"] == "published"
        assert len(server.runs) == 1 and len(run["history"]) == 1 and set(server.artifacts) == digests


def test_what_is_cut_off_leaves_no_process_in_another_session():
    root = subprocess.Popen([sys.executable, "-c", _WITH_A_SERVICE], stdout=subprocess.PIPE, text=True)
    service = psutil.Process(int(root.stdout.readline()))
    track._kill(root.pid)
    assert not service.is_running() or service.status() == psutil.STATUS_ZOMBIE


_WITH_A_SERVICE = """
import subprocess, time
print(subprocess.Popen(["sleep", "300"], start_new_session=True).pid, flush=True)
time.sleep(300)
"""


def test_disabled_writes_no_run_and_other_scores_are_another(tmp_path):
    scores.write(made_up_scores(2, 1), tmp_path / "scores.parquet")
    assert track.publish(tmp_path, "disabled")["state"] == "disabled"
    assert [path.name for path in (tmp_path / "wandb").iterdir()] == ["status.json"]
    before = track.run_id(tmp_path)
    scores.write(made_up_scores(3, 1), tmp_path / "scores.parquet")
    assert track.run_id(tmp_path) != before
