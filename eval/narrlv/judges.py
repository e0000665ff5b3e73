"""Who answers: one contract, an OpenAI-compatible server, and Qwen2.5-VL in this process.

A judge sees frames, reads a question and gives votes, which are texts; what a vote says is the metric's parser's word.
The published protocol is Qwen2.5-VL-72B on ten frames as a video, five votes at temperature 0.7. A server gets the same
frames as ten pictures: another protocol, so `protocol` says which, and each protocol is a column of its own.
"""

from __future__ import annotations

import base64
import email.utils
import inspect
import io
import json
import os
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import httpx
import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

Frames = UInt8[np.ndarray, "frames height width 3"]

SYSTEM = "You are a helpful assistant."
YES_OR_NO = "Answer with one word: yes or no."
QWEN = "Qwen/Qwen2.5-VL-72B-Instruct"


class Judge(Protocol):
    """The contract.

    protocol: all that may change a vote, as plain JSON, with a readable name under "judge"; never a secret.
    concurrency: how many `ask` may run at the same time.
    ask: `votes` answers to a question on frames (F, H, W, 3) uint8 RGB, in order of time; F = 0 is a question on text
        alone. Votes that could not be had: `JudgeError`, or a shorter list.
    """

    protocol: Mapping[str, Any]
    concurrency: int

    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> Sequence[str]: ...


class JudgeError(Exception):
    """Why votes are missing. `votes` are those that were given; `stop`: every other question would fail as well."""

    def __init__(self, reason: str, votes: Sequence[str] = (), stop: bool = False) -> None:
        super().__init__(reason)
        self.votes = list(votes)
        self.stop = stop


@dataclass(frozen=True)
class Sampling:
    """How a language model answers; the defaults are the released protocol's."""

    temperature: float = 0.7
    top_p: float = 0.8
    repetition_penalty: float | None = 1.05  # None where a server does not know it (OpenAI's own)
    max_tokens: int = 32
    instruction: str = YES_OR_NO  # appended to each question


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
    sampling: Sampling = Sampling()
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


def jpeg(frame: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A frame as JPEG, quality 95 with 4:2:0 chroma: the defaults of the released code's writer."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(frame)).save(file, "jpeg", quality=95, subsampling=2)
    return file.getvalue()


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


class Qwen:
    """Qwen2.5-VL through transformers, in this process: the released protocol, ten frames as a video of ten a second.

    Frames are prepared here and not by transformers' video processor, which needs torchvision.

    path: a folder or a name on the hub; 72B in bf16 takes 145 GB over all devices.
    """

    concurrency = 1

    def __init__(
        self,
        path: str = QWEN,
        revision: str | None = None,
        dtype: str = "bfloat16",
        device_map: str = "auto",
        sampling: Sampling = Sampling(),
        fps: float = 10.0,
    ) -> None:
        from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            path, revision=revision, dtype=dtype, device_map=device_map
        ).eval()
        self.sampling, self.fps = sampling, fps
        self.protocol = {
            "judge": f"{path.rstrip('/').rsplit('/', 1)[-1]}-video",
            "model": path,
            "revision": revision or getattr(self.model.config, "_commit_hash", None),
            "interface": "transformers",
            "dtype": dtype,
            "media": f"text first, then the frames, each through a JPEG of quality 95, as a video of {fps:g} fps",
            **asdict(sampling),
        }

    @torch.inference_mode()
    def ask(self, frames: Frames, question: str, votes: int, seed: int) -> list[str]:
        inputs = self._inputs(frames, f"{question} {self.sampling.instruction}".strip())
        torch.manual_seed(seed)
        rule = self.sampling
        out = self.model.generate(
            **{name: value.to(self.model.device) for name, value in inputs.items()},
            do_sample=rule.temperature > 0,
            temperature=rule.temperature or None,
            top_p=rule.top_p if rule.temperature else None,
            top_k=0,  # off, whatever the weights' own defaults say
            repetition_penalty=rule.repetition_penalty or 1.0,
            max_new_tokens=rule.max_tokens,
            num_return_sequences=votes if rule.temperature else 1,
        )
        texts = self.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return texts if rule.temperature else texts * votes

    def _inputs(self, frames: Frames, text: str) -> dict[str, Tensor]:
        vision = self.model.config.vision_config
        start = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{text.replace('<|', '< |')}"
        end = "<|im_end|>\n<|im_start|>assistant\n"
        if len(frames) == 0:
            ids = self._ids(start + end)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        patches, grid = video_patches(frames, vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        count = int(grid.prod()) // vision.spatial_merge_size**2
        ids = self._ids(f"{start}<|vision_start|>{'<|video_pad|>' * count}<|vision_end|>{end}")
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": 2 * (ids == self.model.config.video_token_id).int(),
            "pixel_values_videos": patches.to(self.model.dtype),
            "video_grid_thw": grid[None],
            "second_per_grid_ts": torch.tensor([vision.temporal_patch_size / self.fps]),
        }

    def _ids(self, text: str) -> Tensor:
        return self.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]


def build(kind: str, params: Mapping[str, Any]) -> Server | Qwen:
    """A "server" or "qwen" from plain settings, `sampling` a mapping; `ValueError` names what it does not know."""
    judge = {"server": Server, "qwen": Qwen}[kind]
    settings = {**params, "sampling": _fields(Sampling, params.get("sampling", {}), "sampling of the judge")}
    _known(settings, inspect.signature(judge).parameters, f"judge {kind!r}")
    return judge(**settings)


def _fields(kind: type, values: Mapping[str, Any], where: str) -> Any:
    _known(values, inspect.signature(kind).parameters, where)
    return kind(**values)


def _known(values: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    if unknown := values.keys() - set(names):
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}; known are {', '.join(names)}")


CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
MIN_PIXELS, MAX_PIXELS = 4 * 28 * 28, 16384 * 28 * 28  # of one picture; a list of frames has no budget as a whole


def video_patches(
    frames: Frames, patch: int = 14, merge: int = 2, pair: int = 2
) -> tuple[Float[Tensor, "patches values"], Tensor]:
    """Frames as Qwen2.5-VL reads them: resized to whole blocks, normalised, cut into patches of `pair` frames.

    -> patches (t*h*w, 3 * pair * patch**2) float32, ordered by time, then by blocks of merge x merge patches, and the
    grid (t, h, w). A last frame without a partner is repeated.
    """
    block = patch * merge
    height, width = _whole_blocks(*frames.shape[1:3], block)
    images = [Image.open(io.BytesIO(jpeg(frame))).resize((width, height), Image.Resampling.BICUBIC) for frame in frames]
    images += images[-1:] * (-len(images) % pair)
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255
    pixels = ((pixels - CLIP_MEAN) / CLIP_STD).movedim(-1, 1)
    t, h, w = len(images) // pair, height // patch, width // patch
    cut = pixels.reshape(t, pair, 3, h // merge, merge, patch, w // merge, merge, patch)
    cut = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return cut.reshape(t * h * w, 3 * pair * patch**2), torch.tensor([t, h, w])


def _whole_blocks(height: int, width: int, block: int) -> tuple[int, int]:
    """The size in whole blocks nearest to the picture's, scaled into the limits of the model."""
    if max(height, width) > 200 * min(height, width):
        raise ValueError(f"frames of {width}x{height} are too narrow for Qwen2.5-VL")
    size = [max(block, round(side / block) * block) for side in (height, width)]
    if size[0] * size[1] > MAX_PIXELS:
        scale = (height * width / MAX_PIXELS) ** 0.5
        size = [max(block, int(side / scale / block) * block) for side in (height, width)]
    elif size[0] * size[1] < MIN_PIXELS:
        scale = (MIN_PIXELS / (height * width)) ** 0.5
        size = [-int(-side * scale // block) * block for side in (height, width)]
    return size[0], size[1]
