"""A local server that plays the Hugging Face hub for one repository: listing, file headers, files, ranges."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves the files of a folder as the repository `repo`.

    `cut`: names of files whose transfer always breaks off in the middle. `swapped`: name -> bytes sent in place of the
    file, of the same length. `downloads`: files whose bytes were asked for, in order.
    """

    def __init__(self, folder: Path, repo: str) -> None:
        self.files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.repo, self.cut, self.swapped, self.downloads = repo, set(), {}, []
        self.revisions: list[str] = []

    def listing(self) -> list[dict]:
        """Every file, the large ones with their sha256 as Git LFS has it."""
        rows = []
        for name, content in self.files.items():
            row = dict(rfilename=name, size=len(content), blobId=hashlib.sha1(content).hexdigest())
            if name.endswith(".safetensors"):
                row["lfs"] = dict(sha256=hashlib.sha256(content).hexdigest(), size=len(content), pointerSize=130)
            rows.append(row)
        return rows

    def tree(self) -> list[dict]:
        rows = []
        for row in self.listing():
            lfs = row.get("lfs")
            entry = dict(type="file", path=row["rfilename"], size=row["size"], oid=row["blobId"])
            rows.append(entry | (dict(lfs=dict(oid=lfs["sha256"], size=lfs["size"], pointerSize=130)) if lfs else {}))
        return rows

    @contextmanager
    def running(self) -> Iterator[str]:
        """The address of the server, while it runs."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.answer(self, body=False)

            def do_GET(self):
                hub.answer(self, body=True)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        path = request.path.split("?")[0]
        if match := re.fullmatch(rf"/api/models/{self.repo}(?:/revision/(\w+))?", path):
            self.revisions.append(match[1] or "main")
            return self.send_json(request, dict(id=self.repo, sha=COMMIT, siblings=self.listing()))
        if re.fullmatch(rf"/api/models/{self.repo}/tree/\w+", path):
            return self.send_json(request, self.tree())
        match = re.fullmatch(rf"/{self.repo}/resolve/(\w+)/(.*)", path)
        if match is None or match[2] not in self.files:
            request.send_error(404)
            return None
        return self.send_file(request, match[2], body)

    def send_json(self, request: BaseHTTPRequestHandler, data: object) -> None:
        content = json.dumps(data).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def send_file(self, request: BaseHTTPRequestHandler, name: str, body: bool) -> None:
        content = self.swapped.get(name, self.files[name])
        start = int(re.search(r"bytes=(\d+)-", request.headers.get("Range", "bytes=0-"))[1])
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.send_header("ETag", f'"{hashlib.sha256(self.files[name]).hexdigest()}"')
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("Accept-Ranges", "bytes")
        request.end_headers()
        if not body:
            return
        self.downloads.append(name)
        if name in self.cut:
            request.wfile.write(content[start : start + (len(content) - start) // 2])
            request.close_connection = True
            return
        request.wfile.write(content[start:])
