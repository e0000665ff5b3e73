"""No traceback: whatever a command is given, it works or ends with one sentence that names the file or the key, and 2.

What stood where a command writes is still there then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.records import IDENTITY
from eval.votes import Vote
from miga.commands import COMMANDS, main
from miga.models import registry
from tests.faults import inputs
from tests.miga.commands.test_cli import ENDLESS

ITEM = {"prompt_gen": "a, then b", "prompt_gen_list_extract": ["a", "b"], "auto_gen_question": {"Scene Type": ["x?"]}}
FILES = {
    "empty": b"",
    "garbage": bytes(range(256)) * 20,
    "list.json": b"[1, 2]",
    "object.json": b"{}",
    "deep.json": b"[" * 100_000,
    "text.yaml": b"a: [",
    "hostile.yaml": b"title: !!python/object/apply:os.system [x]",
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(40),
    os.fsdecode(b"caf\xe9.yaml"): b"caf\xe9: 1",
    "mine.png": b"a picture of mine",
    "told.json": json.dumps([{"prompt": "a", "factor": "target_action", "tna": 1}]).encode(),
    "told-wrong.json": json.dumps([{"prompt": 3, "factor": ["x"], "tna": "1"}]).encode(),
    "suites/s_target_action_tna_2.json": json.dumps({"1": [ITEM]}).encode(),
    "suites-wrong/s_target_action_tna_2.json": json.dumps({"1": [{}]}).encode(),
    "corrected/own_target_action_tna_1.json": b'{"corrected": "by hand"}',
    "theirs/answers/s_target_action_tna_2.json": b'{"1_0": {"qa_infor": {}}}',
    "others/answers/s_target_action_tna_2.json": b'{"9_9": {"qa_infor": {}}}',
    "others/cache/x": b"",
    "rated/answers/s_target_action_tna_2.json": b'{"1_0": {"qa_infor": {"Scene Type": [{"answer": ["yes"]}]}}}',
    "rated/aesthetics/s_target_action_tna_2.json": b'{"1_0": {"qalign_res": {"answer": [NaN]}}}',
    "info.json": json.dumps([{"prompt_en": "a", "dimension": ["subject_consistency"]}]).encode(),
    "info-wrong.json": json.dumps([{"prompt_en": 3, "dimension": "subject_consistency"}]).encode(),
    "run/run.json": b"{",
    "run-of-others/run.json": b"[]",
    "videos/notes.txt": b"x",
    "models/wan2.1-1.3b.json": b"{",
    "models/wan2.1-14b.json": b"[]",
    "model/model_index.json": b"{",
    "converted/keep.txt": b"x",
    "garbled/a.mp4": bytes(range(256)),
    "garbled/a.json": json.dumps(dict.fromkeys(IDENTITY, "x") | {"seed": 1, "frames_sha256": "x"}).encode(),
    "broken/a.mp4": b"x",
    "broken/a.json": b"{",
    "mine.html": b"<p>of mine",
    "votes.csv": ",".join(Vote.model_fields).encode() + b"\n",
    "mine.webp": b"a picture of mine",
    "laid/Snakefile": b"of mine",
}
GENERATE = "generate --prompt a --frames 2 --method direct --out v.mp4"
ANSWER = "narrlv answer videos --suites suites --url http://127.0.0.1:9/v1"
ASK = "--url http://127.0.0.1:9/v1 --model m"
SCORE = "score videos --out o.parquet --dimensions motion"
CHECK = "vbench check videos --dimensions subject_consistency --prompts"

# what is typed -> what is said; in the comment, what happened before: T "this should not happen (...)", W work was
# spent before it was refused, S it was taken without a word
TYPED = [
    (f"{GENERATE} --image garbage", "garbage is not an image"),  # W: a model was loaded
    (f"{GENERATE} --image picture.png", "picture.png is not an image"),  # W
    (f"{GENERATE} --video videos/notes.txt", "notes.txt is not an image"),  # W
    (f"{GENERATE} --image nowhere", "nowhere: no such file"),
    (f"{GENERATE} --image folder", "no such file"),
    (f"{GENERATE} --out garbage/v.mp4", "garbage: not a directory"),
    (f"{GENERATE} --out v.avi", "v.avi: the output must be an .mp4 file"),
    (f"{GENERATE} --out /proc/v.mp4", "/proc/v.mp4: "),  # another file was named
    (f"{GENERATE} --model nowhere", "unknown base model 'nowhere'"),
    (f"{GENERATE} --model folder", "folder is not a model directory"),
    (f"{GENERATE} --model model", "model is not a model directory"),
    (f"{GENERATE} --model-param device=banana", "device 'banana'"),  # T
    (f"{GENERATE} --model-param device=meta", "device 'meta'"),  # T
    (f"{GENERATE} --model-param num_levels=1001", "num_levels"),  # S: ran for hours
    (f"{GENERATE} --model-param guidance_scale=.nan", "guidance_scale"),  # W: "non-finite latents"
    (f"{GENERATE} --param guidance_scale=.inf", "guidance_scale"),  # W
    (f"{GENERATE} --param guidance_scale", "'guidance_scale' is not of the form key=value"),
    (f"{GENERATE} --method nope", "unknown method 'nope'"),
    (f"{GENERATE} --crf 52", "crf"),
    (f"{GENERATE} --frames -1", "-1"),
    ("show nowhere.mp4", "nowhere.mp4: no sidecar"),
    ("show videos/a-0.mp4", "no sidecar a-0.json"),
    ("show garbled/a.mp4", "a.mp4"),
    ("show broken/a.mp4", "a.json: not a JSON file"),
    ("show garbled/a.mp4 --out p.txt", "p.txt: the page is an .html file"),
    ("show garbled/a.mp4 --out mine.html", "mine.html is there already and is not a page"),
    ("init garbage", "garbage: is not a folder"),
    ("init laid", "Snakefile is there already"),
    ("init garbage/lab", "garbage"),
    ("methods --jsn", "jsn"),
    ("models nope", "nope"),
    ("models convert nope garbage out", "unknown base model 'nope'"),
    ("models convert videocrafter2 garbage out", "garbage is cut short or not a checkpoint"),
    ("models convert videocrafter2 folder out", "folder is cut short or not a checkpoint"),
    ("models convert wan2.1-1.3b folder out", "folder has no"),
    ("models convert wan2.1-1.3b garbage converted", "converted exists"),
    ("models fetch nope", "unknown weights 'nope'"),
    ("models fetch wan2.1-1.3b", "wan2.1-1.3b.json: cannot be read"),  # "Expecting property name", no file named
    ("models fetch wan2.1-14b", "wan2.1-14b.json: is no record"),  # T
    ("sprites train --model nope", "nope"),
    ("sprites train --model reader --replace --device banana", "device 'banana'"),  # T
    ("sprites train --model reader --replace --folder garbage", "garbage/reader: not a directory"),
    ("sprites train --model sprites-wan", "weights/sprites-wan is there already: give --replace"),  # W: written over
    ("sprites evaluate --clips 0", "--clips 0"),
    ("sprites evaluate --sheet mine.png", "--sheet mine.png"),  # S: the picture was written over
    ("sprites evaluate --sheet sheet.txt", "--sheet sheet.txt"),  # W
    ("sprites evaluate --guidance-scale nan", "--guidance-scale nan"),  # S: shares of no meaning
    ("sprites evaluate --model folder", "folder is not a model directory"),
    ("sprites faults --out f --strength nan", "strength nan"),
    ("sprites faults --out garbage", "garbage: not a directory"),  # W: found after minutes
    ("tune nope", "unknown base model 'nope'"),
    ("tune sprites-unet --plan --preset nope", "unknown preset 'nope'"),
    ("tune sprites-unet --plan --sweeps nope", "unknown sweep 'nope'"),
    ("tune sprites-unet --prompts 1", "at least two --prompts"),
    ("tune sprites-unet --metrics nope", "unknown metric 'nope'"),
    ("suites nope", "unknown suite 'nope'"),
    ("suites ./text.yaml", "text.yaml: cannot be read as YAML"),
    ("completion nope", "nope"),
    ("doctor --suite nope", "unknown suite 'nope'"),
    ("doctor --suite ./text.yaml", "text.yaml: cannot be read as YAML"),
    ("doctor --suite ./hostile.yaml", "hostile.yaml: cannot be read as YAML"),
    ("plan ./empty.yaml", "empty.yaml: no such file"),
    ("plan ./caf\udce9.yaml", "cannot be read as YAML"),
    ("plan sprites --seconds-per-call nan", "--seconds-per-call nan"),  # S
    ("plan sprites --seconds-per-call -1", "--seconds-per-call -1"),  # S: negative hours
    ("import videos --as x --suite nope", "unknown suite 'nope'"),
    ("import nowhere --as x --suite sprites", "nowhere"),
    ("import garbage --as x --suite sprites", "garbage"),
    ("import videos --as miga --suite sprites", "--as miga"),
    ("progress nowhere", "nowhere: no run has begun there"),
    ("progress run", "run.json: not a JSON file"),  # no file named
    ("progress run-of-others", "run.json"),
    ("score nowhere", "nowhere: no such folder"),
    ("score folder", "folder: no videos"),
    ("score garbage", "garbage: no such folder"),
    (f"{SCORE} --device banana", "device 'banana'"),  # T
    (f"{SCORE} --python nowhere", "nowhere: no vbench package"),  # T
    (f"{SCORE} --dimensions nope", "--dimensions nope"),
    ("score videos --dimensions drift --weights nowhere --out o.parquet", "weights of VBench's networks are missing"),
    (f"{SCORE} --out garbage", "--out garbage: the table is a .parquet file"),
    (f"{SCORE} --out garbage/o.parquet", "garbage: not a directory"),  # W
    (f"{SCORE} --out /proc/o.parquet", "/proc/o.parquet: "),  # W
    ("metrics nope", "unknown metric 'nope'"),
    ("degrade nowhere --fault noise", "nowhere: no such file"),
    ("degrade garbage --fault noise", "garbage: unreadable"),
    ("degrade videos/a-0.mp4 --fault nope", "unknown fault 'nope'"),
    ("degrade videos/a-0.mp4 --fault noise --crf 99", "--crf"),  # the words of pydantic, with a link
    ("degrade videos/a-0.mp4 --fault noise --seed -1", "--seed -1"),  # "expected non-negative integer"
    ("degrade videos/a-0.mp4 --fault cut --other nowhere", "nowhere: no such file"),  # named the other video
    ("degrade videos/a-0.mp4 --fault noise --out d.txt", "d.txt: the output must be an .mp4 file"),  # S
    ("degrade videos/a-0.mp4 --fault noise --out mine.png", "mine.png: is there already"),
    ("degrade videos/a-0.mp4 --fault noise --strength nan", "strength nan"),
    ("vbench fetch --weights garbage", "garbage"),
    (f"{CHECK} nowhere", "nowhere: no such file"),
    (f"{CHECK} deep.json", "deep.json: not VBench's list of prompts"),  # T
    (f"{CHECK} info-wrong.json", "info-wrong.json: not VBench's list of prompts"),  # S: "3-0.mp4 is missing"
    (f"{CHECK} info.json --samples 0", "samples 0"),  # S
    (f"{CHECK} info.json --samples -3", "samples -3"),  # S: "is not the video of any prompt"
    (f"{CHECK} info.json --limit 0", "limit 0"),
    ("vbench export nowhere", "nowhere: no such file of scores"),
    ("vbench export garbage", "garbage: cannot be read as a table of scores"),
    ("vbench export folder", "folder: no such file of scores"),
    ("verify nowhere", "nowhere: no manifest.json"),
    ("verify garbage", "not a directory"),
    ("strip nowhere", "nowhere"),
    ("strip folder", "folder"),
    ("strip garbage", "garbage"),
    ("strip folder --out s.png", "s.png: the strip is a .webp file"),
    ("strip folder --out mine.webp", "mine.webp is there already"),
    ("votes nowhere", "nowhere: no such file"),
    ("votes folder", "folder: "),
    ("votes empty", "empty: not votes"),
    ("votes garbage", "garbage"),
    ("votes list.json", "list.json"),
    ("votes votes.csv", "there is no vote in it yet"),
    ("leaderboard merge nowhere --out b.csv", "nowhere: no such file"),
    ("leaderboard merge folder --out b.csv", "folder: is a directory"),
    ("leaderboard merge garbage --out mine.png", "mine.png is there already and is not a leaderboard"),
    ("leaderboard validate garbage", "garbage: not a CSV file in UTF-8"),
    ("narrlv fetch garbage", "garbage"),
    ("narrlv answer videos --suites nowhere --out na --url http://127.0.0.1:9", "no NarrLV suite in nowhere"),
    ("narrlv answer videos --suites suites-wrong --out na --url http://127.0.0.1:9", "1_0: prompt_gen"),
    ("narrlv answer folder --suites suites --out na --url http://127.0.0.1:9", "folder: no video of any item"),
    ("narrlv answer nowhere --suites suites --out na --url http://127.0.0.1:9", "nowhere: no such folder"),
    (f"{ANSWER} --out garbage", "garbage/cache: not a directory"),  # W: all questions were asked before
    (f"{ANSWER} --out theirs", "theirs/answers/s_target_action_tna_2.json is there already"),  # S: written over
    (f"{ANSWER} --out others", "is about other videos too (9_9"),  # S: written over
    (f"{ANSWER} --out na --limit 0", "--limit 0"),
    (f"{ANSWER} --out na --limit -1", "--limit -1"),  # S: all but the last prompt
    (f"{ANSWER} --out na --votes 0", "one vote"),
    (f"{ANSWER} --out na --sampling.temperature nan", "temperature nan"),  # W
    (f"{ANSWER} --out na --sampling.max-tokens 0", "max_tokens 0"),  # W
    (f"{ANSWER} --out na --sampling.max-tokens -5", "max_tokens -5"),  # W
    (f"{ANSWER} --out na --concurrency 0", "concurrency"),
    (f"{ANSWER} --out na --url ftp://x", "http(s)://"),
    (f"narrlv questions deep.json q {ASK}", "deep.json: cannot be read as JSON"),  # T
    (f"narrlv questions list.json q {ASK}", "list.json: must be a list of"),
    (f"narrlv questions told-wrong.json q {ASK}", "a prompt needs a text"),  # T
    (f"narrlv questions told.json corrected {ASK}", "corrected by hand"),  # S: written over
    (f"narrlv questions told.json q {ASK} --name a/b", "--name 'a/b'"),  # S
    (f"narrlv questions told.json garbage {ASK}", "garbage: not a directory"),
    ("narrlv metric nowhere", "nowhere: has no folder"),
    ("narrlv metric rated", "an aesthetic score is 1 to 5"),  # S: nan, and 99 as 99
    ("modls", "unknown command 'modls': did you mean 'models'?"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    inputs.good(folder / "videos/a-0.mp4", 4)
    inputs.good(folder / "videos/target_action_tna_2-1_0.mp4", 4)
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("typed", "sentence"), TYPED, ids=[ascii(typed) for typed, _ in TYPED])
def test_a_sentence_and_nothing_lost(typed, sentence, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MIGA_MODELS", str(folder / "models"))
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(folder / "cache"))
    before = state(folder)
    try:
        code, lines = main(typed.split()), 1
    except SystemExit as left:  # of an option that is none; tyro's words have a frame
        code, lines = left.code, 20
    said = capsys.readouterr().err
    assert code == 2 and sentence in said and len(said.splitlines()) <= lines, said
    assert "Traceback" not in said and "should not happen" not in said
    after = state(folder)
    assert {name: after[name] for name in before} == before


def test_every_command_is_in_the_table():
    assert [name for name in COMMANDS if not any(f"{typed} ".startswith(f"{name} ") for typed, _ in TYPED)] == []


def test_no_network_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIGA_MODELS", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["models", "fetch", "wan2.1-1.3b"]) == 2
    assert registry.source("wan2.1-1.3b").repo in capsys.readouterr().err


# --- from outside: what a shell does to a command ---


def shell(words, **options):
    return subprocess.run(["bash", "-c", words], capture_output=True, text=True, timeout=120, **options)


MIGA = f"{sys.executable} -m miga"


@pytest.mark.parametrize(
    ("words", "codes", "sentence"),
    [
        (f"{MIGA} --help | head -1; exit ${{PIPESTATUS[0]}}", (0,), ""),
        (f"{MIGA} --help | true; exit ${{PIPESTATUS[0]}}", (0,), ""),
        (f"{MIGA} --help > /dev/full", (2,), "miga: no space left on device"),
        (f"env -i PYTHONIOENCODING=ascii {MIGA} progress $'caf\\xe9'", (2,), "miga: caf"),
        (f"{MIGA} --help >&-", (0, 2), ""),
    ],
)
def test_what_a_shell_does(words, codes, sentence):
    done = shell(words)
    assert done.returncode in codes, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_an_interrupt_is_a_word_and_the_old_video_stays(tmp_path):
    inputs.good(tmp_path / "a.mp4", 4)
    (tmp_path / "a.json").write_text('{"frames_sha256": "x"}')
    before = state(tmp_path)
    program = ENDLESS.replace('"--frames", "0"', '"--frames", "100000"')
    run = subprocess.Popen([sys.executable, "-c", program, tmp_path / "a.mp4"], stderr=subprocess.PIPE, text=True)
    while run.poll() is None and not list(tmp_path.glob(".a.mp4.*/video.mp4")):
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130 and said.endswith("miga: interrupted\n") and "Traceback" not in said
    assert state(tmp_path) == before
