"""DDIM and flow UniPC as pure functions of (model output, sample, level, history, noise), one level per frame.

Both solvers index their tables by level: 0 is the cleanest level that still takes a step, `num_levels - 1` the
noisiest. A step takes a frame from level l to l - 1; after the step at level 0 it is finished (level -1). Coefficients
are tabulated in float64 and gathered per frame, so a step is a handful of tensor operations for any mixture of levels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

History = dict[str, Tensor]  # what a solver remembers of each frame; every tensor leads with the frame axis


class Stepped(NamedTuple):
    """Result of a step: the sample one level cleaner, the clean prediction made on the way, the frames' history."""

    sample: Float[Tensor, "f c h w"]
    clean: Float[Tensor, "f c h w"]
    history: History


class Solver(ABC):
    """A table of noise levels and the step between neighbours."""

    num_levels: int
    timesteps: Int[Tensor, " levels"]  # the network's timestep at each level
    stochastic: bool  # whether a step uses noise
    finished: int = -1  # level at which nothing remains to be done; 0 where the step at level 0 is the identity

    @abstractmethod
    def with_levels(self, num_levels: int) -> Solver:
        """The same solver with another number of levels."""

    @abstractmethod
    def fresh(self, sample: Float[Tensor, "f c h w"]) -> History:
        """The history of frames that have not been stepped yet."""

    @abstractmethod
    def step(
        self,
        output: Float[Tensor, "f c h w"],
        sample: Float[Tensor, "f c h w"],
        levels: Int[Tensor, " f"],
        history: History,
        noise: Float[Tensor, "f c h w"] | None = None,
        rescale: bool = False,
    ) -> Stepped:
        """Take each frame one level down. `rescale` applies the dynamic rescale of a model trained with one."""

    @abstractmethod
    def add_noise(
        self, clean: Float[Tensor, "f c h w"], levels: Int[Tensor, " f"] | int, noise: Float[Tensor, "f c h w"]
    ) -> Float[Tensor, "f c h w"]:
        """Clean latents noised to a level each."""


def per_frame(table: Tensor, levels: Tensor | int, like: Tensor) -> Tensor:
    """Table entries at the frames' levels, shaped to broadcast over (f, c, h, w)."""
    index = torch.as_tensor(levels, device=table.device)
    return table[index].to(like).reshape(-1, 1, 1, 1)


def scaled_linear_alphas(start: float = 0.00085, end: float = 0.012, steps: int = 1000) -> np.ndarray:
    """Cumulative alphas of Stable Diffusion's schedule, float64 rounded to float32 as the originals store them."""
    betas = np.linspace(start**0.5, end**0.5, steps, dtype=np.float64) ** 2
    return np.cumprod(1 - betas).astype(np.float32)


class DDIM(Solver):
    """DDIM for epsilon prediction with noise `eta`.

    num_levels: steps T; `grid` may make it a few more.
    eta: 0 deterministic, 1 as much noise as DDPM.
    grid: "linspace" = round(linspace(0, 999, T)), as FIFO-Diffusion and MIGA; "strided" = every (1000 // T)-th timestep
        plus one, as VideoCrafter: where T does not divide 1000 these are more than T (67 for 64).
    rescale: (end, steps) of the dynamic rescale kappa, a line from 1 to `end` over `steps` timesteps and `end` after;
        None for a model that was trained without.
    final_alpha: what the step at level 0 ends at: "abar0" = the alpha of timestep 0, as the originals, so that with
        "linspace" it changes nothing and finished latents keep noise of 0.03; "one" = the clean prediction.
    """

    def __init__(
        self,
        num_levels: int,
        eta: float = 1.0,
        grid: str = "linspace",
        alphas_cumprod: np.ndarray | None = None,
        rescale: tuple[float, int] | None = None,
        final_alpha: Literal["abar0", "one"] = "abar0",
    ) -> None:
        self.options = dict(eta=eta, grid=grid, alphas_cumprod=alphas_cumprod, rescale=rescale, final_alpha=final_alpha)
        cumulative = scaled_linear_alphas() if alphas_cumprod is None else np.asarray(alphas_cumprod, dtype=np.float32)
        steps = len(cumulative)
        if grid == "linspace":
            timesteps = np.linspace(0, steps - 1, num_levels).round().astype(np.int64)
        elif grid == "strided":
            timesteps = np.arange(1, steps, steps // num_levels)
        else:
            raise ValueError(f"unknown DDIM grid {grid!r}: known are 'linspace' and 'strided'")
        self.num_levels, self.eta, self.stochastic = len(timesteps), eta, eta > 0
        self.timesteps = torch.from_numpy(timesteps)
        alphas = cumulative[timesteps].astype(np.float64)
        final = {"abar0": cumulative[0], "one": 1.0}[final_alpha]
        alphas_prev = np.append(final, cumulative[timesteps[:-1]]).astype(np.float64)
        self.finished = 0 if alphas_prev[0] == alphas[0] else -1
        variance = (1 - alphas_prev) / (1 - alphas) * (1 - alphas / alphas_prev)
        sigmas = eta * np.sqrt(variance)
        kappa = np.ones(steps)
        if rescale is not None:
            end, ramp = rescale
            kappa = np.append(np.linspace(1.0, end, ramp), np.full(max(steps - ramp, 0), end))[:steps]
        kappa = kappa.astype(np.float32)
        table = dict(
            alpha=alphas,
            alpha_prev=alphas_prev,
            sigma=sigmas,
            kappa=kappa[timesteps],
            kappa_prev=np.append(kappa[0], kappa[timesteps[:-1]]),
        )
        self.table = {name: torch.from_numpy(np.asarray(column, dtype=np.float64)) for name, column in table.items()}

    def with_levels(self, num_levels):
        return DDIM(num_levels, **self.options)

    def fresh(self, sample):
        return {}

    def step(self, output, sample, levels, history, noise=None, rescale=False):
        alpha, alpha_prev, sigma, kappa, kappa_prev = (per_frame(t, levels, sample) for t in self.table.values())
        clean = (sample - (1 - alpha).sqrt() * output) / alpha.sqrt()
        signal = alpha_prev.sqrt()
        if rescale:
            clean, signal = clean / kappa, signal * kappa_prev
        sample = signal * clean + (1 - alpha_prev - sigma**2).sqrt() * output
        if self.stochastic:
            if noise is None:
                raise ValueError("DDIM with eta > 0 needs noise")
            sample = sample + sigma * noise.to(sample)
        return Stepped(sample, clean, history)

    def add_noise(self, clean, levels, noise):
        alpha = per_frame(self.table["alpha"], levels, clean)
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise.to(clean)


class FlowUniPC(Solver):
    """UniPC (bh2, order 2, data prediction, with corrector) for flow prediction, one history per frame.

    Sigmas are Wan2.1's: linspace(float32(0.999), 0, T + 1) without its end, shifted by s' = k s / (1 + (k - 1) s).
    History of a frame: `last` (the corrected sample before its previous step), `clean1`, `clean2` (its last two clean
    predictions), `steps` (how many are valid) and `order` (of its previous predictor).
    """

    def __init__(self, num_levels: int, shift: float = 5.0, timesteps: int = 1000) -> None:
        u = np.linspace(float(np.float32(0.999)), 0.0, num_levels + 1)[:-1]
        sigmas = np.append(shift * u / (1 + (shift - 1) * u), 0.0)
        self.num_levels, self.stochastic = num_levels, False
        self.options = dict(shift=shift, timesteps=timesteps)
        self.timesteps = torch.from_numpy((sigmas[:-1] * timesteps).astype(np.int64)).flip(0)
        self.sigmas = torch.from_numpy(sigmas.astype(np.float32).astype(np.float64))  # by age: noisiest first, 0 last
        predictor, corrector = unipc_coefficients(self.sigmas)
        self.predictor = predictor.flip(0)  # by level, as everything outside
        self.corrector = corrector.flip(0)
        self.sigma = self.sigmas[:-1].flip(0)

    def with_levels(self, num_levels):
        return FlowUniPC(num_levels, **self.options)

    def fresh(self, sample):
        zeros = torch.zeros_like(sample)
        counts = torch.zeros(len(sample), dtype=torch.long, device=sample.device)
        return dict(last=zeros, clean1=zeros.clone(), clean2=zeros.clone(), steps=counts, order=counts.clone())

    def step(self, output, sample, levels, history, noise=None, rescale=False):
        clean = sample - per_frame(self.sigma, levels, sample) * output
        last, clean1, clean2 = (history[name] for name in ("last", "clean1", "clean2"))
        steps, order = history["steps"], history["order"]
        levels = levels.to(self.sigma.device)

        coefficients = self.corrector[levels, (order - 1).clamp(min=0).to(levels.device)]
        corrected = combine(coefficients, last, clean1, clean, clean2)
        sample = torch.where((steps > 0).reshape(-1, 1, 1, 1), corrected, sample)

        order = torch.minimum(steps + 1, levels.to(steps.device) + 1).clamp(max=2)
        ahead = combine(self.predictor[levels, (order - 1).to(levels.device)], sample, clean, clean1)
        history = dict(last=sample, clean1=clean, clean2=clean1, steps=(steps + 1).clamp(max=2), order=order)
        return Stepped(ahead, clean, history)

    def add_noise(self, clean, levels, noise):
        sigma = per_frame(self.sigma, levels, clean)
        return (1 - sigma) * clean + sigma * noise.to(clean)


def combine(coefficients: Float[Tensor, "f k"], *terms: Float[Tensor, "f c h w"]) -> Float[Tensor, "f c h w"]:
    """Sum of the terms, each weighted per frame."""
    weights = coefficients.to(terms[0])[..., None, None, None]
    return sum(weights[:, k] * term for k, term in enumerate(terms))


def unipc_coefficients(sigmas: Float[Tensor, " t1"]) -> tuple[Float[Tensor, "t 2 3"], Float[Tensor, "t 2 4"]]:
    """Predictor weights on (x, m_i, m_{i-1}) and corrector weights on (last, m_{i-1}, m_i, m_{i-2}), by step and order.

    `sigmas` runs from noisiest to 0. Entries that a frame cannot reach (a corrector before the first step, order 2
    before the second) are zero.
    """
    s = sigmas.tolist()
    steps = len(s) - 1
    lam = [float(np.log1p(-x) - np.log(x)) for x in s[:-1]]
    predictor, corrector = torch.zeros(steps, 2, 3, dtype=torch.float64), torch.zeros(steps, 2, 4, dtype=torch.float64)
    for i in range(steps):
        alpha = 1 - s[i + 1]
        h = lam[i + 1] - lam[i] if i + 1 < steps else np.inf
        scaled = alpha * np.expm1(-h)
        predictor[i, 0] = torch.tensor([s[i + 1] / s[i], -scaled, 0.0])
        if 0 < i < steps - 1:
            half = scaled / 2 / ((lam[i - 1] - lam[i]) / h)
            predictor[i, 1] = torch.tensor([s[i + 1] / s[i], -scaled + half, -half])
        if i == 0:
            continue
        h = lam[i] - lam[i - 1]
        phi = np.expm1(-h)
        scaled, ratio = (1 - s[i]) * phi, s[i] / s[i - 1]
        corrector[i, 0] = torch.tensor([ratio, -scaled / 2, -scaled / 2, 0.0])
        if i >= 2:
            r = (lam[i - 2] - lam[i - 1]) / h
            g1 = -phi / h - 1
            b1, b2 = g1 / phi, 2 * (-g1 / h - 0.5) / phi
            rho1 = (b1 - b2) / (1 - r)
            rho2 = b1 - rho1
            corrector[i, 1] = torch.tensor([ratio, scaled * (rho1 / r + rho2 - 1), -scaled * rho2, -scaled * rho1 / r])
    return predictor, corrector
