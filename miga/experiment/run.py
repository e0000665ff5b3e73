"""From a prompt to a video file with its sidecar: one at a time, or a shard of many with one loaded model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

from eval.files import replacing, write_json
from eval.records import Sidecar
from miga.engine.base_model import BaseModel, Text
from miga.engine.trace import Trace
from miga.experiment import start, video
from miga.experiment.frames import frames_of
from miga.experiment.job import Job, request
from miga.experiment.measure import PeakMemory
from miga.experiment.spool import Spool, forget
from miga.experiment.texts import names_of
from miga.experiment.video import Frames

CHECKPOINT_SECONDS = 300  # of work that a shard which is ended may lose


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
    checkpoint_seconds: float = 0.0,
) -> dict[str, Any]:
    """Make one video and its sidecar, as `stream` does; returns the sidecar.

    `progress` is told of new frames as they are written; where `stop` says so, a video without an end ends there.
    """
    with closing(stream(job, model, texts, checkpoint_every, checkpoint_seconds)) as making:
        for frames in making:
            progress(len(frames))
            if job.frames is None and stop():
                break
    return json.loads(job.sidecar.read_text(encoding="utf-8"))


def stream(
    job: Job,
    model: BaseModel,
    texts: Sequence[Text],
    checkpoint_every: int | None = None,
    checkpoint_seconds: float = 0.0,
) -> Generator[Frames, None, None]:
    """The frames of one video as they come; where the job says where it stands, they are written before they are given.

    Video and sidecar appear under their names, one right after the other, when the last frame was taken, both are whole
    and the video has been read back; until then those that were there before stay. A video without an end ends, and
    stays, where the generator is closed; any other that is closed early is dropped. With `checkpoint_every` frames
    between checkpoints, and so many seconds at least, a run that was killed resumes when it is asked for the same video
    again.

    `texts` are the job's prompts, encoded. `ValueError` at once for what the method's card excludes.
    """
    method, config = job.configured
    method.check(model, texts, None if job.frames is None else model.latent_frames(job.frames))
    if job.start is not None:
        model = model.with_start(start.latents_of(job.start, model))
    if job.video is None:
        return frames_of(model, method, config, texts, job.frames, job.seed, Trace())
    return written(job, model, texts, checkpoint_every, checkpoint_seconds)


def written(
    job: Job,
    model: BaseModel,
    texts: Sequence[Text],
    checkpoint_every: int | None,
    checkpoint_seconds: float,
) -> Generator[Frames, None, None]:
    """Write what `frames_of` gives, and give it on; then the sidecar, of what was asked and what came of it."""
    (method, config), asked = job.configured, request(job, model)
    trace, memory, calls, began = Trace(), PeakMemory(model.device), model.calls, time.perf_counter()
    with replacing(job.sidecar) as sidecar, video.VideoWriter(job.video, model.fps, job.encoder) as writer:
        spool = None
        if checkpoint_every:
            spool = Spool(job.video, asked, checkpoint_every, model.device, checkpoint_seconds)
        for frames in frames_of(model, method, config, texts, job.frames, job.seed, trace, spool):
            writer.push(frames)
            given, others = time.perf_counter(), model.calls
            try:
                yield frames
            except GeneratorExit:
                if job.frames is not None:
                    raise
                break
            finally:  # what the caller does meanwhile is no cost of this video
                began += time.perf_counter() - given
                calls += model.calls - others
        frames_sha256 = writer.finish()
        height, width = writer.size
        card = method.card
        facts = Sidecar(
            suite=job.suite,
            base=job.base,
            entry=job.entry,
            prompt_id=job.prompt_id,
            **asked,
            control=card.control,
            sound=card.sound,
            port=card.is_port(model.stands_for),
            streaming=card.length == "infinite",
            start=job.start and job.start.name,
            prompt_used=[text.prompt for text in texts],
            prompt_tokens=[text.tokens and text.tokens._asdict() for text in texts],
            frames=writer.frames,
            width=width,
            height=height,
            fps=model.fps,
            frames_sha256=frames_sha256,
            wall_seconds=round(time.perf_counter() - began, 3),
            model_calls=model.calls - calls,
            peak_memory_mb=memory.read(),
            device=str(model.device),
            trace=trace.events,
            resumed_at=spool.found.frames if spool and spool.found else None,
        ).model_dump()
        write_json(sidecar, facts)
    if spool:
        spool.clear()


def run_shard(
    jobs: Sequence[Job], model: BaseModel, texts: dict[str, Text], log: Callable[[str], None] = print
) -> None:
    """Make the videos of a shard that are not done yet. `texts` by `names_of` their prompts. What is finished survives
    a failure, and of a video in flight what is older than `CHECKPOINT_SECONDS`."""
    for number, job in enumerate(jobs, 1):
        if is_done(job, model):
            log(f"{number}/{len(jobs)} {job.video}: is there")
            continue
        own = [texts[name] for name in names_of(job.prompt_id, job.then)]
        for text in own:
            if text.cut:
                log(f"{number}/{len(jobs)} {job.video}: note: {text.cut}")
        forget(job.video, request(job, model))
        facts = generate(job, model, own, checkpoint_every=1, checkpoint_seconds=CHECKPOINT_SECONDS)
        log(f"{number}/{len(jobs)} {job.video}: {facts['wall_seconds']:.1f} s, {facts['model_calls']} model calls")
