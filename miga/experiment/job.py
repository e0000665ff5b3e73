"""One video that is asked for, and all that decides its frames."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.parsing import Strict, parse
from miga.engine.base_model import BaseModel
from miga.engine.method import METHODS, Method, MethodConfig
from miga.experiment import start
from miga.experiment.digest import frames_digest
from miga.experiment.suite import Encoder


def configure(name: str, params: dict[str, Any]) -> tuple[Method, MethodConfig]:
    """A method with its parameters checked; `ValueError` names an unknown method or key and the nearest known one."""
    method = METHODS.get(name)
    return method, parse(method.config, params, f"method {name!r}")


class Job(Strict):
    """One video: where it stands in a suite and what makes it."""

    suite: str
    base: str
    entry: str
    method: str
    params: dict[str, Any] = {}
    prompt_id: str
    prompt: str
    then: tuple[str, ...] = ()  # further prompts of a video that changes over, for methods that take several
    start: Path | None = None  # an image, or a video that this one goes on from
    seed: int
    frames: int | None  # None: until interrupted
    encoder: Encoder = Encoder()
    video: Path | None = None  # None: its frames are only handed over

    @property
    def sidecar(self) -> Path:
        return self.video.with_suffix(".json")

    @cached_property
    def configured(self) -> tuple[Method, MethodConfig]:
        """The method with its parameters checked."""
        return configure(self.method, self.params)


def modules_of(model: BaseModel) -> list[str]:
    """Modules that decide what a base model does: of its class, and of the features that methods judge frames by."""
    features = getattr(model, "features_name", None)
    return [type(model).__module__, *([features.split(":")[0]] if features else [])]


def request(job: Job, model: BaseModel) -> dict[str, Any]:
    """All that decides the frames of a video, as it reads in a sidecar: an equal one need not be made again."""
    method, config = job.configured
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
        start_sha256=start.identity(job.start),
        seed=job.seed,
        frames_asked=job.frames,
        encoder=job.encoder.model_dump(),
        code=frames_digest(method.generate.__module__, *modules_of(model)),
    )
    return json.loads(json.dumps(facts))
