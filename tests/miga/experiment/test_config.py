"""What a user gets wrong in a config is one sentence that names the key and the nearest known one."""

import json
import re
from pathlib import Path

import pytest
import yaml

from eval.parsing import parse
from miga.experiment.check import check
from miga.experiment.experiment import choose_suite, load_experiment
from miga.experiment.suite import RESERVED, Config, Entry, schemas

ROOT = Path(__file__).parents[3]
SUITES = sorted(path.stem for path in (ROOT / "config/suites").glob("*.yaml"))

SUITE = """
title: T
bases: {toy: {model: toy}}
files: [some]
benchmarks: {sprites: {prompts: prompts.yaml, metrics: [motion]}}
seeds: [1]
frames: 8
"""
METHODS = """
entries: {a: {method: direct}, b: {method: miga, params: {x: 1}}}
variants: {b-2: {method: miga, params: {x: 2}}}
ablations: {x: {of: miga, title: X, table: x, rows: {b: "1", b-2: "2"}}}
"""


@pytest.fixture
def root(tmp_path):
    for folder in ("suites", "methods"):
        (tmp_path / "config" / folder).mkdir(parents=True)
    (tmp_path / "config/suites/mine.yaml").write_text(SUITE)
    (tmp_path / "config/methods/some.yaml").write_text(METHODS)
    (tmp_path / "prompts.yaml").write_text("[{id: p1, prompt: a cat}, {id: p2, prompt: a dog, tna: 2}]")
    return tmp_path


def change(path, **changes):
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def test_stories_are_for_methods_that_take_several_prompts():
    told = load_experiment("sprites-stories", ROOT)
    check(told)
    whole = load_experiment("sprites", ROOT).prompts["sprites-narrlv"]
    for prompt, story in zip(told.prompts["sprites-narrlv"], whole, strict=True):
        assert (prompt.id, prompt.story) == (story.id, story.prompt) and not story.then
        assert prompt.prompt != prompt.then[0] and len(prompt.then) == story.prompt.count(", then ")
    entries = told.entries | {"riflex": Entry(method="riflex", bases=["sprites-wan"])}
    with pytest.raises(ValueError, match=r"riflex takes one prompt, and '.*' of the benchmark .* is several"):
        check(told.model_copy(update=dict(entries=entries)))


def test_reserved_names_are_those_of_the_rules():
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    assert {
        rule for file in files for rule in re.findall(r"^(?:rule|checkpoint) (\w+):", file.read_text(), re.M)
    } == RESERVED


def test_a_suite_with_its_files(root):
    experiment = load_experiment("mine", root)
    assert list(experiment.entries) == ["a", "b"]
    assert experiment.ablations_of("miga") == ["x"]
    assert [p.id for p in experiment.prompts["sprites"]] == ["p1", "p2"]
    assert experiment.prompts["sprites"][1].tna == 2
    assert [p.id for p in load_experiment("mine", root, limit=1).prompts["sprites"]] == ["p1"]


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        (
            "methods/some",
            {"ablations": {"x": {"of": "miga", "title": "X", "table": "cost", "rows": {"b": "1"}}}},
            "ablation 'x': table 'cost' is the suite's own: choose another name",
        ),
        (
            "methods/some",
            {"ablations": {"x": {"of": "miga", "title": "X", "table": "drift", "rows": {"b": "1"}}}},
            "ablation 'x': table 'drift' is its plot: choose another name",
        ),
        (
            "methods/some",
            {"ablations": {n: {"of": "miga", "title": "X", "table": "x", "rows": {"b": "1"}} for n in "xy"}},
            "ablation 'y': table 'x' is that of the ablation 'x': choose another name",
        ),
        ("suites/mine", {"sedes": [1]}, "mine.yaml: unknown key 'sedes'; did you mean 'seeds'?"),
        ("suites/mine", {"encoder": {"crv": 3}}, "unknown key 'encoder.crv'; did you mean 'crf'?"),
        ("suites/mine", {"encoder": {"crf": 99}}, "encoder.crf: input should be less than or equal to 51 (given: 99)"),
        ("suites/mine", {"encoder": {"pix_fmt": "yuv420p10le"}}, "encoder.pix_fmt: input should be 'yuv420p'"),
        ("suites/mine", {"bases": {"t": {"modell": "toy"}}}, "unknown key 'bases.t.modell'; did you mean 'model'?"),
        ("suites/mine", {"frames": 0}, "frames: input should be greater than or equal to 1 (given: 0)"),
        ("suites/mine", {"frames": -4}, "frames: input should be greater than or equal to 1 (given: -4)"),
        (
            "suites/mine",
            {"benchmarks": {"sprites": {"prompts": "prompts.yaml", "entries": ["aa"]}}},
            "unknown entry in the benchmark 'sprites': 'aa': did you mean 'a'?",
        ),
        ("suites/mine", {"seeds": []}, "seeds: list should have at least 1 item"),
        (
            "suites/mine",
            {"benchmarks": {"sprite": {"prompts": "prompts.yaml"}}},
            "unknown benchmark 'sprite': did you mean 'sprites'?",
        ),
        (
            "suites/mine",
            {"benchmarks": {"sprites": {"prompts": "prompts.yaml", "metrcs": []}}},
            "benchmark 'sprites': unknown key 'metrcs'; did you mean 'metrics'?",
        ),
        (
            "suites/mine",
            {"benchmarks": {"sprites": {"prompts": "prompts.yaml"}, "vbench": {"prompts": "prompts.yaml"}}},
            "two of them make the table 'vbench'",
        ),
        ("suites/mine", {"benchmarks": {}}, "benchmarks: dictionary should have at least 1 item"),
        ("suites/mine", {"reference": "bb"}, "unknown entry as `reference`: 'bb': did you mean 'b'?"),
        ("suites/mine", {"files": ["sone"]}, "unknown method file 'sone': did you mean 'some'?"),
        ("suites/mine", {"ablations": ["y"]}, "unknown ablation 'y': known are x"),
        ("methods/some", {"entries": {"all": {"method": "direct"}}}, "an entry may not be called 'all'"),
        ("methods/some", {"entries": {"a b": {"method": "direct"}}}, "entries.a b"),
        ("methods/some", {"entries": {"../x": {"method": "direct"}}}, "entries.../x"),
        ("methods/some", {"entries": {"a": {"method": "direct", "bases": ["tou"]}}}, "did you mean 'toy'?"),
        ("methods/some", {"entries": {"a": {"method": "direct", "parms": {}}}}, "did you mean 'params'?"),
    ],
)
def test_a_mistake_is_one_sentence(root, file, changes, sentence):
    change(root / f"config/{file}.yaml", **changes)
    with pytest.raises(ValueError) as error:
        load_experiment("mine", root)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_base_model_without_an_ability_is_without_the_methods_that_need_it(root):
    base = {"model": "sprites-unet"}
    change(root / "config/methods/some.yaml", entries={"a": {"method": "riflex"}, "b": {"method": "miga"}}, variants={})
    change(root / "config/methods/some.yaml", ablations={})
    change(root / "config/suites/mine.yaml", bases={"unet": base})
    with pytest.raises(
        ValueError, match=r"riflex does not run on 'sprites-unet': it needs rotary.*`without: \[riflex\]`"
    ):
        check(load_experiment("mine", root))
    change(root / "config/suites/mine.yaml", bases={"unet": base | {"without": ["riflex"]}})
    check(experiment := load_experiment("mine", root))
    assert experiment.bases_of("a") == [] and experiment.bases_of("b") == ["unet"]
    change(root / "config/suites/mine.yaml", bases={"unet": base | {"without": ["rifles"]}})
    with pytest.raises(ValueError, match="'unet' is without: 'rifles'"):
        load_experiment("mine", root)


def test_an_ablation_that_is_asked_for_needs_its_rows(root):
    change(root / "config/suites/mine.yaml", ablations=["x"])
    change(root / "config/methods/some.yaml", variants={})
    with pytest.raises(ValueError, match="entry in the ablation 'x'"):
        load_experiment("mine", root)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read as YAML"),
        ("a: 1", "must be a list"),
        ("[{id: p1, prompt: ''}]", "prompt 1: prompt: string should have at least 1 character"),
        ("[{id: p1, prompt: x}, {id: p1, prompt: y}]", "prompt id 'p1' is used twice"),
        ("[{id: a/b, prompt: x}]", "prompt 1: id: string should match pattern"),
    ],
)
def test_prompts_are_checked(root, text, sentence):
    (root / "prompts.yaml").write_text(text)
    with pytest.raises(ValueError) as error:
        load_experiment("mine", root)
    assert sentence in str(error.value)
    assert any(file in str(error.value) for file in ("prompts.yaml", "mine.yaml"))


def test_an_unknown_suite_is_named_with_its_neighbour():
    with pytest.raises(ValueError, match=r"unknown suite 'sprite': did you mean 'sprites'\?"):
        load_experiment("sprite", ROOT)


def test_a_missing_file_is_named(root):
    with pytest.raises(ValueError, match=r"nowhere\.yaml: no such file"):
        load_experiment(str(root / "nowhere.yaml"), root)


@pytest.mark.parametrize(("there", "suite"), [(True, "paper"), (False, "sprites")])
def test_auto_takes_paper_where_a_gpu_is(monkeypatch, there, suite):
    monkeypatch.setattr("miga.experiment.experiment.cuda", lambda: there)
    name, line = choose_suite("auto")
    assert name == suite and line.startswith(f"suite: {suite} (auto: ") and "\n" not in line
    assert choose_suite("mine") == ("mine", "suite: mine")


def test_schemas_are_those_of_the_classes():
    """Regenerate with `python -m miga.experiment.suite workflow/schemas`."""
    for name, text in schemas().items():
        assert (ROOT / "workflow/schemas" / name).read_text() == text, name


@pytest.mark.parametrize("suite", SUITES)
def test_shipped_suites_are_valid(suite):
    check(load_experiment(suite, ROOT))


def test_shipped_config_has_the_defaults():
    shipped = parse(Config, yaml.safe_load((ROOT / "config/config.yaml").read_text()), "config.yaml")
    assert shipped == Config()


def test_editors_find_the_schema():
    for path in [ROOT / "config/config.yaml", *ROOT.glob("config/suites/*.yaml"), *ROOT.glob("config/methods/*.yaml")]:
        schema = path.parent / path.read_text().split("$schema=")[1].split()[0]
        json.loads(schema.read_text())


def test_two_benchmarks_with_the_same_prompts_score_the_same_videos(root):
    alone = load_experiment("mine", root)
    both = {"sprites": {"prompts": "prompts.yaml"}, "vbench-long": {"prompts": "prompts.yaml", "backbones": "sprites"}}
    change(root / "config/suites/mine.yaml", benchmarks=both)
    experiment = load_experiment("mine", root)
    assert experiment.benchmarks_of("a") == ["sprites", "vbench-long"]
    assert experiment.shards_of("a") == alone.shards_of("a") and experiment.videos_of("a") == alone.videos_of("a")
    assert experiment.prompts_of("a", "vbench-long").keys() == alone.prompts_of("a", "sprites").keys()
