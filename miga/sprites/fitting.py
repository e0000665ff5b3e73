"""A small resumable training loop: AdamW and Muon, warm-up then constant then linear decay, averaging, loss curve.

Every random number of a step comes from a generator seeded by (seed, step), so a training that was interrupted and
resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import csv
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eval.files import replacing


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    rate: float = 1e-3  # of AdamW, the peak
    matrix_rate: float = 2e-3  # of Muon, the peak
    warmup: int = 200
    decay: float = 0.25  # share of the steps, at the end, over which the rate falls linearly to 2 % of its peak
    average: float = 0.999  # decay of the exponential moving average of the weights
    weight_decay: float = 1e-2
    clip: float = 1.0  # largest norm of the gradient
    seed: int = 0
    save_minutes: float = 3.0

    def share_at(self, step: int) -> float:
        """Share of the peak rates at a step."""
        tail = max(1, round(self.steps * self.decay))
        left = (self.steps - step) / tail
        return min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.02, left))


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
    matrices: Sequence[nn.Parameter] = (),
) -> nn.Module:
    """Train `network` in place and leave it with the averaged weights.

    `matrices` are the parameters that Muon trains, the linear maps inside a transformer's blocks: it learns fine detail
    in fewer steps than AdamW, which trains all others.

    `loss_of(generator, step)` draws its own batch from the generator of the step. Progress is kept in
    `folder`/checkpoint.pt and the loss curve in `folder`/loss.csv (step, loss averaged over the interval, seconds so
    far); calling again with the same folder resumes. `until` stops early, as an interruption would.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizers = _optimizers(network, matrices, schedule)
    averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
    step, curve, spent = _restore(folder / "checkpoint.pt", network, averaged, optimizers)
    started = saved = time.monotonic()
    recent: list[float] = []
    last = min(schedule.steps, until if until is not None else schedule.steps)
    while step < last:
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["initial_lr"] * schedule.share_at(step)
        loss = loss_of(step_generator(schedule.seed, step), step)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)
        for optimizer in optimizers:
            optimizer.step()
        network.zero_grad(set_to_none=True)
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
            _save(folder, network, averaged, optimizers, step, curve, spent + now - started)
            saved = now
    network.load_state_dict(averaged)
    return network


def _optimizers(
    network: nn.Module, matrices: Sequence[nn.Parameter], schedule: Schedule
) -> list[torch.optim.Optimizer]:
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    found = [torch.optim.AdamW(others, lr=schedule.rate, weight_decay=schedule.weight_decay)]
    if matrices:
        found.append(
            torch.optim.Muon(
                matrices,
                lr=schedule.matrix_rate,
                weight_decay=schedule.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    for group in (group for optimizer in found for group in optimizer.param_groups):
        group["initial_lr"] = group["lr"]
    return found


@torch.no_grad()
def _average(averaged: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    state = network.state_dict()
    floating = [name for name, value in averaged.items() if value.is_floating_point()]
    torch._foreach_lerp_([averaged[n] for n in floating], [state[n] for n in floating], 1 - decay)


def _save(folder: Path, network: nn.Module, averaged, optimizers, step: int, curve: list, seconds: float) -> None:
    """Write the checkpoint beside the old one and swap, so that a kill never leaves half a file."""
    state = {
        "network": network.state_dict(),
        "averaged": averaged,
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
        "curve": curve,
        "seconds": seconds,
    }
    with replacing(folder / "checkpoint.pt") as partial:
        torch.save(state, partial)
    with replacing(folder / "loss.csv") as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "seconds"))
        writer.writerows((step, f"{loss:.6f}", f"{seconds:.1f}") for step, loss, seconds in curve)


def kept(path: Path) -> Any:
    """What a training has kept in a file; `ValueError` that names it where nobody can read it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{path}: cannot be read ({reason}); remove it, and it is made again") from None


def _restore(path: Path, network: nn.Module, averaged, optimizers) -> tuple[int, list, float]:
    if not path.exists():
        return 0, [], 0.0
    state = kept(path)
    network.load_state_dict(state["network"])
    for optimizer, said in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(said)
    for name, value in state["averaged"].items():
        averaged[name].copy_(value)
    return state["step"], [tuple(row) for row in state["curve"]], state["seconds"]
