"""Prompts that are cut, blank or too many, and seeds that no table holds, are said before work is spent."""

import json

import pandas as pd
import pytest
from pydantic import ValidationError

from eval import quality
from eval.benchmark import Prompt
from eval.records import SCHEMA
from miga import commands, models
from miga.engine.base_model import Text, Tokens
from miga.experiment import texts as texts_file
from miga.experiment.suite import SEEDS, Suite

LONG = "a red circle moves right over a plain gray background and " * 20


def generate(folder, *words):
    base = ["generate", "--method", "direct", "--frames", "2", "--model-param", "num_levels=2"]
    return commands.main([*base, "--out", str(folder / "a.mp4"), *words])


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--prompt", ""], "the prompt is empty"),
        (["--prompt", " \t\n"], "the prompt is empty"),
        (["--prompt", "\u3000"], "the prompt is empty"),
        (["--prompt", "a", "--then", " "], "the prompt is empty"),
        (["--prompt", "a\udcff"], "is no text"),  # failed when the sidecar was written, after all work
        (["--prompt", "a", "--then", "b", "--then", "c"], "3 prompts need at least as many frames"),
        (["--prompt", "a", "--seed", "-1"], "seed -1: give a number from 0"),
        (["--prompt", "a", "--seed", str(2**63)], "give a number from 0"),
        (["--prompt", "a", "--seed", "12345678901234567890"], "give a number from 0"),
    ],
)
def test_refused_before_work(words, sentence, tmp_path, capsys):
    assert generate(tmp_path, *words) == 2
    assert sentence in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_name_too_long_for_its_sidecar_is_refused_before_work(tmp_path, capsys):
    out = tmp_path / ("x" * 251 + ".mp4")
    assert commands.main(["generate", "--prompt", "a", "--out", str(out)]) == 2
    assert "too long" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["sprites-unet", "sprites-wan"])
def test_a_cut_prompt_is_said_on_screen_and_in_the_sidecar(model, tmp_path, capsys):
    assert generate(tmp_path, "--model", model, "--prompt", LONG) == 0
    tokens = json.loads((tmp_path / "a.json").read_text())["prompt_tokens"]
    assert tokens == [{"had": tokens[0]["had"], "used": 32}] and tokens[0]["had"] > 200
    assert f"it has {tokens[0]['had']} tokens, the text tower reads 32" in capsys.readouterr().err


def test_a_prompt_that_fits_is_not_talked_about(tmp_path, capsys):
    assert generate(tmp_path, "--prompt", "a red circle moves right over a plain gray background") == 0
    (tokens,) = json.loads((tmp_path / "a.json").read_text())["prompt_tokens"]
    assert tokens["had"] == tokens["used"] < 32 and "is cut" not in capsys.readouterr().err


def test_counts_survive_the_file_of_encoded_prompts(tmp_path):
    texts = dict(zip("ab", models.load("sprites-unet").encode([LONG, "a red circle"]), strict=True))
    texts_file.save(tmp_path / "t.safetensors", texts)
    found = texts_file.load([tmp_path / "t.safetensors"], "ab")
    assert {id: text.tokens for id, text in found.items()} == {id: text.tokens for id, text in texts.items()}
    assert found["a"].cut and not found["b"].cut


@pytest.mark.parametrize("tokens, cut", [(None, False), (Tokens(5, 5), False), (Tokens(6, 5), True)])
def test_cut_means_fewer_read_than_had(tokens, cut):
    assert bool(Text("a cat", None, None, tokens).cut) is cut


def test_quality_control_names_cut_prompts():
    fact = dict.fromkeys(SCHEMA.names) | {"base": "b", "entry": "e"}
    rows = [
        fact | {"prompt_id": "long", "prompt_tokens": [{"had": 90, "used": 77}]},
        fact | {"prompt_id": "short", "prompt_tokens": [{"had": 9, "used": 9}]},
        fact | {"prompt_id": "unknown", "prompt_tokens": [None]},
        fact | {"prompt_id": "old", "prompt_tokens": None},
    ]
    (finding,) = quality._cut_prompts(pd.DataFrame(), pd.DataFrame(rows))
    assert finding.sentence == "the text tower reads 1 prompt in part only: long"


@pytest.mark.parametrize("seeds", [[-1], [SEEDS + 1], [10**19], [1, 1], [], ["x"], [1.5]])
def test_unusable_seeds_of_a_suite(seeds):
    benchmarks = {"sprites": {"prompts": "x", "metrics": ["motion"]}}
    data = dict(title="t", bases={}, files=[], benchmarks=benchmarks, frames=1)
    Suite(**data, seeds=[0, SEEDS])
    with pytest.raises(ValidationError, match="seeds"):
        Suite(**data, seeds=seeds)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0"])
def test_blank_prompts_of_a_suite(text):
    with pytest.raises(ValidationError):
        Prompt(id="a", prompt=text)
