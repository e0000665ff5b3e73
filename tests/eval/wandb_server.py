"""As much of a W&B server as a client needs to publish a run: it keeps what it is sent."""

from __future__ import annotations

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """`runs`: ids with history and summary; `files`: what was uploaded, by name; `artifacts`: their digests."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.artifacts: list[str] = []
        self.requests = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": self}))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client may hang up
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: Any) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        name = re.search(r"(?:query|mutation)\s*(\w+)", query)[1]
        return getattr(self, f"_{name}", lambda _: {})(variables)

    def stream(self, run: str, files: dict[str, Any]) -> None:
        """Rows of history and lines of the summary, at the places that the client says."""
        kept = self.runs[run]
        for name, key in (("wandb-history.jsonl", "history"), ("wandb-summary.json", "summary")):
            for place, line in enumerate(files.get(name, {}).get("content", []), files.get(name, {}).get("offset", 0)):
                kept[key][place] = json.loads(line)

    def _Viewer(self, _):
        return {"viewer": {"id": "V", "username": "me", "entity": "me", "flags": "{}", "teams": {"edges": []}}}

    def _RunResumeStatus(self, sent):
        if sent["name"] not in self.runs:
            return {"model": {"id": "P", "name": "p", "entity": {"id": "E", "name": "me"}, "bucket": None}}
        rows = list(self.runs[sent["name"]]["history"].values())
        tail = {"historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]), "eventsTail": "[]"}
        lines = {"historyLineCount": len(rows), "logLineCount": 0, "eventsLineCount": 0}
        about = {"id": "B", "name": sent["name"], "displayName": "n", "config": "{}", "summaryMetrics": "{}"}
        bucket = about | lines | tail | {"tags": [], "notes": None, "wandbConfig": '{"t": 1}'}
        return {"model": {"id": "P", "name": "p", "entity": {"id": "E", "name": "me"}, "bucket": bucket}}

    def _UpsertBucket(self, sent):
        inserted = sent["name"] not in self.runs
        run = self.runs.setdefault(sent["name"], {"history": {}, "summary": {}, "group": sent["groupName"]})
        project = {"id": "P", "name": sent["project"], "entity": {"id": "E", "name": "me"}}
        bucket = {"id": "B", "name": sent["name"], "displayName": "n", "description": "", "config": "{}"}
        bucket |= {"sweepName": None, "project": project, "historyLineCount": len(run["history"])}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _CreateRunFiles(self, sent):
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in sent["files"]]
        return {"createRunFiles": {"runID": "B", "uploadHeaders": [], "files": files}}

    def _ArtifactType(self, _):
        return {"project": {"artifact": None}}

    def _CreateArtifact(self, sent):
        self.artifacts.append(sent["input"]["digest"])
        artifact = {"id": "A", "state": "PENDING", "artifactSequence": {"id": "S", "latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _CreateArtifactManifest(self, _):
        file = {"id": "F", "uploadUrl": f"{self.url}/upload/manifest", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "M", "file": file}}}

    def _UpdateArtifactManifest(self, _):
        return {"updateArtifactManifest": self._CreateArtifactManifest(_)["createArtifactManifest"]}

    def _CreateArtifactFiles(self, sent):
        plain = {"storagePath": None, "uploadHeaders": [], "uploadMultipartUrls": None, "artifact": {"id": "A"}}
        names = [file["name"] for file in sent["input"]["artifactFiles"]]
        nodes = [{"node": {"uploadUrl": f"{self.url}/upload/artifact/{name}", **plain}} for name in names]
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _CommitArtifact(self, _):
        return {"commitArtifact": {"artifact": {"id": "A", "digest": self.artifacts[-1]}}}

    def _ArtifactByID(self, sent):
        project = {"id": "P", "internalId": "P", "name": "p", "entity": {"name": "me"}}
        artifact = {"id": sent["id"], "artifactSequence": {"name": "results", "project": project}, "versionIndex": 0}
        artifact |= {"artifactType": {"name": "results"}, "state": "COMMITTED", "digest": self.artifacts[-1]}
        artifact |= {"description": None, "metadata": "{}", "ttlDurationSeconds": -1, "ttlIsInherited": False}
        artifact |= {"tags": [], "historyStep": None, "size": 0, "commitHash": None, "fileCount": 1, "aliases": []}
        return {"artifact": artifact | {"createdAt": "2026-01-31T00:00:00Z", "updatedAt": None}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def do_POST(self) -> None:
        state, body = self.server_state, self._body()
        state.requests += 1
        if self.path == "/graphql":
            asked = json.loads(body)
            return self._send({"data": state.answer(asked["query"], asked.get("variables") or {})})
        if self.path.endswith("/file_stream"):
            state.stream(self.path.split("/")[-2], json.loads(body).get("files") or {})
        self._send({})

    def do_PUT(self) -> None:
        state, body = self.server_state, self._body()
        state.files[self.path.removeprefix("/upload/")] = body
        self._send({})

    def do_GET(self) -> None:
        self._send({})

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def _send(self, data: dict[str, Any]) -> None:
        text = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
