"""A small resumable training loop: AdamW, warm-up then constant then linear decay, weight averaging, loss curve.

Every random number of a step comes from a generator seeded by (seed, step), so a training that was interrupted and
resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.25  # share of the steps, at the end, over which the rate falls linearly to 2 % of its peak
    average: float = 0.999  # decay of the exponential moving average of the weights
    weight_decay: float = 1e-2
    clip: float = 1.0  # largest norm of the gradient
    seed: int = 0
    save_minutes: float = 3.0

    def rate_at(self, step: int) -> float:
        tail = max(1, round(self.steps * self.decay))
        left = (self.steps - step) / tail
        return self.rate * min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.02, left))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step (CPU generator; move what it draws to the device)."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (2**63))


def fit(
    network: nn.Module,
    loss_of: Callable[[torch.Generator, int], torch.Tensor],
    schedule: Schedule,
    folder: Path,
    *,
    until: int | None = None,
) -> nn.Module:
    """Train `network` in place and leave it with the averaged weights.

    `loss_of(generator, step)` draws its own batch from the generator of the step. Progress is kept in
    `folder`/checkpoint.pt and the loss curve in `folder`/loss.csv (step, loss averaged over the interval, seconds so
    far); calling again with the same folder resumes. `until` stops early, as an interruption would.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step, curve, spent = _restore(folder / "checkpoint.pt", network, averaged, optimizer)
    started = saved = time.monotonic()
    recent: list[float] = []
    last = min(schedule.steps, until if until is not None else schedule.steps)
    while step < last:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(step)
        loss = loss_of(step_generator(schedule.seed, step), step)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        _average(averaged, network, min(schedule.average, (1 + step) / (10 + step)))
        recent.append(loss.item())
        now = time.monotonic()
        if step % 50 == 0 or step == last:
            curve.append((step, sum(recent) / len(recent), spent + now - started))
            recent = []
            print(
                f"{folder.name}: step {step}/{schedule.steps} loss {curve[-1][1]:.5f} {curve[-1][2]:.0f} s", flush=True
            )
        if now - saved > 60 * schedule.save_minutes or step == last:
            _save(folder, network, averaged, optimizer, step, curve, spent + now - started)
            saved = now
    network.load_state_dict(averaged)
    return network


@torch.no_grad()
def _average(averaged: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    state = network.state_dict()
    floating = [name for name, value in averaged.items() if value.is_floating_point()]
    torch._foreach_lerp_([averaged[n] for n in floating], [state[n] for n in floating], 1 - decay)


def _save(folder: Path, network: nn.Module, averaged, optimizer, step: int, curve: list, seconds: float) -> None:
    """Write the checkpoint beside the old one and swap, so that a kill never leaves half a file."""
    state = {
        "network": network.state_dict(),
        "averaged": averaged,
        "optimizer": optimizer.state_dict(),
        "step": step,
        "curve": curve,
        "seconds": seconds,
    }
    torch.save(state, folder / "checkpoint.tmp")
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.pt")
    with open(folder / "loss.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "seconds"))
        writer.writerows((step, f"{loss:.6f}", f"{seconds:.1f}") for step, loss, seconds in curve)


def _restore(path: Path, network: nn.Module, averaged, optimizer) -> tuple[int, list, float]:
    if not path.exists():
        return 0, [], 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    for name, value in state["averaged"].items():
        averaged[name].copy_(value)
    return state["step"], [tuple(row) for row in state["curve"]], state["seconds"]
