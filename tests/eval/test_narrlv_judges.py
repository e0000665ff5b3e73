"""Judges against a real server that does everything wrong, and Qwen2.5-VL at tiny size."""

from __future__ import annotations

import base64
import io
import logging
import time

import numpy as np
import pytest
import torch
from PIL import Image

from eval.narrlv.judges import JudgeError, Qwen, Sampling, Server, video_patches
from tests.eval.narrlv_server import Play, breaks, completion, drips, hangs, partly, raw, says

FRAMES = np.random.default_rng(0).integers(0, 255, (10, 24, 32, 3), dtype=np.uint8)
KEY = "sk-a-secret-0123456789"


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def judge(play: Play, **options) -> Server:
    return Server(play.url, **{"timeout": 10, "retries": 2, "backoff": 0.01, **options})


def ask(play: Play, votes: int = 5, **options) -> list[str]:
    return judge(play, **options).ask(FRAMES, "Is it red?", votes, seed=3)


def test_asks_as_the_protocol_says():
    with Play([says("Yes.", "no", "maybe")]) as play:
        server = judge(play)
        assert server.ask(FRAMES, "Is it red?", 5, seed=3) == ["Yes.", "no", "maybe", "Yes.", "no"]
    [request] = play.requests
    body = request["body"]
    assert request["path"] == "/v1/chat/completions"
    assert "authorization" not in {name.lower() for name in request["headers"]}
    assert {name: body[name] for name in ("n", "seed", "temperature", "top_p", "repetition_penalty", "max_tokens")} == {
        "n": 5, "seed": 3, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05, "max_tokens": 32,
    }  # fmt: skip
    text, *pictures = body["messages"][1]["content"]  # text before pictures
    assert text["text"].startswith("Is it red? ") and len(pictures) == 10
    picture = base64.b64decode(pictures[0]["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(picture)).size == (32, 24)
    assert (server.usage.requests, server.usage.failures) == (1, 0)
    assert (server.usage.prompt_tokens, server.usage.completion_tokens) == (100, 10)


def test_text_alone_and_servers_that_know_no_repetition_penalty():
    with Play([says("{}")]) as play:
        server = judge(play, sampling=Sampling(repetition_penalty=None, instruction=""))
        assert server.ask(FRAMES[:0], "Write questions.", 1, seed=0) == ["{}"]
    body = play.requests[0]["body"]
    assert "repetition_penalty" not in body
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Write questions."}]


def test_cost_is_counted():
    with Play([says("yes")]) as play:
        server = judge(play, price=(2.0, 10.0))
        server.ask(FRAMES, "?", 5, 0)
        server.ask(FRAMES, "?", 5, 0)
    assert server.usage.cost == pytest.approx((200 * 2 + 20 * 10) / 1e6)


def test_missing_votes_are_asked_for_with_other_seeds():
    with Play([partly(2)]) as play:
        assert ask(play) == ["yes"] * 5
    assert [(r["body"]["n"], r["body"]["seed"]) for r in play.requests] == [(5, 3), (3, 5), (1, 7)]


def test_more_votes_than_asked_for_are_cut():
    with Play([raw(completion(["yes"] * 9))]) as play:
        assert ask(play) == ["yes"] * 5


BAD = {
    "garbage": raw(b"<html>busy</html>"),
    "empty": raw(b""),
    "another JSON": raw(b'{"error": {"message": "overloaded"}}'),
    "a number": raw(b"3"),
    "no choices": raw(completion([])),
    "null choices": raw(b'{"choices": null}'),
    "choices of another kind": raw(b'{"choices": ["yes", 1, null, {"message": "yes"}, {"message": {"content": 3}}]}'),
    "deep nesting": raw(b"[" * 100_000),
    "no UTF-8": raw(b"\xff\xfe\x80 yes yes"),
    "bad gzip": raw(b"nothing packed", content_encoding="gzip"),
    "429": raw(b"slow down", 429),
    "500": raw(b"out of order", 500),
    "503": raw(b"\xff\xfe", 503),
    "breaks": breaks,
    "hangs": hangs,
    "drips": drips,
}
SLOW = ("hangs", "drips")


@pytest.mark.parametrize("name", BAD)
def test_survives_and_goes_on(name):
    with Play([BAD[name], says("yes", "no")]) as play:
        server = judge(play, timeout=1.0 if name in SLOW else 10)
        assert server.ask(FRAMES, "?", 5, 0) == ["yes", "no", "yes", "no", "yes"]
        assert (server.usage.requests, server.usage.failures) == (2, 1)


@pytest.mark.parametrize("name", BAD)
def test_gives_up_with_a_sentence_and_without_a_vote(name):
    with Play([BAD[name]]) as play, pytest.raises(JudgeError, match=r"gave up after 2 attempts") as caught:
        ask(play, retries=1, timeout=0.2 if name in SLOW else 10)
    assert caught.value.votes == [] and not caught.value.stop
    assert len(str(caught.value)) < 400


def test_votes_before_a_failure_are_kept():
    with Play([partly(3, "no"), raw(b"", 500)]) as play, pytest.raises(JudgeError) as caught:
        ask(play)
    assert caught.value.votes == ["no"] * 3
    with Play([partly(3, "no"), raw(b"this question is too long", 400)]) as play, pytest.raises(JudgeError) as caught:
        ask(play)
    assert caught.value.votes == ["no"] * 3


def test_nobody_there():
    with Play([says("yes")]) as play:
        pass
    with pytest.raises(JudgeError, match="Connect"):
        ask(play)


def test_a_vote_without_a_text_is_no_vote():
    parts = [{"type": "text", "text": "ye"}, {"type": "text", "text": "s"}]
    with Play([raw(completion([None, "", " \n", parts, "\ud800", "n\xf6"])), says("no")]) as play:
        assert ask(play) == ["yes", "\ud800", "n\xf6", "no", "no"]


def test_bytes_that_are_no_utf8_do_not_lose_the_vote():
    with Play([raw(completion(["yes ?"] * 5).replace(b"?", b"\xff"))]) as play:
        assert ask(play) == ["yes �"] * 5


def test_waits_as_long_as_the_server_asks():
    with Play([raw(b"", 429, retry_after="0.3"), says("yes")]) as play:
        start = time.monotonic()
        ask(play)
    assert time.monotonic() - start >= 0.3
    with Play(
        [raw(b"", 429, retry_after="soon"), raw(b"", 503, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), says("y")]
    ) as play:
        assert ask(play) == ["y"] * 5


@pytest.mark.parametrize(
    ("status", "stop"),
    [(400, False), (422, False), (401, True), (402, True), (403, True), (302, True), (308, True), (413, False)],
)
def test_what_asking_again_cannot_help_is_not_asked_again(status, stop):
    with Play([raw(b"no", status)]) as play, pytest.raises(JudgeError, match=str(status)) as caught:
        ask(play)
    assert len(play.requests) == 1 and caught.value.stop is stop


def test_the_key_goes_into_the_header_and_nowhere_else(monkeypatch, caplog, capfd):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    echoes = [raw(f"{'Incorrect API key provided: ':>{n}}{KEY}".encode(), 500) for n in (28, 190)]
    with Play(echoes) as play:
        server = judge(play)
        with pytest.raises(JudgeError) as caught:
            server.ask(FRAMES, "?", 5, 0)
    assert play.requests[0]["headers"]["Authorization"] == f"Bearer {KEY}"
    told = [
        str(caught.value),
        repr(caught.value.__cause__),
        repr(server),
        repr(server.protocol),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert "***" in str(caught.value) and not [text for text in told if KEY[:8] in text]


def test_a_broken_key_is_not_repeated(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one\nsk-two")
    with Play([says("yes")]) as play, pytest.raises(JudgeError) as caught:
        ask(play)
    assert caught.value.stop and "OPENAI_API_KEY" in str(caught.value) and "sk-" not in str(caught.value)
    assert not play.requests


@pytest.mark.parametrize(
    "url", ["http://me:pass@host/v1", "http://host/v1?key=1", "host:8000/v1", "file:///v1", "http://"]
)
def test_urls_that_hold_secrets_or_no_server_are_refused(url):
    with pytest.raises(ValueError, match="url"):
        Server(url)


# --- Qwen2.5-VL -------------------------------------------------------------------------------------------------------

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|video_pad|>",
    "<|image_pad|>",
]


@pytest.fixture(scope="module")
def tiny_qwen(tmp_path_factory):
    """The real classes at tiny width, saved and loaded as a checkpoint is."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    folder = tmp_path_factory.mktemp("qwen")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1,
            rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3]},
            bos_token_id=ids["<|im_start|>"], eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"],
        ),
        vision_config=dict(depth=2, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=32,
                           fullatt_block_indexes=[1], tokens_per_second=2, window_size=56),
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
    )  # fmt: skip
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    return Qwen(str(folder), dtype="float32", device_map="cpu", sampling=Sampling(max_tokens=4))


def test_qwen_gives_seeded_independent_votes(tiny_qwen):
    votes = tiny_qwen.ask(FRAMES, "Is it red?", 5, seed=1)
    assert len(votes) == 5 and len(set(votes)) > 1
    assert votes == tiny_qwen.ask(FRAMES, "Is it red?", 5, seed=1)
    assert votes != tiny_qwen.ask(FRAMES, "Is it red?", 5, seed=2)


def test_qwen_sees_time_and_asks_on_text_alone(tiny_qwen):
    inputs = tiny_qwen._inputs(FRAMES, "Is it red?")
    assert inputs["video_grid_thw"].tolist() == [[5, 4, 6]] and inputs["second_per_grid_ts"].item() == pytest.approx(
        0.2
    )
    assert (inputs["mm_token_type_ids"] == 2).sum() == 5 * 2 * 3
    logits = [tiny_qwen.model(**tiny_qwen._inputs(frames, "?")).logits[0, -1] for frames in (FRAMES, FRAMES[::-1])]
    assert (logits[0] - logits[1]).abs().max() > 1e-4
    assert len(tiny_qwen.ask(FRAMES[:0], "Write <|video_pad|> questions.", 2, seed=0)) == 2


def test_patches_equal_those_of_transformers_for_still_pictures():
    """Its video processor needs torchvision; its image processor shows each picture twice, which is a still video."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from eval.narrlv.judges import jpeg

    frames = np.random.default_rng(1).integers(0, 255, (2, 90, 130, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 4 * 28 * 28, "longest_edge": 16384 * 28 * 28})
    for frame in frames:
        seen = Image.open(io.BytesIO(jpeg(frame)))
        expected = processor(images=[seen], return_tensors="pt")
        patches, grid = video_patches(np.stack([frame, frame]))
        assert grid.tolist() == expected["image_grid_thw"][0].tolist()
        torch.testing.assert_close(patches, expected["pixel_values"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("size", "grid"), [((480, 832), (34, 60)), ((320, 512), (22, 36)), ((720, 1280), (52, 92)), ((64, 64), (4, 4))]
)
def test_sizes_of_the_benchmarked_models(size, grid):
    patches, found = video_patches(np.zeros((10, *size, 3), np.uint8))
    assert found.tolist() == [5, *grid] and patches.shape == (5 * grid[0] * grid[1], 1176)
