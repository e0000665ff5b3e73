"""A generation that is saved, killed and resumed gives the same numbers; a checkpoint of another video is refused."""

import signal
import subprocess
import sys
from itertools import islice

import pytest
import torch

from miga.engine import checkpoint
from miga.engine.checkpoint import Checkpoint
from miga.engine.method import METHODS
from miga.engine.noise import KeyedNoise
from miga.engine.queue import LatentQueue
from miga.engine.trace import Trace
from tests.miga.toy import ToyModel

STREAMS = {
    "miga": ("miga", {}),
    "miga, re-denoised as a stream": ("miga", dict(delta=0.0, update="in_place")),
    "miga without a unified stage": ("miga", dict(unified_levels=0)),
    "miga without TTA": ("miga", dict(tta=False, n_samp=2)),
    "miga with a budget": ("miga", dict(preset="adaptive", budget=0.8)),
    "fifo_diffusion": ("fifo_diffusion", {}),
}
IDENTITY = dict(method="miga", seed=1)


def generation(name, params, flow=False, trace=None):
    model, method = ToyModel(flow), METHODS.get(name)
    config = method.config(**params)
    return method.generate(model, model.encode(["a"]), 26, config, KeyedNoise(1), trace or Trace())


def snapshot(run, taken, trace=None, identity=IDENTITY):
    return Checkpoint(identity, taken, taken, checkpoint.state(run), {}, (trace or Trace()).events)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("case", STREAMS)
def test_resumed_anywhere_it_ends_the_same(case, flow, tmp_path):
    name, params = STREAMS[case]
    trace = Trace()
    whole = list(generation(name, params, flow, trace))
    for stop in range(1, len(whole), max(len(whole) // 3, 1)):
        first, before = Trace(), Trace()
        run = generation(name, params, flow, first)
        begun = list(islice(run, stop))
        checkpoint.save(tmp_path / "state", snapshot(run, sum(map(len, begun)), first))
        found = checkpoint.load(tmp_path / "state", IDENTITY)
        again = checkpoint.resume(generation(name, params, flow, before), found)
        before.events = found.trace
        rest = list(again)
        assert torch.equal(torch.cat(begun + rest), torch.cat(whole))
        assert before.events == trace.events


def test_a_finite_method_is_run_again_and_skipped():
    whole = torch.cat(list(generation("direct", {})))
    run = generation("direct", {})
    rest = list(checkpoint.resume(generation("direct", {}), snapshot(run, 10)))
    assert torch.equal(torch.cat(rest), whole[10:])


KILLED = """
import os, signal, sys
from miga.engine import checkpoint
from tests.miga.engine.test_checkpoint import generation, snapshot
run = generation("miga", {})
for number, chunk in enumerate(run):
    checkpoint.save(sys.argv[1], snapshot(run, 0))
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_and_started_again(tmp_path):
    path = tmp_path / "state"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    whole = list(generation("miga", {}))
    rest = list(checkpoint.resume(generation("miga", {}), checkpoint.load(path, IDENTITY)))
    assert torch.equal(torch.cat(whole[:3] + rest), torch.cat(whole))
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_there_may_be_no_checkpoint(tmp_path):
    assert checkpoint.load(tmp_path / "nothing", IDENTITY) is None


def test_a_checkpoint_of_another_video_is_refused(tmp_path):
    run = generation("miga", {})
    next(run)
    checkpoint.save(tmp_path / "state", snapshot(run, 2))
    with pytest.raises(ValueError, match=r"checkpoint of another video \(it differs in seed\)"):
        checkpoint.load(tmp_path / "state", IDENTITY | dict(seed=2))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_broken_checkpoint_is_named(content, tmp_path):
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is not a usable checkpoint"):
        checkpoint.load(path, IDENTITY)


FOREIGN = """
import sys
import tests.miga.engine.test_checkpoint as here
try:
    here.checkpoint.load(sys.argv[1], here.IDENTITY)
except ValueError as error:
    print(error)
"""


def test_a_checkpoint_of_a_method_that_is_not_loaded_is_one_sentence(tmp_path):
    from baselines.scalingnoise.search import Beam  # here, so that the other process does not know it

    path = tmp_path / "state"
    beam = Beam(LatentQueue.of(ToyModel().solver, torch.zeros(2, 4, 2, 3), 3, 0), torch.zeros(3), [])
    checkpoint.save(path, Checkpoint(IDENTITY, 1, 1, dict(search=dict(beams=[beam])), {}, {}))
    assert checkpoint.load(path, IDENTITY).generation["search"]["beams"][0].queue.ids.tolist() == [0, 1]
    told = subprocess.run([sys.executable, "-c", FOREIGN, str(path)], capture_output=True, text=True)
    assert told.stdout.strip() == (
        f"{path} is not a usable checkpoint (it is broken, or of another method); delete it to start from the beginning"
    ), told.stderr
