"""Solvers: frames at any mixture of levels step as each would alone, and as the published formulas say."""

import math

import pytest
import torch

from miga.engine.solvers import DDIM, FlowUniPC

SOLVERS = {
    "ddim": lambda n=12: DDIM(n),
    "ddim eta 0": lambda n=12: DDIM(n, eta=0.0),
    "unipc": lambda n=12: FlowUniPC(n),
}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)
def test_a_mixture_of_levels_steps_like_each_frame_alone(make):
    solver, size = make(), (4, 3, 2)
    levels = torch.tensor([11, 7, 3, 0])
    sample, history = randn(4, *size), solver.fresh(randn(4, *size))
    alone = [(sample[i : i + 1], {k: v[i : i + 1] for k, v in history.items()}) for i in range(4)]
    for turn in range(3):
        output, noise = randn(4, *size, seed=10 + turn), randn(4, *size, seed=20 + turn)
        now = (levels - turn).clamp(min=0)
        sample, _, history = solver.step(output, sample, now, history, noise)
        for i, (one, past) in enumerate(alone):
            one, _, past = solver.step(output[i : i + 1], one, now[i : i + 1], past, noise[i : i + 1])
            alone[i] = one, past
    assert torch.allclose(sample, torch.cat([one for one, _ in alone]), rtol=0, atol=1e-14)


def test_ddim_without_noise_carries_the_exact_epsilon_to_the_clean_frame():
    """With the true noise as the prediction every step stays on the line between clean frame and noise."""
    solver = DDIM(10, eta=0.0)
    clean, noise = randn(1, 4, 3, 2, seed=1), randn(1, 4, 3, 2, seed=2)
    sample = solver.add_noise(clean, 9, noise)
    for level in reversed(range(1, 10)):
        sample, predicted, _ = solver.step(noise, sample, torch.tensor([level]), {})
        assert torch.allclose(predicted, clean, atol=1e-12)
        assert torch.allclose(sample, solver.add_noise(clean, level - 1, noise), atol=1e-12)


def test_the_last_ddim_level_is_the_identity_and_says_so():
    solver = DDIM(10, eta=1.0)
    sample = randn(1, 4, 3, 2)
    stepped = solver.step(randn(1, 4, 3, 2, seed=3), sample, torch.tensor([0]), {}, randn(1, 4, 3, 2, seed=4)).sample
    assert solver.finished == 0
    assert torch.allclose(stepped, sample, atol=1e-12)
    assert DDIM(10, grid="strided").finished == -1
    assert FlowUniPC(10).finished == -1


@pytest.mark.parametrize("grid", ["linspace", "strided"])
def test_the_last_ddim_step_can_end_at_the_clean_frame(grid):
    solver = DDIM(10, eta=1.0, grid=grid, final_alpha="one").with_levels(12)
    sample, output = randn(1, 4, 3, 2), randn(1, 4, 3, 2, seed=3)
    stepped = solver.step(output, sample, torch.tensor([0]), {}, randn(1, 4, 3, 2, seed=4))
    assert solver.finished == -1
    assert torch.allclose(stepped.sample, stepped.clean, atol=1e-12)
    other = DDIM(12, eta=1.0, grid=grid)
    assert all(torch.equal(solver.table[name][1:], other.table[name][1:]) for name in other.table)


@pytest.mark.parametrize("asked, taken, last", [(50, 50, 981), (4, 4, 751), (64, 67, 991), (6, 7, 997)])
def test_the_strided_grid_is_that_of_videocrafter(asked, taken, last):
    """`range(0, 1000, 1000 // asked)`, plus one: more steps than asked for where those do not divide 1000."""
    solver = DDIM(asked, grid="strided")
    assert (solver.num_levels, len(solver.timesteps), solver.timesteps[-1].item()) == (taken, taken, last)


def test_unipc_reaches_the_clean_frame_of_a_straight_flow():
    """A constant velocity is solved exactly at every order."""
    solver = FlowUniPC(9)
    clean, noise = randn(2, 4, 3, 2, seed=1), randn(2, 4, 3, 2, seed=2)
    sample = solver.add_noise(clean, 8, noise)
    history = solver.fresh(sample)
    for level in reversed(range(9)):
        sample, predicted, history = solver.step(noise - clean, sample, torch.tensor([level, level]), history)
        assert torch.allclose(predicted, clean, atol=1e-12)
    assert torch.allclose(sample, clean, atol=1e-12)


def unipc_reference(sigmas, velocity, x):
    """UniPC bh2 of order 2 with corrector, step by step in scalars (Zhao et al. 2023, as Wan2.1 sets it)."""
    lam = [math.log(1 - s) - math.log(s) for s in sigmas[:-1]] + [math.inf]
    last = before = previous = None
    order = 0
    for i in range(len(sigmas) - 1):
        clean = x - sigmas[i] * velocity(x, i)
        if last is not None:
            h = lam[i] - lam[i - 1]
            phi = math.expm1(-h)
            g1 = phi / -h - 1
            b1, b2 = g1 / phi, 2 * (g1 / -h - 0.5) / phi
            if order == 1:
                correction = (clean - previous) / 2
            else:
                r = (lam[i - 2] - lam[i - 1]) / h
                rho0 = (b1 - b2) / (1 - r)
                correction = rho0 * (before - previous) / r + (b1 - rho0) * (clean - previous)
            x = sigmas[i] / sigmas[i - 1] * last - (1 - sigmas[i]) * phi * (previous + correction)
        before, previous, last = previous, clean, x
        order = 1 if before is None else min(2, len(sigmas) - 1 - i)
        h = lam[i + 1] - lam[i]
        phi = math.expm1(-h)
        x = sigmas[i + 1] / sigmas[i] * last - (1 - sigmas[i + 1]) * phi * clean
        if order == 2:
            r = (lam[i - 1] - lam[i]) / h
            x -= (1 - sigmas[i + 1]) * phi / 2 * (before - clean) / r
    return x


@pytest.mark.parametrize("num_levels", [1, 2, 3, 7, 20])
def test_unipc_follows_the_published_recursion(num_levels):
    solver = FlowUniPC(num_levels)

    def velocity(x, i):
        return math.sin(3 * x + i) + x

    sample = torch.full((1, 1, 1, 1), 0.7, dtype=torch.float64)
    history = solver.fresh(sample)
    for i, level in enumerate(reversed(range(num_levels))):
        output = torch.full_like(sample, velocity(sample.item(), i))
        sample, _, history = solver.step(output, sample, torch.tensor([level]), history)
    assert sample.item() == pytest.approx(unipc_reference(solver.sigmas.tolist(), velocity, 0.7), abs=1e-12)


@pytest.mark.parametrize("make", SOLVERS.values(), ids=SOLVERS)
def test_with_levels_changes_nothing_else(make):
    other, direct = make(12).with_levels(20), make(20)
    assert torch.equal(other.timesteps, direct.timesteps)
    assert other.stochastic == direct.stochastic


def test_errors():
    with pytest.raises(ValueError, match="unknown DDIM grid 'cubic'"):
        DDIM(10, grid="cubic")
    with pytest.raises(ValueError, match="needs noise"):
        DDIM(10).step(randn(1, 1, 1, 1), randn(1, 1, 1, 1), torch.tensor([3]), {})
