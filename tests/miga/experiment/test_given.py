"""Videos that others made become an entry: found by their names, checked, marked, and none left out in silence."""

import json
from pathlib import Path

import pytest
import yaml

from eval import records, video
from miga.cli import main
from miga.experiment.check import check, told
from miga.experiment.experiment import load_experiment
from miga.experiment.given import NO_MP4, NO_PROMPT, NO_SEED, NO_VIDEO, find, take
from miga.experiment.suite import Given
from tests.eval.conftest import moving_square, write_video

ROOT = Path(__file__).parents[3]
PROMPTS = {"p-1": "a cat, seen - twice", "p-2": "a dog", "p-3": "a dog"}
SEEDS = dict.fromkeys(PROMPTS, (7, 8))
CAT = "a cat, seen - twice"


def places(folder, name="", prompts=PROMPTS):
    found = find(Given(videos=name), folder, prompts, SEEDS)
    files = {place: path.relative_to(folder).as_posix() for place, path in found.files.items()}
    return files, found.aside


@pytest.mark.parametrize(
    ("names", "files", "aside"),
    [
        (["p-1.mp4"], {("p-1", 7): "p-1.mp4"}, {}),
        (["p-1-0.mp4", "p-1-1.mp4"], {("p-1", 7): "p-1-0.mp4", ("p-1", 8): "p-1-1.mp4"}, {}),
        ([f"{CAT}-3.mp4", f"{CAT}-10.mp4"], {("p-1", 7): f"{CAT}-3.mp4", ("p-1", 8): f"{CAT}-10.mp4"}, {}),
        (["a dog.mp4"], {("p-2", 7): "a dog.mp4", ("p-3", 7): "a dog.mp4"}, {}),  # one text, two prompts
        (["p-1/seed-1.mp4", "p-1/seed-1.json"], {("p-1", 7): "p-1/seed-1.mp4"}, {}),
        (
            ["p-1.mp4", "a cow.mp4", "p-2.webm", "notes.txt", "p-3-0.mp4", "p-3-1.mp4", "p-3-2.mp4"],
            {("p-1", 7): "p-1.mp4", ("p-3", 7): "p-3-0.mp4", ("p-3", 8): "p-3-1.mp4"},
            {NO_PROMPT: ["a cow.mp4"], NO_MP4: ["p-2.webm"], NO_VIDEO: ["notes.txt"], NO_SEED: ["p-3-2.mp4"]},
        ),
    ],
)
def test_files_are_found_by_their_names(tmp_path, names, files, aside):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert places(tmp_path) == (files, aside)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("file,prompt_id\nx.mp4,p-1\n", {("p-1", 7): "x.mp4"}),
        (f'file,prompt\nx.mp4,"{CAT}"\nx.mp4,a cow\n', {("p-1", 7): "x.mp4"}),
        ("file,prompt_id,sample\ny.mp4,p-1,5\nx.mp4,p-1,4\n", {("p-1", 7): "x.mp4", ("p-1", 8): "y.mp4"}),
        ("file,prompt_id,prompt\nx.mp4,p-2,a dog\n", {("p-2", 7): "x.mp4"}),
    ],
)
def test_files_are_found_by_a_map(tmp_path, text, files):
    for name in ("x.mp4", "y.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "map.csv").write_text(text)
    found, aside = places(tmp_path, "map.csv")
    assert found == files
    assert aside == ({NO_PROMPT: ["x.mp4"]} if "a cow" in text else {})


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no video of any prompt of the suite: name them"),
        (
            {"a cow.mp4": ""},
            "no video of any prompt of the suite (left aside: 1 of no prompt of the suite (a cow.mp4))",
        ),
        ({"p-1-1.mp4": "", f"{CAT}-1.mp4": ""}, "are both sample 1 of 'p-1'"),
        ({"map.csv": "file,promt_id\nx.mp4,p-1\n"}, "'promt_id': did you mean 'prompt_id'?"),
        ({"map.csv": "file,prompt_id\ny.mp4,p-1\n"}, "map.csv, line 2: no such file 'y.mp4'"),
        ({"map.csv": "file,sample\nx.mp4,1\n", "x.mp4": ""}, "line 2: says neither prompt_id nor prompt"),
        ({"map.csv": "file,prompt_id,prompt\nx.mp4,p-2,a cat\n", "x.mp4": ""}, "'p-2' has another prompt in the suite"),
        ({"map.csv": "file,prompt_id,sample\nx.mp4,p-2,one\n", "x.mp4": ""}, "sample 'one' is no number"),
    ],
)
def test_what_cannot_be_a_row_is_a_sentence(tmp_path, files, sentence):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as error:
        places(tmp_path, "map.csv" if "map.csv" in files else "")
    assert sentence in str(error.value)


def test_a_map_that_is_no_text_is_named(tmp_path):
    (tmp_path / "map.csv").write_bytes(b"file,prompt_id\n\xff\xfe.mp4,p-1\n")
    with pytest.raises(ValueError, match=r"map.csv: not a CSV file in UTF-8"):
        places(tmp_path, "map.csv")


def test_a_missing_folder_and_a_missing_map_are_named(tmp_path):
    for name, sentence in (("none", "none: no such folder of videos"), ("none.csv", "none.csv: no such CSV file")):
        with pytest.raises(ValueError, match=sentence):
            places(tmp_path, name)


def test_the_sidecar_says_what_is_known_and_nothing_else(tmp_path):
    source = write_video(tmp_path / "x.mp4", moving_square(6))
    about = dict(suite="s", base="b", entry="e", prompt_id="p-2", prompt="a dog", seed=7)
    copy = tmp_path / "results/seed-7.mp4"
    take(source, copy, about, Given(videos="", trained=True, licence="MIT"))
    said = records.read_beside(copy)
    assert copy.read_bytes() == source.read_bytes()
    assert (said.method, said.origin, said.frames, said.fps) == ("trained", "trained", 6, 8)
    assert (said.licence, said.source, said.file, said.width) == ("MIT", None, "x.mp4", 48)
    assert said.frames_sha256 == video.frames_digest(source)
    for name in ("params", "version", "weights_sha256", "encoder", "wall_seconds", "model_calls", "streaming"):
        assert getattr(said, name) is None


def test_a_video_that_breaks_in_the_middle_is_named_and_not_taken(tmp_path):
    source = write_video(tmp_path / "x.mp4", moving_square(6))
    source.write_bytes(source.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"x\.mp4: "):
        take(source, tmp_path / "results/seed-7.mp4", {}, Given(videos=""))
    assert not (tmp_path / "results").exists()


@pytest.fixture
def suite(tmp_path):
    """A suite of one base model, and a folder with videos of two of its prompts, at another frame rate and size."""
    said = dict(
        title="Mine",
        bases={"small": {"model": "sprites-wan", "entries": ["direct"]}},
        files=["direct"],
        benchmarks={
            "sprites": {"prompts": "config/prompts/sprites.yaml", "metrics": ["motion"], "limit": 3},
            "sprites-narrlv": {"prompts": "config/prompts/sprites_narrlv.yaml", "limit": 1, "entries": ["direct"]},
        },
        seeds=[5],
        frames=6,
    )
    path = tmp_path / "mine.yaml"
    path.write_text(f"# by hand\n{yaml.safe_dump(said)}")
    chosen = yaml.safe_load((ROOT / "config/prompts/sprites.yaml").read_text())[:2]
    for prompt in chosen:
        write_video(tmp_path / "videos" / f"{prompt['prompt']}-0.mp4", moving_square(6), fps=7)
    return path


def test_a_folder_becomes_an_entry_in_one_command(suite, capsys):
    before = suite.read_text()
    assert main(["import", str(suite.parent / "videos"), "--as", "longlive", "--suite", str(suite), "--trained"]) == 0
    said = capsys.readouterr().out
    assert "2 videos of 2 prompts" in said
    assert "note: fps differ:" in said and "7 frames per second, not 8 as on 'small', and 1 more" in said
    assert "note: size differ:" in said and "48x32 pixels, not 64x64" in said
    assert suite.read_text() == before

    experiment = load_experiment(str(suite), ROOT)
    check(experiment)
    row = experiment.entries["longlive"]
    assert (row.titled("longlive"), sorted(row.differs)) == ("longlive (trained)", ["fps", "size"])
    assert experiment.benchmarks_of("longlive") == ["sprites"] and experiment.bases_of("longlive") == ["small"]
    assert [seed for _, _, seed in experiment.videos_of("longlive")] == [5, 5]
    assert len(experiment.videos_of("direct")) == 4
    assert list(told(experiment)) == ["longlive: 2 videos of 2 prompts"]
    assert "files" not in json.dumps(experiment.model_dump(mode="json")["entries"]["longlive"])
    assert [len(videos) for videos in experiment.shards_of("longlive", 1).values()] == [1, 1]


def test_an_import_overwrites_nothing(suite, capsys):
    words = ["import", str(suite.parent / "videos"), "--suite", str(suite), "--as"]
    assert main([*words, "direct"]) == 2
    assert "has an entry of that name" in capsys.readouterr().err
    assert main([*words, "mine"]) == 0
    file = suite.with_suffix(".videos") / "mine.yaml"
    file.write_text("entries: {other: {method: direct}}")
    assert main([*words, "mine"]) == 2
    assert "other" in file.read_text()


def test_a_broken_video_is_refused_before_it_is_written_down(suite, capsys):
    file = next((suite.parent / "videos").iterdir())
    file.write_bytes(file.read_bytes()[:600])
    assert main(["import", str(file.parent), "--as", "mine", "--suite", str(suite)]) == 2
    assert file.name in capsys.readouterr().err
    assert not suite.with_suffix(".videos").exists()


def test_what_differs_must_be_owned_up_to(suite):
    folder = suite.with_suffix(".videos")
    folder.mkdir()
    entry = {"videos": str(suite.parent / "videos"), "differs": ["size"]}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"entries": {"mine": entry}}))
    with pytest.raises(ValueError, match=r"7 frames per second, not 8 as on 'small': write `differs: \[size, fps\]`"):
        check(load_experiment(str(suite), ROOT))


def test_an_unknown_key_of_given_videos_is_named(suite):
    folder = suite.with_suffix(".videos")
    folder.mkdir()
    (folder / "mine.yaml").write_text("entries: {mine: {videos: x, lable: X}}")
    with pytest.raises(ValueError, match="mine: unknown key 'lable'; did you mean 'label'"):
        load_experiment(str(suite), ROOT)
