"""A real HTTP server that plays an OpenAI-compatible one, well or badly, for the tests of the judges."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler", dict], None]


def completion(texts: list, **more) -> bytes:
    choices = [{"index": i, "message": {"role": "assistant", "content": text}} for i, text in enumerate(texts)]
    usage = {"prompt_tokens": 100, "completion_tokens": 2 * len(texts)}
    return json.dumps({"choices": choices, "usage": usage, **more}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        play: Play = self.server.play
        with play.lock:
            number = len(play.requests)
            play.requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
        behaviour = play.script[min(number, len(play.script) - 1)]
        behaviour(self, body)

    def reply(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


@dataclass
class Play:
    """What the server does, request after request (the last behaviour stays), and what it was asked."""

    script: list[Behaviour]
    requests: list[dict] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Play:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.play = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


def says(*texts) -> Behaviour:
    """As many choices as asked for, these texts in turn."""
    return lambda handler, body: handler.reply(completion([texts[i % len(texts)] for i in range(body["n"])]))


def partly(count: int, text: str = "yes") -> Behaviour:
    """Fewer choices than asked for."""
    return lambda handler, body: handler.reply(completion([text] * min(count, body["n"])))


def raw(body: bytes, status: int = 200, **headers: str) -> Behaviour:
    return lambda handler, _: handler.reply(body, status, {k.replace("_", "-"): v for k, v in headers.items()})


def hangs(handler: Handler, _: dict) -> None:
    handler.server.play.over.wait(10)


def drips(handler: Handler, body: dict) -> None:
    """A whole answer, a byte every 20 ms: no single wait is long."""
    answer = completion(["yes"] * body["n"])
    handler.send_response(200)
    handler.send_header("content-length", str(len(answer)))
    handler.end_headers()
    for i in range(len(answer)):
        try:
            handler.wfile.write(answer[i : i + 1])
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.02)


def breaks(handler: Handler, body: dict) -> None:
    """Half an answer, then a reset connection."""
    answer = completion(["yes"] * body["n"])
    handler.send_response(200)
    handler.send_header("content-length", str(len(answer)))
    handler.end_headers()
    handler.wfile.write(answer[: len(answer) // 2])
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
