"""Judges as they are: what models say, what servers refuse, where they stand, which videos are asked about."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import web
from eval.narrlv.answers import NO_FRAMES, Cache, Seen, Settings, ask_cached, column
from eval.narrlv.judges import JudgeError, Sampling, Server
from eval.narrlv.judges.server import addresses
from eval.narrlv.metric import strict
from eval.narrlv.questions import Told, check
from eval.narrlv.speech import spoken
from eval.narrlv.suite import Item, write_suite
from miga.commands import main
from tests.eval.conftest import moving_square, write_video
from tests.eval.narrlv_server import Play, completion, partly, raw, says

FRAMES = np.zeros((2, 16, 16, 3), np.uint8)
PROXIES = [name for one in web.PROXIES for name in (one, one.lower())]


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in ("OPENAI_API_KEY", "NO_PROXY", "no_proxy", *PROXIES):
        monkeypatch.delenv(name, raising=False)


def server(play: Play, **options) -> Server:
    return Server(play.url, **{"timeout": 10, "retries": 1, "backoff": 0.01, **options})


# --- what models say --------------------------------------------------------------------------------------------------

SAID = {
    "<think>\nNo, wait, there is no other.\n</think>\n\nYes.": ("Yes.", True),
    "<think>\nThere is no sign of": ("", None),
    "<think></think>no": ("no", False),
    "no, it is not blue</think>\nYes": ("Yes", True),  # the opening tag was in the prompt
    "<THINKING>yes</THINKING> No.": ("No.", False),
    "<think><think>no</think>Yes": ("Yes", True),
    "<think>a<think>no</think>b</think>Yes": ("Yes", True),
    "Yes.\n<think>or no": ("", None),
    "Yes.\n<think>sure</think>": ("Yes.", True),
    "[THINK]no[/THINK]Yes": ("Yes", True),
    "◁think▷no◁/think▷Yes": ("Yes", True),
    "<seed:think>no</seed:think>yes": ("yes", True),
    "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>":
        ("Yes<|return|>", True),
    "<reasoning>{no}</reasoning>{yes}": ("{yes}", True),
    "<answer>Yes</answer>": ("<answer>Yes</answer>", True),
    "ＹＥＳ": ("ＹＥＳ", True),
    "Ｎｏ．": ("Ｎｏ．", False),
    "**Yes**": ("**Yes**", True),
    "_yes_": ("_yes_", True),
    "\u200bYes": ("\u200bYes", True),
    "是的，有。": ("是的，有。", True),
    "不是。": ("不是。", False),
    "はい": ("はい", True),
    "いいえ。": ("いいえ。", False),
    "Да, но не сразу": ("Да, но не сразу", True),
    "아니요": ("아니요", False),
    "нет": ("нет", False),
    "ÿes": ("ÿes", None),
    "yes/no": ("yes/no", True),
    "yesno": ("yesno", None),
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_what_was_said_is_read_and_what_was_thought_is_not(text):
    assert (spoken(text), strict(text)) == SAID[text]


@given(st.text(max_size=40), st.sampled_from(["yes", "No.", ""]))
def test_a_block_of_thinking_never_decides(thought, answer):
    for text in (f"<think>{thought}</think>{answer}", f"{thought}</think>{answer}"):
        if "<" not in thought and "[" not in thought:
            assert spoken(text) == answer
            assert strict(text) is strict(answer)


QUESTIONS = {"atoms": ["it moves"], "questions": {
    "Scene Type": ["Is it {blue}?"], "Main Target Category": ["Is there one?"], "Main Target Layout": ["Is it left?"],
    "Main Target Action Evolution_0": ["Does it move?"], "Scene Anomaly Detection": ["Does it bend?"],
    "Main Target Anomaly Detection": ["Does the square bend?"]}}  # fmt: skip


@pytest.mark.parametrize(
    "around",
    [
        "{}", "```json\n{}\n```",
        '<think>{{"atoms": ["x"], "questions": {{}}}}</think>{}', "Here {{it}} is: {} Good {{?}}",
        "<think>a }} brace</think>\n{}\n}}", '{{"note": 1}} {}',
    ],
)  # fmt: skip
def test_questions_are_found_whatever_braces_are_around(around):
    atoms, questions = check(around.format(json.dumps(QUESTIONS)), Told("a square moves", "target_action", 1))
    assert atoms == ("it moves",) and questions["Scene Type"] == ("Is it {blue}?",)


# --- what servers answer ----------------------------------------------------------------------------------------------


def choices(*pairs, **more):
    found = [{"message": {"role": "assistant", "content": text, **more}, "finish_reason": end} for text, end in pairs]
    return raw(json.dumps({"choices": found}).encode())


NO_TEXT = {
    "null, length": (choices((None, "length")), "more tokens"),
    "empty, length": (choices(("", "length"), (" \n", "length")), "more tokens"),
    "cut off thinking": (choices(("<think>\nThere is no", "length")), "more tokens"),
    "thinking alone": (choices(("<think>no</think>", "stop")), "more tokens"),
    "thought apart": (choices((None, "length"), reasoning_content="no, hm"), "more tokens"),
    "null, stop": (choices((None, "stop")), r"without a text \(finish_reason stop\)"),
    "filtered": (choices((None, "content_filter")), "content_filter"),
    "a tool call": (choices((None, "tool_calls"), tool_calls=[]), "tool_calls"),
    "empty parts": (choices(([], "stop")), "without a text"),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_a_vote_without_text_is_no_vote_and_not_kept(tmp_path, name):
    behaviour, sentence = NO_TEXT[name]
    cache, seen = Cache(tmp_path), Seen.of(FRAMES)
    with Play([behaviour]) as play, pytest.raises(JudgeError, match=sentence) as caught:
        ask_cached(server(play), cache, seen, "?", 5, 0)
    assert "run it again" not in str(caught.value).lower() and caught.value.votes == []
    assert not list(tmp_path.rglob("*.json"))
    with Play([says("yes")]) as play:
        assert ask_cached(server(play), cache, seen, "?", 5, 0) == ["yes"] * 5


def test_a_cache_of_empty_votes_heals(tmp_path):
    cache, seen = Cache(tmp_path), Seen.of(FRAMES)
    with Play([says("yes")]) as play:
        ask_cached(server(play), cache, seen, "?", 5, 0)
        [file] = tmp_path.rglob("*.json")
        file.write_text(json.dumps({"votes": ["", "<think>no", "yes", " ", "<think>hm</think>no"]}))
        assert ask_cached(server(play), cache, seen, "?", 5, 0) == ["yes", "no", "yes", "yes", "yes"]
    assert play.requests[1]["body"]["n"] == 3


def refuses(*names: str, sentence: str = "Unrecognized request argument supplied: {}", status: int = 400):
    """A server that knows some settings only."""

    def behave(handler, body):
        for name in names:
            if name in body and (name != "n" or body["n"] > 1):
                error = json.dumps({"error": {"message": sentence.format(name), "code": status}}).encode()
                return handler.reply(error, status)
        handler.reply(completion(["yes"] * body.get("n", 1)))

    return behave


OPENAI = "Unsupported parameter: '{}' is not supported with this model. Use 'max_completion_tokens' instead."
CHOICE = "Only one completion choice is allowed"
REFUSALS = {
    "repetition_penalty": (refuses("repetition_penalty"), ("repetition_penalty",)),
    "max_tokens": (refuses("max_tokens", sentence=OPENAI), ()),
    "both limits": (refuses("max_tokens", "max_completion_tokens"), ("max_tokens",)),
    "n": (refuses("n", sentence=CHOICE), ()),
    "n, by its name": (refuses("n", sentence="'{}' must be 1"), ()),
    "n, 422": (refuses("n", sentence='"loc": ["body", "{}"], "msg": "less than or equal to 1"', status=422), ()),
    "n, best_of": (refuses("n", sentence="best_of is not supported"), ()),
    "seed": (refuses("seed", sentence="Extra inputs are not permitted: {}"), ("seed",)),
    "temperature": (refuses("temperature", sentence="Unsupported value: '{}' does not support 0.7"), ("temperature",)),
    "all": (refuses("n", "seed", "repetition_penalty", "top_p", "temperature", "max_tokens", sentence="bad `{}`"),
            ("repetition_penalty", "seed", "temperature", "top_p")),
    "one of two": (refuses("top_p", sentence="`temperature` and `top_p` cannot both be specified"), ("top_p",)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_setting_that_is_refused_is_left_out_and_said(tmp_path, name):
    behaviour, left_out = REFUSALS[name]
    cache = Cache(tmp_path)
    with Play([behaviour]) as play:
        judge = server(play)
        assert ask_cached(judge, cache, Seen.of(FRAMES), "?", 5, 0) == ["yes"] * 5
        asked, failed = len(play.requests), judge.usage.failures
        assert ask_cached(judge, cache, Seen.of(FRAMES), "again?", 5, 0) == ["yes"] * 5
        assert judge.usage.failures == failed and len(play.requests) == 2 * asked - failed  # it is remembered
    assert judge.left_out == left_out and cache.left_out == set(left_out)
    again = Cache(tmp_path)  # and by those who read the votes later
    assert ask_cached(Server("http://localhost:1"), again, Seen.of(FRAMES), "?", 5, 0) == ["yes"] * 5
    assert again.left_out == set(left_out)
    names = {column(judge, Settings(), left) for left in ((), left_out)}
    assert len(names) == 1 + bool(left_out)


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens",
        "'max_tokens' or 'max_completion_tokens' is too large: 32",
        "please reduce the length of the completion",
        "the model `x` does not support images",
    ],
)
def test_other_400s_are_errors_and_teach_nothing(text):
    with Play([raw(json.dumps({"error": {"message": text}}).encode(), 400)]) as play:
        judge = server(play)
        with pytest.raises(JudgeError, match="400"):
            judge.ask(FRAMES, "?", 5, 0)
        assert judge.left_out == () and "max_tokens" in judge._body([], 1, 0, judge._refused)


STATUSES = {
    400: (False, "400", False), 401: (True, "set OPENAI_API_KEY", False), 402: (True, "nothing left", False),
    403: (True, "OPENAI_API_KEY", False), 404: (True, "--url", False), 413: (False, "fewer frames", False),
    429: (False, "429", True), 500: (False, "500", True), 503: (False, "503", True), 529: (False, "529", True),
    301: (True, "sends to http://new/v1", False), 405: (True, "--url", False), 418: (False, "418", False),
}  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_statuses_name_the_address_and_what_helps(status):
    stop, sentence, again = STATUSES[status]
    with Play([raw(b"told", status, location="http://new/v1")]) as play, pytest.raises(JudgeError) as caught:
        server(play).ask(FRAMES, "?", 5, 0)
    said = str(caught.value)
    assert f"{play.url}/chat/completions" in said and sentence in said and caught.value.stop is stop
    assert ("run it again" in said) is again


def test_an_account_without_money_is_not_asked_again():
    with Play([raw(b'{"error": {"code": "insufficient_quota"}}', 429)]) as play, pytest.raises(JudgeError) as caught:
        server(play).ask(FRAMES, "?", 5, 0)
    assert len(play.requests) == 1 and caught.value.stop


# --- where they stand -------------------------------------------------------------------------------------------------


def only_at(path: str):
    def behave(handler, body):
        here = handler.path == path
        handler.reply(completion(["yes"] * body["n"]) if here else b'{"detail":"Not Found"}', 200 if here else 404)

    return behave


@pytest.mark.parametrize("given", ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/chat/completions"])
@pytest.mark.parametrize("served", ["/v1/chat/completions", "/chat/completions"])
def test_urls_with_and_without_v1(given, served):
    with Play([only_at(served)]) as play:
        judge = Server(play.url.removesuffix("/v1") + given)
        assert judge.ask(FRAMES, "?", 2, 0) == judge.ask(FRAMES, "?", 2, 0) == ["yes", "yes"]
    assert [request["path"] for request in play.requests[-2:]] == [served] * 2 and len(play.requests) <= 3


def test_a_404_names_all_addresses_and_what_was_said_of_the_model():
    script = [raw(b'{"message": "The model `x` does not exist"}', 404), raw(b"Not Found", 404)]
    with Play(script) as play, pytest.raises(JudgeError, match="model `x` does not exist") as caught:
        server(play).ask(FRAMES, "?", 2, 0)
    assert all(address in str(caught.value) for address in addresses(play.url))


@pytest.mark.parametrize("url", ["", "localhost:8000", "http://a:99999999/v1", "http://[::1/v1", "ftp://a", None, 8000])
def test_urls_that_are_none_are_a_sentence(url):
    with pytest.raises(ValueError, match="url must be"):
        Server(url)


HERE = ["127.0.0.1", "localhost", "127.9.9.9", "[::1]", "0.0.0.0", "judge.localhost"]
PROXY = ["socks5://127.0.0.1:9", "socks5h://user:secret@127.0.0.1:9", "http://127.0.0.1:9", "socks://127.0.0.1:9"]


@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("proxy", PROXY)
def test_no_proxy_is_asked_for_this_machine(monkeypatch, variable, proxy):
    monkeypatch.setenv(variable, proxy)
    with Play([says("yes")]) as play:
        assert server(play).ask(FRAMES, "?", 2, 0) == ["yes", "yes"]
    assert all(not Server(f"http://{host}:1/v1")._client.trust_env for host in HERE)


@pytest.mark.parametrize("proxy", PROXY)
def test_a_proxy_that_cannot_be_used_is_a_sentence(monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    try:
        judge = Server("http://judge.example/v1", retries=0, backoff=0)
        with pytest.raises(JudgeError) as caught:
            judge.ask(FRAMES, "?", 1, 0)
    except ValueError as error:  # there is no package for SOCKS, or no such scheme
        said = str(error)
        assert "NO_PROXY" in said
    else:
        said = str(caught.value)
    assert "ALL_PROXY" in said and "judge.example" in said and "secret" not in said
    monkeypatch.setenv("NO_PROXY", "judge.example")
    assert not Server("http://judge.example/v1")._client.trust_env


def test_nobody_there_names_the_address_and_the_remedy():
    with Play([says("yes")]) as play:
        pass
    with pytest.raises(JudgeError, match=rf"{play.url}/chat/completions: Connect.*is the server running.*Run it again"):
        server(play).ask(FRAMES, "?", 1, 0)


# --- which videos are asked about -------------------------------------------------------------------------------------

ITEM = Item("s_target_action_tna_2", "target_action", 2, "1", 0, "a square moves", (), {"Scene Type": ("Is it blue?",)})
ID = ITEM.id
FILES = {  # file: whether it is asked about
    f"{ID}.mp4": True, f"{ID}.MP4": True, f"{ID}.mkv": True, f"{ID}_seed1.mp4": True, f"{ID}-3.mp4": True,
    "s_target_action_tna_2/1_0_a square mov.mp4": True, "x_target_action_tna_2/1_0.Mp4": True,
    f"{ID}9.mp4": False, "target_action_tna_2-9_9.mp4": False, "holiday.mp4": False, f"{ID}١.mp4": False,
    "s_target_action_tna_2/1_00_x.mp4": False, "s_target_action_tna_2/video.mp4": False,
    "s_target_action_tna_7/1_0_x.mp4": False, "tna/1_0.mp4": False, f"{'x' * 240}.mp4": False,
    "target_action_tna_99999999999999999999-1_0.mp4": False,
}  # fmt: skip


@pytest.fixture
def suites(tmp_path):
    write_suite([ITEM], tmp_path / "suites" / f"{ITEM.suite}.json")
    return tmp_path / "suites"


def asked(folder, suites, out, capsys, *more: str) -> tuple[int, str]:
    with Play([says("yes")]) as play:
        arguments = ["--suites", str(suites), "--out", str(out), "--url", play.url, "--concurrency", "1", *more]
        code = main(["narrlv", "answer", str(folder), *arguments])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out + said.err


@pytest.mark.parametrize("name", FILES)
def test_each_video_is_asked_about_or_named(tmp_path, suites, capsys, name):
    video = write_video(tmp_path / "a.mp4", moving_square(3))
    path = tmp_path / "videos" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(video.read_bytes())
    code, said = asked(tmp_path / "videos", suites, tmp_path / "out", capsys)
    assert (code == 0) is FILES[name]
    assert "1 videos, 0 problems" in said if FILES[name] else path.name in said


def test_all_samples_are_asked_about_each_under_its_own_name(tmp_path, suites, capsys):
    for name in (f"{ID}.mp4", f"{ID}_b.mp4", f"{ITEM.suite}/1_0_a.mp4", "other.webm", ".hidden.mp4", "notes.txt"):
        write_video(tmp_path / "a.mp4", moving_square(3))
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes((tmp_path / "a.mp4").read_bytes())
    code, said = asked(tmp_path / "videos", suites, tmp_path / "out", capsys)
    assert code == 0 and "1 files are left out" in said and "other.webm" in said and "3 videos" in said
    assert set(json.loads((tmp_path / f"out/answers/{ITEM.suite}.json").read_text())) == {"1_0", "1_0_b", "1_0_a"}


def test_items_without_a_video_and_folders_that_are_none_are_named(tmp_path, suites, capsys):
    write_suite([ITEM, Item(**{**ITEM.__dict__, "index": 1})], suites / f"{ITEM.suite}.json")
    write_video(tmp_path / "videos" / f"{ID}.mp4", moving_square(3))
    code, said = asked(tmp_path / "videos", suites, tmp_path / "out", capsys)
    assert code == 0 and "1 of 2 items have no video: target_action_tna_2-1_1" in said
    for folder, sentence in (("nowhere", "no such folder"), (f"videos/{ID}.mp4", "not a folder")):
        code, said = asked(tmp_path / folder, suites, tmp_path / "out", capsys)
        assert code == 2 and sentence in said


@pytest.mark.parametrize(
    "option", ["--votes 0", "--frames 0", "--seed -1", "--seed 99999999999999999999", "--concurrency 0", "--limit 0"]
)
def test_numbers_that_ask_for_nothing_are_a_sentence(tmp_path, suites, capsys, option):
    write_video(tmp_path / "videos" / f"{ID}.mp4", moving_square(3))
    code, said = asked(tmp_path / "videos", suites, tmp_path / "out", capsys, *option.split())
    assert code == 2 and said.startswith("miga: ")


def test_settings_of_the_command_reach_the_server(tmp_path):
    judge = Server("http://localhost/v1", sampling=Sampling(temperature=None, max_tokens=None, repetition_penalty=None))
    assert judge._body([], 1, 0, frozenset()).keys() == {"model", "messages", "n", "seed", "top_p"}
    with Play([partly(1)]) as play:
        assert server(play).ask(NO_FRAMES, "?", 3, 0) == ["yes"] * 3
