"""From a prompt to a video file with its sidecar: one at a time, or a shard of many with one loaded model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.files import replacing, write_json
from eval.parsing import Strict, known, parse
from miga.engine import checkpoint
from miga.engine.base_model import BaseModel, Text, Tokens
from miga.engine.method import METHODS, Method, MethodConfig
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace
from miga.experiment import video
from miga.experiment.digest import code_digest
from miga.experiment.experiment import Experiment
from miga.experiment.spool import Spool
from miga.experiment.suite import Encoder
from miga.models import registry


class Job(Strict):
    """One video: where it stands in a suite and what makes it."""

    suite: str
    base: str
    entry: str
    label: str | None = None
    method: str
    params: dict[str, Any] = {}
    prompt_id: str
    prompt: str
    then: tuple[str, ...] = ()  # further prompts of a video that changes over, for methods that take several
    seed: int
    frames: int | None  # None: until interrupted
    encoder: Encoder = Encoder()
    video: Path

    @property
    def sidecar(self) -> Path:
        return self.video.with_suffix(".json")


def configure(name: str, params: dict[str, Any]) -> tuple[Method, MethodConfig]:
    """A method with its parameters checked; `ValueError` names an unknown method or key and the nearest known one."""
    method = METHODS.get(name)
    return method, parse(method.config, params, f"method {name!r}")


def check(experiment: Experiment) -> None:
    """`ValueError` for an unknown base model, method, parameter or metric of a suite, before anything runs."""
    from eval.cards import NARRLV, of_videos

    metrics = {"vbench": of_videos(), "narrlv": NARRLV}
    for name, chosen in experiment.suite.prompts.items():
        for metric in chosen.metrics:
            known(metric, metrics[chosen.protocol], f"metric in the prompts {name!r}:")
    for entry in (experiment.entries | experiment.variants).values():
        configure(entry.method, entry.params)
    for base in experiment.suite.bases.values():
        if not Path(base.model).is_dir():
            options = registry.get(base.model).options
            chosen = {key: value for key, value in base.params.items() if key != "dtype"}
            parse(type(options), options.model_dump() | chosen, f"base model {base.model!r}")


def request(job: Job, model: BaseModel) -> dict[str, Any]:
    """All that decides the frames of a video, as it reads in a sidecar: an equal one need not be made again."""
    method, config = configure(job.method, job.params)
    facts = dict(
        method=method.name,
        version=method.card.version,
        params=config.model_dump(mode="json"),
        model=model.name,
        weights_sha256=model.digest,
        options=dict(model.options),
        precision=str(model.precision).removeprefix("torch."),
        prompt=job.prompt,
        then=job.then,
        seed=job.seed,
        frames=job.frames,
        encoder=job.encoder.model_dump(),
        code=code_digest("miga.experiment.run", method.generate.__module__),
    )
    return json.loads(json.dumps(facts))


def is_done(job: Job, model: BaseModel) -> bool:
    """Whether the video is there, with a sidecar of the same request."""
    try:
        return job.video.is_file() and json.loads(job.sidecar.read_text())["request"] == request(job, model)
    except (OSError, ValueError, KeyError):
        return False


@torch.inference_mode()
def frames_of(
    model: BaseModel,
    method: Method,
    config: MethodConfig,
    texts: Sequence[Text],
    num_frames: int | None,
    seed: int,
    trace: Trace,
    spool: Spool | None = None,
) -> Iterator[video.Frames]:
    """Decoded frames of a video as they come, `num_frames` in all; None: until the generator is closed.

    With a spool that found a checkpoint, the frames behind it come first, from disk.
    """
    decoder = model.decoder()
    num_latents = None if num_frames is None else model.latent_frames(num_frames)
    generation = method.generate(model, texts, num_latents, config, KeyedNoise(seed), trace)
    if method.arrange is not None:
        clip = np.concatenate([decoder.push(latents).cpu().numpy() for latents in generation])
        yield clip[list(method.arrange(len(clip), num_frames, seed))]
        return
    rest, taken, left = generation, 0, num_frames
    if spool and spool.found:
        rest, taken = checkpoint.resume(generation, spool.found), spool.found.latents
        decoder.restore(spool.found.decoder)
        if spool.found.generation is not None:  # else the method runs, and tells its story, from the beginning
            trace.events = spool.found.trace
        left = None if left is None else left - spool.found.frames
        yield from spool.replay()
    while left is None or left > 0:
        latents = next(rest, None)
        if latents is None:
            return
        frames = decoder.push(latents).cpu().numpy()[:left]
        taken += len(latents)
        left = None if left is None else left - len(frames)
        yield frames
        if spool:
            spool.keep(frames, taken, generation, decoder, trace)


def generate(
    job: Job,
    model: BaseModel,
    texts: Sequence[Text],
    progress: Callable[[int], None] = lambda frames: None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_every: int | None = None,
) -> dict[str, Any]:
    """Make one video and its sidecar; returns the sidecar. `texts` are the job's prompts, encoded.

    Video and sidecar appear under their names, one right after the other, when both are whole and the video has been
    read back; until then those that were there before stay. `progress` is told of new frames as
    they are written; where `stop` says so, the video ends there, properly closed. With `checkpoint_every` frames
    between checkpoints, a run that was killed resumes when it is asked for the same video again.
    """
    method, config = configure(job.method, job.params)
    method.check(model, texts, None if job.frames is None else model.latent_frames(job.frames))
    identity = request(job, model)
    trace, memory, calls, start = Trace(), PeakMemory(model.device), model.calls, time.perf_counter()
    with replacing(job.sidecar) as sidecar, video.VideoWriter(job.video, model.fps, job.encoder) as writer:
        spool = Spool(job.video, identity, checkpoint_every, model.device) if checkpoint_every else None
        for frames in frames_of(model, method, config, texts, job.frames, job.seed, trace, spool):
            writer.push(frames)
            progress(len(frames))
            if stop():
                break
        frames_sha256 = writer.finish()
        height, width = writer.size
        card = method.card
        facts = dict(
            suite=job.suite,
            base=job.base,
            entry=job.entry,
            method=method.name,
            label=job.label or card.label,
            version=card.version,
            control=card.control,
        sound=card.sound,
            port=card.is_port(model.stands_for),
            streaming=card.length == "infinite",
            params=config.model_dump(mode="json"),
            model=model.name,
            weights_sha256=model.digest,
            prompt_id=job.prompt_id,
            prompt=job.prompt,
            then=list(job.then),
            prompt_used=[text.prompt for text in texts],
            prompt_tokens=[text.tokens and text.tokens._asdict() for text in texts],
            seed=job.seed,
            frames=writer.frames,
            width=width,
            height=height,
            fps=model.fps,
            encoder=job.encoder.model_dump(),
            frames_sha256=frames_sha256,
            wall_seconds=round(time.perf_counter() - start, 3),
            model_calls=model.calls - calls,
            peak_memory_mb=memory.read(),
            device=str(model.device),
            trace=trace.events,
            resumed_at=spool.found.frames if spool and spool.found else None,
            request=identity,
        )
        write_json(sidecar, facts)
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
        if cut := texts[job.prompt_id].cut:
            log(f"{number}/{len(jobs)} {job.video}: note: {cut}")
        facts = generate(job, model, [texts[job.prompt_id]])
        log(f"{number}/{len(jobs)} {job.video}: {facts['wall_seconds']:.1f} s, {facts['model_calls']} model calls")


def save_texts(path: Path, texts: dict[str, Text]) -> None:
    """Encoded prompts by id, as safetensors; the guidance counterpart, common to all, once."""
    from safetensors.torch import save_file

    tensors = {f"positive/{id}": text.positive.cpu().contiguous() for id, text in texts.items()}
    tensors["negative"] = next(iter(texts.values())).negative.cpu().contiguous()
    said = {id: text.prompt for id, text in texts.items()}
    counted = {f"tokens/{id}": f"{text.tokens.had} {text.tokens.used}" for id, text in texts.items() if text.tokens}
    with replacing(path) as partial:
        save_file(tensors, partial, said | counted)


def load_texts(path: Path, ids: Iterable[str]) -> dict[str, Text]:
    """The encoded prompts of these ids."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        prompts, negative = file.metadata(), file.get_tensor("negative")
        tokens = {id: prompts[f"tokens/{id}"].split() for id in set(ids) if f"tokens/{id}" in prompts}
        return {
            id: Text(
                prompts[id],
                file.get_tensor(f"positive/{id}"),
                negative,
                Tokens(*map(int, tokens[id])) if id in tokens else None,
            )
            for id in set(ids)
        }


class PeakMemory:
    """Peak memory in MB since it was made: of the GPU on CUDA, else of this process (resident)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark again

    def read(self) -> float:
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 2**20, 1)
        try:
            status = Path("/proc/self/status").read_text()
            return round(int(status.split("VmHWM:")[1].split()[0]) / 2**10, 1)
        except (OSError, IndexError):
            import resource

            return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)
