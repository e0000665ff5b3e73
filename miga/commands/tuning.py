"""MIGA's constants on a base model by measurement: each varied alone around a preset, scored on prompts of its own.

A row is a method with parameters; every row makes the same prompts and seeds, so that rows are compared in pairs. What
is measured is kept per video, and measured again only where the code, the weights or what was asked has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from eval.benchmark import Prompt
from eval.metric import Metric, NotDefined, card
from eval.statistics import Estimate, difference, estimate
from eval.tables import CALLS, Cell, Row, Table
from eval.vbench.metrics import measured, parts_of
from eval.vbench.score import Backbones, observe
from miga.engine.base_model import BaseModel, Text
from miga.engine.method import METHODS
from miga.engine.queue import LatentQueue
from miga.engine.trace import Trace
from miga.engine.windows import Window
from miga.experiment.frames import frames_of
from miga.experiment.job import Job, configure, request
from miga.experiment.plan import Blank, Silence

CHUNK = 16  # frames that are scored together
CLEANER = Metric("cleaner_context", "Cleaner context", "Cleaner",
                 "Of the frames that a window reads, the share that is cleaner than the frame that it steps; where a "
                 "window has one noise level only, it does not count.",
                 0, 1, True, ranked=False, digits=0)  # fmt: skip
SPAN = Metric("noise_span", "Noise span", "Span",
              "How much of the noise range 0..1 (the noise's share of a frame) a window spans, where it spans any.",
              0, 1, False, ranked=False, digits=0)  # fmt: skip
COLUMNS = (CALLS, CLEANER, SPAN)
KEY = ["entry", "prompt_id", "seed", "metric"]
DEAREST = 2  # times the calls of the reference that a choice may take


@dataclass(frozen=True)
class Trial:
    """A row: its sweep, the words for it there, and what makes it."""

    sweep: str
    words: str
    method: str
    params: Mapping[str, Any]

    @property
    def entry(self) -> str:
        """Rows with the same name are the same row, in whatever sweep."""
        return f"{self.method} {json.dumps(dict(self.params), sort_keys=True)}"


REFERENCE = Trial("methods", "FIFO-Diffusion", "fifo_diffusion", {})


def presets() -> tuple[str, ...]:
    return get_args(METHODS.get("miga").config.model_fields["preset"].annotation)


def trials(window: int, levels: int, preset: str) -> list[Trial]:
    """All rows for a base model: the methods, then each constant alone around the preset.

    Searches are off but for the sweep of delta, which is what they answer to: they cost more than all else. Without
    guides a window may step all of its frames, so strides are tried so.
    """
    sizes = sorted({max(round(window * share), 1) for share in (0, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1)})
    guides = [size for size in sizes if 2 * size <= window]
    quiet = dict(preset=preset, reflection="off")
    plain = quiet | dict(guidance="none")
    rows = [
        REFERENCE,
        *(Trial("methods", name, "miga", dict(preset=name)) for name in presets()),
        Trial("methods", f"{preset}, no searches", "miga", quiet),
    ]
    rows += [Trial("l_zig", f"L = {n}", "miga", quiet | dict(l_zig=n)) for n in sizes]
    rows += [Trial("stride", f"s = {n}", "miga", plain | dict(stride=n)) for n in sizes]
    rows.append(Trial("guidance", "none", "miga", plain))
    for policy in ("prefix_uniform", "comb", "head", "adjacent"):
        for n in guides:
            chosen = dict(guidance=policy, m_guid=n, stride=min(window // 2, window - n))
            rows.append(Trial("guidance", f"{policy}, m = {n}", "miga", quiet | chosen))
    ends = sorted({round(levels * share) for share in (0, 1 / 10, 1 / 5, 2 / 5)})
    rows += [Trial("unified", f"e = {n}", "miga", quiet | dict(unified_levels=n)) for n in ends]
    deltas = (0.0, 0.01, 0.05)
    rows += [Trial("delta", f"δ = {d:g}", "miga", dict(preset=preset, delta=d)) for d in deltas if preset == "paper"]
    return rows


def of_your_own(texts: Sequence[str]) -> list[Trial]:
    """Rows that a person asks for, each the JSON of MIGA's parameters."""
    rows = []
    for text in texts:
        try:
            params = json.loads(text)
        except ValueError:
            params = None
        if not isinstance(params, dict):
            raise ValueError(f"--also {text}: give MIGA's parameters as JSON, such as '{{\"m_guid\": 3}}'")
        rows.append(Trial("also", ", ".join(f"{k} {v}" for k, v in params.items()), "miga", params))
    return rows


class Contexts(Trace):
    """A trace that also keeps what the stepped frames of a queue see, a number per window of several noise levels."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        one = torch.ones(model.solver.num_levels, 1, 1, 1, dtype=model.dtype)
        levels = torch.arange(model.solver.num_levels)
        self.noise = model.solver.add_noise(0 * one, levels, one).flatten()
        self.noise = self.noise / (self.noise + model.solver.add_noise(one, levels, 0 * one).flatten())
        self.cleaner: list[float] = []
        self.spans: list[float] = []

    def sweep(self, stage: str, queue: LatentQueue, plan: Sequence[Window]) -> None:
        super().sweep(stage, queue, plan)
        for window in plan:
            levels = queue.levels[list(window.frames)].clamp(min=0)
            if levels.min() < levels.max():
                self.cleaner.append(float((levels < levels[window.kept, None]).double().mean()))
                self.spans.append(float(self.noise[levels.max()] - self.noise[levels.min()]))

    @property
    def values(self) -> dict[str, float | None]:
        """Both columns, each the mean over windows."""
        both = ((CLEANER, self.cleaner), (SPAN, self.spans))
        return {column.name: float(np.mean(found)) if found else None for column, found in both}


class Measurements:
    """What has been measured, a line of JSON per video in a file that only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        if path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    row = json.loads(line)
                    self.found[row["key"]] = row
                except (ValueError, KeyError, TypeError):
                    raise ValueError(f"{path}, line {number}: no measurement; move the file away") from None

    def add(self, row: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.found[row["key"]] = row


def measure(
    model: BaseModel,
    rows: Sequence[Trial],
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    frames: int,
    metrics: Sequence[str],
    networks: Backbones,
    kept: Measurements,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """The long table of all rows: base, entry, prompt_id, seed, metric, value; calls per frame are a metric too.

    A row whose constants do not fit the base model is said and left out.
    """
    texts = dict(zip((p.id for p in prompts), model.encode([p.prompt for p in prompts]), strict=True))
    found, different = [], {row.entry: row for row in rows}
    for number, row in enumerate(different.values(), 1):
        try:
            values = list(of_row(model, row, prompts, texts, seeds, frames, metrics, networks, kept))
        except ValueError as error:
            say(f"{number}/{len(different)} {row.sweep}: {row.words}: left out: {error}")
            continue
        means = pd.DataFrame(values).groupby("metric", sort=False)["value"].mean()
        shown = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        say(f"{number}/{len(different)} {row.sweep}: {row.words}: {shown}")
        found += values
    return pd.DataFrame(found)


def of_row(
    model: BaseModel,
    row: Trial,
    prompts: Sequence[Prompt],
    texts: Mapping[str, Text],
    seeds: Sequence[int],
    frames: int,
    metrics: Sequence[str],
    networks: Backbones,
    kept: Measurements,
) -> Iterator[dict[str, Any]]:
    for prompt in prompts:
        for seed in seeds:
            job = Job(
                suite="tune", base=model.name, entry="row", method=row.method, params=dict(row.params),
                prompt_id=prompt.id, prompt=prompt.prompt, seed=seed, frames=frames,
            )  # fmt: skip
            asked = request(job, model) | dict(metrics=list(metrics), networks=networks.version)
            key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
            if key not in kept.found:
                kept.add({"key": key, "row": row.entry, "prompt": prompt.id, "seed": seed}
                         | of_video(model, job, texts[prompt.id], metrics, networks))  # fmt: skip
            for metric, value in kept.found[key]["values"].items():
                yield dict(base=model.name, entry=row.entry, prompt_id=prompt.id, seed=seed, metric=metric, value=value)


def of_video(
    model: BaseModel, job: Job, text: Text, metrics: Sequence[str], networks: Backbones
) -> dict[str, dict[str, float | None]]:
    """Make one video and score it; it is not kept."""
    method, config = job.configured
    method.check(model, [text], model.latent_frames(job.frames))
    calls, seen_by = model.calls, Contexts(model)
    video = np.concatenate(list(frames_of(model, method, config, [text], job.frames, job.seed, seen_by)))
    values: dict[str, float | None] = {CALLS.name: (model.calls - calls) / len(video)}
    values |= seen_by.values
    about = dict(fps=model.fps, prompt=job.prompt)
    seen = observe(torch.from_numpy(video).split(CHUNK), networks, parts_of(metrics), **about)
    for metric in metrics:
        try:
            values[metric] = measured(metric, seen)[0]
        except NotDefined:
            values[metric] = None
    return {"values": values}


def planned(model: Blank, rows: Sequence[Trial], frames: int, say: Callable[[str], None] = print) -> pd.DataFrame:
    """What the windows of every row see and what it costs, from its schedule alone: no network is run.

    The columns are those of `measure`, with one prompt. No score falls on a stand-in, so `delta` starts no search.
    """
    found = []
    for row in rows:
        method, config = configure(row.method, dict(row.params))
        calls, seen_by, texts = model.calls, Contexts(model), model.encode(["any"])
        latents = model.latent_frames(frames)
        try:
            method.check(model, texts, latents)
            for _ in method.generate(model, texts, latents, config, Silence(0), seen_by):
                pass
        except ValueError as error:
            say(f"{row.sweep}: {row.words}: left out: {error}")
            continue
        values = {CALLS.name: (model.calls - calls) / frames, **seen_by.values}
        found += [dict(base=model.name, entry=row.entry, prompt_id="any", seed=0, metric=metric, value=value)
                  for metric, value in values.items()]  # fmt: skip
    return pd.DataFrame(found).drop_duplicates(KEY)


# ------------------------------------------------------------------------------------------------------ what it says


def gain(scores: pd.DataFrame, entry: str, other: str, metrics: Sequence[str]) -> Estimate:
    """The mean of the metrics, one row minus another, paired."""
    parts = dict(list(scores.groupby("entry")))
    return difference(parts[entry], parts[other], metrics)


def best(scores: pd.DataFrame, entries: Sequence[str], metrics: Sequence[str]) -> str:
    """The row with the highest mean of the metrics among those of at most `DEAREST` times the reference's calls."""
    table = scores.pivot_table(index="entry", columns="metric", values="value")
    allowed = DEAREST * table.at[REFERENCE.entry, CALLS.name] if REFERENCE.entry in table.index else np.inf
    affordable = [name for name in entries if table.at[name, CALLS.name] <= allowed] or list(entries)
    return max(affordable, key=lambda name: table.loc[name, list(metrics)].mean())


def combined(scores: pd.DataFrame, rows: Sequence[Trial], metrics: Sequence[str], preset: str) -> Trial:
    """The best value of every sweep together; a guidance policy brings its stride."""
    params: dict[str, Any] = dict(preset=preset, reflection="off")
    for sweep in ("l_zig", "stride", "unified", "guidance"):
        choice = {row.entry: row for row in rows if row.sweep == sweep and row.entry in set(scores["entry"])}
        if choice:
            found = choice[best(scores, list(choice), metrics)].params
            params |= {name: value for name, value in found.items() if (name, value) != ("guidance", "none")}
    return Trial("chosen", "the best of every sweep", "miga", params)


def tables(scores: pd.DataFrame, rows: Sequence[Trial], metrics: Sequence[str], preset: str, note: str) -> list[Table]:
    """A table per sweep: each row with the mean of each metric and its interval, the calls, what the windows see."""
    parts = dict(list(scores.groupby("entry")))
    base, columns, made = scores["base"].iloc[0], (*map(card, metrics), *COLUMNS), []
    for sweep in dict.fromkeys(row.sweep for row in rows if row.entry in parts):
        lines = []
        for row in (row for row in rows if row.sweep == sweep and row.entry in parts):
            cells = {column.name: Cell(estimate(parts[row.entry], [column.name])) for column in columns}
            lines.append(Row(base, row.entry, (base, row.words), cells))
        title = f"{base}: {sweep}, around {preset}"
        made.append(Table(sweep, title, ("Base", "Constants"), columns, tuple(lines), (note,)))
    return made


def differences(scores: pd.DataFrame, rows: Sequence[Trial], metrics: Sequence[str], preset: str) -> list[Table]:
    """Every row minus FIFO-Diffusion, and minus the preset where that was measured: means of pairs, intervals."""
    parts = dict(list(scores.groupby("entry")))
    base, columns, made = scores["base"].iloc[0], (*map(card, metrics), CALLS), []
    different = {row.entry: row for row in rows if row.entry in parts}
    for other in (REFERENCE, Trial("methods", preset, "miga", dict(preset=preset))):
        lines = []
        for row in (row for row in different.values() if other.entry in parts and row.entry != other.entry):
            both = parts[row.entry], parts[other.entry]
            cells = {column.name: Cell(difference(*both, [column.name])) for column in columns}
            lines.append(Row(base, row.entry, (base, f"{row.sweep}: {row.words}"), cells))
        if lines:
            title = f"{base}: minus {other.words}, paired"
            made.append(Table(f"minus_{other.words}", title, ("Base", "Constants"), columns, tuple(lines)))
    return made
