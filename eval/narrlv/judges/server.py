"""A judge behind an OpenAI-compatible server."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import random
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import numpy as np
from jaxtyping import UInt8

from eval.narrlv.judges.contract import QWEN, RELEASED, SYSTEM, Frames, JudgeError, Sampling, jpeg


@dataclass
class Usage:
    """What was asked of a server so far; `cost` in the currency of the prices that were given."""

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class _Again(Exception):
    """This request failed, the next may not. `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Server:
    """A chat-completions server: vLLM, SGLang, llama.cpp, OpenAI or any other of that interface.

    url: its base, such as http://localhost:8000/v1. The key comes from the environment variable `key_variable` when it
        is set, is sent in the header and is kept nowhere.
    timeout: seconds for one whole request; `retries`: failures in a row that one question survives, waiting `backoff`
        seconds after the first and twice as long after each next one, or what the server asks for.
    price: per million prompt and completion tokens.
    """

    url: str
    model: str = QWEN
    sampling: Sampling = RELEASED
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 5
    backoff: float = 1.0
    price: tuple[float, float] = (0.0, 0.0)
    key_variable: str = "OPENAI_API_KEY"
    usage: Usage = field(default_factory=Usage, init=False)

    def __post_init__(self) -> None:
        url = httpx.URL(self.url)
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
            raise ValueError("the judge's url must be http(s)://host[:port]/path without a password or a query")
        self.protocol = {
            "judge": self.model.rstrip("/").rsplit("/", 1)[-1],
            "model": self.model,
            "interface": "chat completions",
            "media": "text first, then each frame as a JPEG picture of quality 95",
            **asdict(self.sampling),
        }
        self._endpoint = f"{self.url.rstrip('/')}/chat/completions"
        limits = httpx.Limits(max_connections=self.concurrency)
        self._client = httpx.Client(timeout=self.timeout, limits=limits)
        self._lock = threading.Lock()

    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> list[str]:
        content = [{"type": "text", "text": f"{question} {self.sampling.instruction}".strip()}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(frame)}} for frame in frames]
        given: list[str] = []
        failures = 0
        while len(given) < votes:
            try:
                # a server that gives fewer votes than asked is asked for the rest, with other seeds
                given += self._request(content, votes - len(given), seed + len(given))
                failures = 0
            except _Again as error:
                failures += 1
                if failures > self.retries:
                    raise JudgeError(f"{error} (gave up after {failures} attempts)", given) from None
                time.sleep(max(error.wait, self.backoff * 2 ** (failures - 1) * random.uniform(0.5, 1)))
            except JudgeError as error:
                error.votes = given
                raise
        return given[:votes]

    def _request(self, content: list[dict], votes: int, seed: int) -> list[str]:
        """At least one vote, or `_Again`, or `JudgeError` where asking again cannot help."""
        sampling = asdict(self.sampling)
        del sampling["instruction"]
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        body = {"model": self.model, "messages": messages, "n": votes, "seed": seed}
        body |= {name: value for name, value in sampling.items() if value is not None}
        key = os.environ.get(self.key_variable, "").strip()
        if not key.isascii() or not all(map(str.isprintable, key)):
            raise JudgeError(f"{self.key_variable} holds characters that no key has", stop=True)
        try:
            status, headers, answer = self._post(body, {"Authorization": f"Bearer {key}"} if key else {})
            if status in (401, 403, 404):
                raise JudgeError(f"the server answers {status}: {_excerpt(answer, key)}", stop=True)
            if status in (408, 409, 425, 429) or status >= 500:
                raise _Again(
                    f"the server answers {status}: {_excerpt(answer, key)}", _retry_after(headers, self.timeout)
                )
            if status != 200:
                raise JudgeError(f"the server answers {status}: {_excerpt(answer, key)}")
            given, tokens = _votes(answer, key)
        except httpx.RequestError as error:
            self._count(failures=1)
            raise _Again(_without(key, f"{type(error).__name__}: {error}")) from None
        except (_Again, JudgeError):
            self._count(failures=1)
            raise
        self._count(**tokens)
        return given

    def _post(self, body: dict, headers: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and the whole body, within `timeout` even when the server drips."""
        deadline = time.monotonic() + self.timeout
        with self._client.stream("POST", self._endpoint, json=body, headers=headers) as response:
            answer = bytearray()
            for chunk in response.iter_bytes():
                answer += chunk
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"no whole answer in {self.timeout:g} s")
            return response.status_code, response.headers, bytes(answer)

    def _count(self, failures: int = 0, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        with self._lock:
            self.usage.requests += 1
            self.usage.failures += failures
            self.usage.prompt_tokens += prompt_tokens
            self.usage.completion_tokens += completion_tokens
            self.usage.cost += (prompt_tokens * self.price[0] + completion_tokens * self.price[1]) / 1e6


def _votes(body: bytes, key: str) -> tuple[list[str], dict[str, int]]:
    """The texts of a chat completion and its token counts; `_Again` when there is no text in it."""
    try:
        answer = json.loads(body.decode("utf-8", "replace"))
        choices = answer["choices"]
        texts = [text for choice in choices if (text := _text(choice)) is not None]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _Again(f"not a chat completion: {_excerpt(body, key)}") from None
    if not texts:
        raise _Again("a chat completion without votes")
    usage = answer.get("usage")
    names = ("prompt_tokens", "completion_tokens")
    counts = {name: usage.get(name) for name in names} if isinstance(usage, dict) else {}
    return texts, {name: count for name, count in counts.items() if isinstance(count, int)}


def _text(choice: Any) -> str | None:
    """The text of a choice ("" where the model said nothing); None when it is no choice."""
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else content if isinstance(content, str) else None


def _data_url(frame: UInt8[np.ndarray, "height width 3"]) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(frame)).decode()


def _retry_after(headers: httpx.Headers, most: float) -> float:
    """Seconds that the server asks to wait, at most `most`."""
    asked = headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), most) if seconds == seconds else 0.0


def _excerpt(body: bytes, key: str) -> str:
    return repr(_without(key, body.decode("utf-8", "replace"))[:200])  # before the cut, which may leave half a key


def _without(key: str, text: str) -> str:
    return text.replace(key, "***") if key else text
