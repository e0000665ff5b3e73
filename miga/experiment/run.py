"""From a prompt to a video file with its sidecar: one at a time, or a shard of many with one loaded model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from eval.files import write_json
from eval.records import Sidecar
from miga.engine.base_model import BaseModel, Text
from miga.engine.trace import Trace
from miga.experiment import video
from miga.experiment.frames import frames_of
from miga.experiment.job import Job, request
from miga.experiment.measure import PeakMemory
from miga.experiment.spool import Spool


def is_done(job: Job, model: BaseModel) -> bool:
    """Whether the video is there, with a sidecar of the same request."""
    try:
        found = json.loads(job.sidecar.read_text())
        return job.video.is_file() and all(found[key] == value for key, value in request(job, model).items())
    except (OSError, ValueError, KeyError):
        return False


def generate(
    job: Job,
    model: BaseModel,
    texts: Sequence[Text],
    progress: Callable[[int], None] = lambda frames: None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int | None = None,
) -> dict[str, Any]:
    """Make one video and its sidecar; returns the sidecar. `texts` are the job's prompts, encoded.

    The video appears under its name when it is whole, and its sidecar after it. `progress` is told of new frames as
    they are written; where `stop` says so, the video ends there, properly closed. With `checkpoint_every` frames
    between checkpoints, a run that was killed goes on where it was when it is asked for the same video again.
    """
    method, config = job.configured
    method.check(model, texts, None if job.frames is None else model.latent_frames(job.frames))
    asked = request(job, model)
    trace, memory, calls, start = Trace(), PeakMemory(model.device), model.calls, time.perf_counter()
    with video.VideoWriter(job.video, model.fps, job.encoder) as writer:
        job.sidecar.unlink(missing_ok=True)
        spool = Spool(job.video, asked, checkpoint_every, model.device) if checkpoint_every else None
        for frames in frames_of(model, method, config, texts, job.frames, job.seed, trace, spool):
            writer.push(frames)
            progress(len(frames))
            if stop():
                break
    height, width = writer.size
    card = method.card
    facts = Sidecar(
        suite=job.suite,
        base=job.base,
        entry=job.entry,
        prompt_id=job.prompt_id,
        **asked,
        control=card.control,
        port=card.is_port(model.stands_for),
        streaming=card.length == "infinite",
        prompt_used=[text.prompt for text in texts],
        frames=writer.frames,
        width=width,
        height=height,
        fps=model.fps,
        frames_sha256=video.hash_frames(job.video),
        wall_seconds=round(time.perf_counter() - start, 3),
        model_calls=model.calls - calls,
        peak_memory_mb=memory.read(),
        device=str(model.device),
        trace=trace.events,
        resumed_at=spool.found.frames if spool and spool.found else None,
    ).model_dump()
    write_json(job.sidecar, facts)
    if spool:
        spool.clear()
    return facts


def run_shard(
    jobs: Sequence[Job], model: BaseModel, texts: dict[str, Text], log: Callable[[str], None] = print
) -> None:
    """Make the videos of a shard that are not done yet. `texts` by prompt id. What is finished survives a failure."""
    for number, job in enumerate(jobs, 1):
        if is_done(job, model):
            log(f"{number}/{len(jobs)} {job.video}: is there")
            continue
        facts = generate(job, model, [texts[job.prompt_id]])
        log(f"{number}/{len(jobs)} {job.video}: {facts['wall_seconds']:.1f} s, {facts['model_calls']} model calls")
