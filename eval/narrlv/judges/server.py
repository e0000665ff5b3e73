"""A judge behind an OpenAI-compatible server."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import numpy as np
from jaxtyping import UInt8

from eval import web
from eval.narrlv.judges.contract import QWEN, RELEASED, SYSTEM, Frames, JudgeError, Sampling, jpeg
from eval.narrlv.speech import spoken


@dataclass
class Usage:
    """What was asked of a server so far; `cost` in the currency of the prices that were given."""

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class _Again(Exception):
    """This request failed, the next may not. `wait`: seconds that the server asked for; `later`: what may help then."""

    def __init__(self, reason: str, wait: float = 0.0, later: str = "") -> None:
        super().__init__(reason)
        self.wait, self.later = wait, later


class _Silent(_Again):
    """A completion without a text: another seed may give one."""


class _Refused(Exception):
    """The server refuses a setting by its name."""

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass
class Server:
    """A chat-completions server: vLLM, SGLang, llama.cpp, OpenAI or any other of that interface.

    url: its base, such as http://localhost:8000/v1; "/v1" may be missing, "/chat/completions" may be there. The key
        comes from the environment variable `key_variable` when it is set, is sent in the header and is kept nowhere.
    timeout: seconds for one whole request; `retries`: failures in a row that one question survives, waiting `backoff`
        seconds after the first and twice as long after each next one, or what the server asks for.
    price: per million prompt and completion tokens.

    A setting that the server refuses by its name is left out from then on: without `n`, votes are asked for one by one;
    `max_tokens` goes as `max_completion_tokens` first. `left_out` says which.
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
        if self.concurrency < 1 or not self.timeout > 0:
            raise ValueError("a judge's server needs a concurrency of at least 1 and a timeout above 0")
        self.protocol = {
            "judge": self.model.rstrip("/").rsplit("/", 1)[-1],
            "model": self.model,
            "interface": "chat completions",
            "media": "text first, then each frame as a JPEG picture of quality 95",
            **asdict(self.sampling),
        }
        self._addresses = addresses(self.url)
        limits = httpx.Limits(max_connections=self.concurrency)
        self._client = web.client(self._addresses[0], timeout=self.timeout, limits=limits)
        self._refused: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Settings that this server refuses, of those that may change a vote."""
        exchanged = {"max_completion_tokens"} if "max_completion_tokens" in self._refused else {"max_tokens"}
        return tuple(sorted(self._refused - {"n"} - exchanged))

    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> list[str]:
        content = [{"type": "text", "text": f"{question} {self.sampling.instruction}".strip()}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(frame)}} for frame in frames]
        given: list[str] = []
        failures = silent = 0
        while len(given) < votes:
            try:
                # a server that gives fewer votes than asked is asked for the rest, with other seeds
                given += self._request(content, votes - len(given), seed + len(given) + silent)
                failures = 0
            except _Again as error:
                failures += 1
                if failures > self.retries:
                    raise JudgeError(f"{error} (gave up after {failures} attempts){error.later}", given) from None
                if isinstance(error, _Silent):
                    silent += votes
                else:
                    time.sleep(max(error.wait, self.backoff * 2 ** (failures - 1) * random.uniform(0.5, 1)))
            except JudgeError as error:
                error.votes = given
                raise
        return given[:votes]

    def _request(self, content: list[dict], votes: int, seed: int) -> list[str]:
        """At least one vote, or `_Again`, or `JudgeError` where asking again cannot help."""
        refused = self._refused
        while True:
            try:
                given, tokens = self._exchange(self._body(content, votes, seed, refused))
            except _Refused as error:
                self._count(failures=1)
                refused |= {error.name}
            except (_Again, JudgeError):
                self._count(failures=1)
                raise
            else:
                self._count(**tokens)
                with self._lock:
                    self._refused |= refused
                return given

    def _body(self, content: list[dict], votes: int, seed: int, refused: frozenset[str]) -> dict[str, Any]:
        """The request without the settings that are refused."""
        settings = {"n": votes, "seed": seed, **self.sampling.sent}
        if "max_tokens" in refused & settings.keys():
            settings["max_completion_tokens"] = settings["max_tokens"]
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        kept = {name: value for name, value in settings.items() if name not in refused}
        return {"model": self.model, "messages": messages, **kept}

    def _exchange(self, body: dict[str, Any]) -> tuple[list[str], dict[str, int]]:
        """Votes and token counts of one request, or what its failure means for the next one."""
        key = os.environ.get(self.key_variable, "").strip()
        if not key.isascii() or not all(map(str.isprintable, key)):
            raise JudgeError(f"{self.key_variable} holds characters that no key has", stop=True)
        address = self._addresses[0]
        try:
            address, status, headers, answer = self._find(body, {"Authorization": f"Bearer {key}"} if key else {})
        except httpx.RequestError as error:
            through = f" (through the proxy of {' or '.join(asked)})" if (asked := self._proxies()) else ""
            raise _Again(_without(key, f"{address}{through}: {type(error).__name__}: {error}"),
                         later=": is the server running there? Run it again once it is") from None  # fmt: skip
        said = f"{address} answers {status}: {_excerpt(answer, key)}"
        if status in (400, 422) and (name := refusal(answer, body)):
            raise _Refused(name)
        if status in HELP:
            raise JudgeError(f"{said}; {HELP[status].format(key=self.key_variable)}", stop=status != 413)
        if 300 <= status < 400:
            raise JudgeError(
                f"{said}; it sends to {headers.get('location', 'nowhere')}: that is the url to give", stop=True
            )
        if status == 429 and b"quota" in answer:
            raise JudgeError(f"{said}; the account has nothing left", stop=True)
        if status in (408, 409, 425, 429) or status >= 500:
            raise _Again(said, _retry_after(headers, self.timeout), later="; run it again later")
        if status != 200:
            raise JudgeError(said)
        return _votes(answer, address, key)

    def _find(self, body: dict, headers: dict[str, str]) -> tuple[str, int, httpx.Headers, bytes]:
        """What the first address that anybody answers at says, which is the address from then on."""
        lost = {}
        for address in (known := self._addresses):
            status, found, answer = self._post(address, body, headers)
            if status not in (404, 405):
                self._addresses = (address,)
                return address, status, found, answer
            lost[address] = status, found, answer
        told = next((one for one in lost.values() if b"model" in one[2]), lost[known[0]])
        return " and ".join(lost), *told

    def _post(self, address: str, body: dict, headers: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and the whole body, within `timeout` even when the server drips."""
        deadline = time.monotonic() + self.timeout
        headers = {**headers, "Content-Type": "application/json"}
        with self._client.stream("POST", address, content=json.dumps(body), headers=headers) as response:
            answer = bytearray()
            for chunk in response.iter_bytes():
                answer += chunk
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"no whole answer in {self.timeout:g} s")
            return response.status_code, response.headers, bytes(answer)

    def _proxies(self) -> list[str]:
        return web.proxies() if self._client.trust_env else []

    def _count(self, failures: int = 0, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        with self._lock:
            self.usage.requests += 1
            self.usage.failures += failures
            self.usage.prompt_tokens += prompt_tokens
            self.usage.completion_tokens += completion_tokens
            self.usage.cost += (prompt_tokens * self.price[0] + completion_tokens * self.price[1]) / 1e6


HELP = {
    401: "set {key} to a key of this server",
    402: "the account has nothing left",
    403: "the key in {key} may not ask this model",
    404: "is that the server's address (--url), and the model's name there (--model)?",
    405: "is that the server's address (--url)?",
    413: "fewer frames make a smaller question (--frames)",
}


def addresses(url: str) -> tuple[str, ...]:
    """Where chat completions may be asked for: as the url says, and with or without a last "/v1"."""
    try:
        parts = httpx.URL(url.strip())
    except (httpx.InvalidURL, AttributeError):
        parts = httpx.URL()
    if (
        parts.scheme not in ("http", "https")
        or not parts.host
        or parts.userinfo
        or parts.query
        or (parts.port or 0) > 65535
    ):
        raise ValueError("the judge's url must be http(s)://host[:port]/path without a password or a query")
    base = url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")
    other = base.removesuffix("/v1") if base.endswith("/v1") else f"{base}/v1"
    return f"{base}/chat/completions", f"{other}/chat/completions"


# what a 400 may be about, what changes least first; `n` is called by other names
SETTINGS = ("n", "seed", "repetition_penalty", "top_p", "temperature", "max_tokens", "max_completion_tokens")
_N = re.compile(
    r"""["'`]n\\?["'`]|\bn\s*(?:[=<>]|must|should|is\b)|\bchoices?\b|\bbest_of\b|multiple (?:completion|output|s)"""
)


def refusal(answer: bytes, body: Mapping[str, Any]) -> str | None:
    """The setting of a request that an error names; None where it names none."""
    text = answer.decode("utf-8", "replace")
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        if (name := json.loads(text)["error"]["param"]) in SETTINGS and name in body:
            return name
    for name in SETTINGS:
        named = _N.search(text) and body.get("n", 1) > 1 if name == "n" else re.search(rf"(?<!\w){name}(?!\w)", text)
        if named and name in body:
            return name
    return None


def _votes(body: bytes, address: str, key: str) -> tuple[list[str], dict[str, int]]:
    """The answers of a chat completion, without what was thought, and its token counts.

    `_Again` when it is none, or says nothing; `JudgeError` when it was cut off before it said anything.
    """
    try:
        answer = json.loads(body.decode("utf-8", "replace"))
        choices = answer["choices"]
        texts = [text for choice in choices if (text := _text(choice)) is not None]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _Again(f"{address} gives no chat completion: {_excerpt(body, key)}") from None
    if not texts:
        raise _Again(f"{address} gives a chat completion without votes")
    usage = answer.get("usage")
    names = ("prompt_tokens", "completion_tokens")
    counts = {name: usage.get(name) for name in names} if isinstance(usage, dict) else {}
    if said := [text for text in map(spoken, texts) if text]:
        return said, {name: count for name, count in counts.items() if isinstance(count, int)}
    ends = {choice.get("finish_reason") for choice in choices if isinstance(choice, dict)}
    if "length" in ends or any(texts):
        raise JudgeError(f"{address} gives answers that are cut off before they say anything: a model that thinks "
                         "needs more tokens (--sampling.max-tokens, or max_tokens of the suite's judge)")  # fmt: skip
    raise _Silent(f"{address} gives answers without a text (finish_reason {', '.join(sorted(map(str, ends)))})")


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
