"""A video depends on its request only; finished ones survive, are not made twice, and say what made them."""

import json

import numpy as np
import pytest

from eval.video import chunks, frames_digest
from miga.engine.method import METHODS
from miga.experiment import run, spool, texts
from miga.experiment.job import Job, request
from miga.experiment.suite import Encoder
from tests import toy


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    known = {method.name: method for method in (toy.ENDLESS, toy.LOOPED)}
    real = METHODS.get
    monkeypatch.setattr(METHODS, "get", lambda name: known[name] if name in known else real(name))


@pytest.fixture
def model():
    return toy.ToyModel()


def job(folder, seed=1, prompt="a cat", **changes):
    facts = dict(suite="toys", base="toy", entry="e", method="toy_endless", prompt_id="p1", prompt=prompt, seed=seed)
    return Job(**{**facts, "frames": 10, "video": folder / f"p1/seed-{seed}.mp4", **changes})


def make(model, job, **options):
    return run.generate(job, model, model.encode([job.prompt, *job.then]), **options)


def frames(path):
    return np.concatenate([chunk.numpy() for chunk in chunks(path)])


def shard(model, jobs, log=lambda line: None):
    told = {}
    for asked in jobs:
        names = texts.names_of(asked.prompt_id, asked.then)
        told |= zip(names, model.encode([asked.prompt, *asked.then]), strict=True)
    run.run_shard(jobs, model, told, log)


def test_video_and_sidecar(tmp_path, model):
    facts = make(model, job(tmp_path, params={"strength": 0.5}))
    assert json.loads((tmp_path / "p1/seed-1.json").read_text()) == facts
    assert frames(tmp_path / "p1/seed-1.mp4").shape == (10, 16, 32, 3)
    assert facts["frames_sha256"] == frames_digest(tmp_path / "p1/seed-1.mp4")
    assert facts["params"] == {"strength": 0.5}
    assert (facts["frames"], facts["fps"], facts["width"], facts["height"]) == (10, 8, 32, 16)
    assert facts["model_calls"] == 3 * 4  # three clips of four levels
    assert facts["weights_sha256"] == model.digest
    assert facts["encoder"]["crf"] == Encoder().crf
    assert facts["peak_memory_mb"] > 0 and facts["wall_seconds"] > 0
    assert [event["number"] for event in facts["trace"]["clip"]] == [0, 1, 2]


@pytest.mark.parametrize("stands_for, port", [("videocrafter2", False), ("wan2.1-1.3b", True)])
def test_a_port_of_ours_says_so(stands_for, port, tmp_path, model):
    model.stands_for = stands_for
    assert make(model, job(tmp_path, method="fifo_diffusion"))["port"] is port


def test_several_prompts_follow_each_other(tmp_path, model):
    one, two = ({"method": "fifo_diffusion", "frames": 12, "then": then} for then in ((), ("a dog",)))
    facts = [make(model, job(tmp_path / str(i), **asked)) for i, asked in enumerate((one, two))]
    first, both = (frames(tmp_path / f"{i}/p1/seed-1.mp4") for i in range(2))
    np.testing.assert_array_equal(first[:3], both[:3])  # as long as all windows read the first prompt
    assert (first[-3:] != both[-3:]).any()
    assert facts[1]["prompt_used"] == ["a cat", "a dog"] and facts[1]["then"] == ["a dog"]
    again = job(tmp_path / "shard", **two)
    shard(model, [again])
    assert json.loads(again.sidecar.read_text())["frames_sha256"] == facts[1]["frames_sha256"]


def test_the_frames_depend_on_what_is_requested(tmp_path, model):
    changes = [{}, {"seed": 2}, {"prompt": "a dog"}, {"params": {"strength": 0.1}}, {"encoder": Encoder(crf=40)}]
    facts = [make(model, job(tmp_path / str(i), **change)) for i, change in enumerate(changes)]
    assert len({f["frames_sha256"] for f in facts}) == len(changes)
    assert len({json.dumps(request(job(tmp_path, **change), model)) for change in changes}) == len(changes)


def test_shard_size_and_order_do_not_matter(tmp_path, model):
    def hashes(folder, sizes):
        jobs = [job(folder / f"{sizes[0]}", seed=seed) for seed in range(4)]
        while jobs:
            some, jobs = jobs[: sizes[0]], jobs[sizes[0] :]
            shard(toy.ToyModel(), some[::-1])
        return [frames_digest(path) for path in sorted(folder.rglob("*.mp4"))]

    assert hashes(tmp_path / "a", [1]) == hashes(tmp_path / "b", [3]) == hashes(tmp_path / "c", [4])


def test_a_longer_video_starts_with_the_shorter_one(tmp_path, model):
    lossless = Encoder(crf=0)
    short, long = (job(tmp_path / str(n), frames=n, encoder=lossless) for n in (6, 11))
    make(model, short), make(model, long)
    assert np.array_equal(frames(short.video), frames(long.video)[:6])


def test_a_control_shows_the_frames_of_the_native_clip(tmp_path, model):
    make(model, job(tmp_path, method="toy_looped", encoder=Encoder(crf=0)))
    shown = frames(tmp_path / "p1/seed-1.mp4").astype(int)
    assert len(shown) == 10
    assert np.abs(shown[:4] - shown[4:8]).max() <= 1


def test_a_retry_makes_only_what_is_missing(tmp_path, model):
    jobs = [job(tmp_path, seed=seed) for seed in range(3)]
    shard(model, jobs)
    jobs[1].video.unlink()
    calls, times = model.calls, {j.seed: j.sidecar.stat().st_mtime_ns for j in jobs}
    lines = []
    shard(model, jobs, lines.append)
    assert model.calls - calls == 12
    assert {s for s, t in times.items() if jobs[s].sidecar.stat().st_mtime_ns != t} == {1}
    assert [line.endswith("is there") for line in lines] == [True, False, True]


@pytest.mark.parametrize(
    "change", [{"params": {"strength": 2.0}}, {"prompt": "a dog"}, {"frames": 9}, {"encoder": Encoder(crf=11)}]
)
def test_another_request_makes_the_video_again(tmp_path, model, change):
    make(model, job(tmp_path))
    assert run.is_done(job(tmp_path), model)
    assert not run.is_done(job(tmp_path, **change), model)


def test_other_weights_make_the_video_again(tmp_path, model):
    make(model, job(tmp_path))
    model.digest = "other"
    assert not run.is_done(job(tmp_path), model)


def test_a_shard_that_dies_keeps_what_it_finished(tmp_path, model, monkeypatch):
    jobs = [job(tmp_path, seed=seed) for seed in range(3)]
    denoise, left = model.denoise, iter(range(17))

    def dies(*args, **options):
        if next(left, None) is None:
            raise RuntimeError("the machine is gone")
        return denoise(*args, **options)

    monkeypatch.setattr(model, "denoise", dies)
    with pytest.raises(RuntimeError, match="gone"):
        shard(model, jobs)
    assert [run.is_done(j, model) for j in jobs] == [True, False, False]
    assert sorted(p.name for p in tmp_path.rglob("[!.]*.*")) == ["seed-0.json", "seed-0.mp4"]


def test_an_endless_video_ends_where_it_is_stopped(tmp_path, model):
    seen = []
    facts = make(model, job(tmp_path, frames=None), progress=seen.append, stop=lambda: len(seen) == 3)
    assert facts["frames"] == sum(seen) == len(frames(tmp_path / "p1/seed-1.mp4")) == 12


def test_refuses_an_endless_video_of_a_finite_method(tmp_path, model):
    with pytest.raises(ValueError, match="toy_looped makes videos of a given length only"):
        make(model, job(tmp_path, method="toy_looped", frames=None))
    assert not list(tmp_path.iterdir())


def test_an_unknown_parameter_is_named_with_its_neighbour(tmp_path, model):
    with pytest.raises(ValueError, match="method 'toy_endless': unknown key 'strenght'; did you mean 'strength'"):
        make(model, job(tmp_path, params={"strenght": 1}))


def test_encoded_prompts_come_back(tmp_path, model):
    encoded = dict(zip("ab", model.encode(["a cat", 'a "dog" / $(x)\n😀']), strict=True))
    texts.save(tmp_path / "t.safetensors", encoded)
    back = texts.load([tmp_path / "t.safetensors"], ["a", "b"])
    for id, text in encoded.items():
        assert back[id].prompt == text.prompt
        assert back[id].positive.equal(text.positive) and back[id].negative.equal(text.negative)


class Killed(BaseException):
    """As sudden as a signal: nothing in the library catches it."""


@pytest.mark.parametrize("killed_after", [0, 1, 3, 5])
def test_a_killed_run_goes_on_where_it_was(tmp_path, model, monkeypatch, killed_after):
    whole = make(model, job(tmp_path / "whole", frames=24))
    keep, left = run.Spool.keep, iter(range(killed_after))

    def dies(*args):
        if next(left, None) is None:
            raise Killed
        keep(*args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run.Spool, "keep", dies)
        make(model, job(tmp_path / "killed", frames=24), checkpoint_every=2)
    killed = job(tmp_path / "killed", frames=24)
    assert not killed.video.exists() and not killed.sidecar.exists()
    facts = make(model, killed, checkpoint_every=2)
    assert facts["frames_sha256"] == whole["frames_sha256"]
    assert facts["trace"] == whole["trace"]
    assert facts["resumed_at"] == (killed_after * 4 or None)
    assert sorted(p.name for p in killed.video.parent.iterdir()) == ["seed-1.json", "seed-1.mp4"]


def test_a_checkpoint_of_another_video_is_refused(tmp_path, model, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run.Spool, "clear", lambda self: (_ for _ in ()).throw(Killed))
        make(model, job(tmp_path), checkpoint_every=2)
    with pytest.raises(ValueError, match=r"checkpoint of another video \(it differs in seed\)"):
        make(model, job(tmp_path, seed=2, video=tmp_path / "p1/seed-1.mp4"), checkpoint_every=2)


def test_a_shard_that_is_killed_goes_on_in_the_middle_of_its_video(tmp_path, model, monkeypatch):
    jobs = [job(tmp_path / "killed", frames=24, seed=seed, video=tmp_path / f"killed/{seed}.mp4") for seed in (1, 2)]
    whole = make(model, job(tmp_path / "whole", frames=24, seed=2))
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0)
    keep, left = run.Spool.keep, iter(range(6 + 3))  # all chunks of the first video, three of the second

    def dies(*args):
        if next(left, None) is None:
            raise Killed
        keep(*args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run.Spool, "keep", dies)
        shard(model, jobs)
    first = jobs[0].video.stat().st_mtime_ns
    shard(model, jobs)
    facts = json.loads(jobs[1].sidecar.read_text())
    assert facts["frames_sha256"] == whole["frames_sha256"] and facts["resumed_at"] == 12
    assert jobs[0].video.stat().st_mtime_ns == first


def test_what_a_video_of_another_request_left_behind_is_no_obstacle_for_a_shard(tmp_path, model, monkeypatch):
    monkeypatch.setattr(run, "CHECKPOINT_SECONDS", 0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run.Spool, "clear", lambda self: (_ for _ in ()).throw(Killed))
        shard(model, [job(tmp_path)])
    other = job(tmp_path, seed=2, video=tmp_path / "p1/seed-1.mp4")
    shard(model, [other])
    assert json.loads(other.sidecar.read_text())["resumed_at"] is None


def test_checkpoints_lie_seconds_apart(tmp_path, model, monkeypatch):
    saved = []
    monkeypatch.setattr(spool.checkpoint, "save", lambda *state: saved.append(state))
    make(model, job(tmp_path, frames=24), checkpoint_every=1, checkpoint_seconds=3600)
    assert not saved
