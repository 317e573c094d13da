"""Independent references that several test modules compare the library with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Uniform

from diffsbi_edu import ConditionalDiffusion, Problem, problems

KS_ALPHA = 1e-4  # false-alarm rate of every Kolmogorov-Smirnov comparison, before the seed is fixed


class ClosedForm(nn.Module):
    """The network output of a perfect "z" prediction when z | s ~ N(mean(s), covariance)."""

    def __init__(self, gain: torch.Tensor, covariance: torch.Tensor) -> None:
        super().__init__()
        self.gain, self.covariance = gain, covariance
        self.unused = nn.Parameter(torch.zeros(1))  # a network has weights

    def forward(self, scaled: torch.Tensor, level: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        ratio = (4 * level).exp()
        y = scaled * (1 + ratio**2).sqrt()
        mean = s @ self.gain.T
        noisy = self.covariance + ratio[..., None] ** 2 * torch.eye(len(self.covariance))
        shrink = torch.linalg.solve(noisy, self.covariance.expand_as(noisy))
        return mean + ((y - mean)[..., None, :] @ shrink)[..., 0, :]


def ideal_gaussian_model(**settings: float) -> tuple[ConditionalDiffusion, problems.Gaussian2D]:
    """A model of Gaussian2D with N = 1 whose network is replaced by the closed form."""
    problem = problems.Gaussian2D(**settings)
    model = ConditionalDiffusion(
        problem, prediction="z", width=8, depth=1, device="cpu", seed=0
    ).standardise(seed=0)
    prior = problem.prior_covariance.double()
    noise = problem.noise_covariance.double()
    posterior = (prior.inverse() + noise.inverse()).inverse()
    gain_x = posterior @ noise.inverse()  # theta's posterior mean is gain_x @ x
    # Into the model's units: z = L⁻¹ theta, s = (x - m)/c with m the pilot's mean, absorbed below.
    whiten = torch.linalg.cholesky(prior).inverse()
    scale = model.standardise_x.scale.double()
    model.standardise_x.mean.zero_()
    gain = (whiten @ gain_x @ scale.diag()).float()
    model.denoiser.network = ClosedForm(gain, (whiten @ posterior @ whiten.T).float())
    return model, problem


def box_problem(noise: float = 0.3, half: float = 1.0, dim: int = 2) -> Problem:
    """A uniform prior on a box and normal noise, as a user would write it."""
    box = torch.full((dim,), half)
    return Problem(
        Independent(Uniform(-box, box), 1),
        lambda theta: theta + noise * torch.randn_like(theta),
        name="box",
    )


def normal_problem(dim: int = 2) -> Problem:
    prior = MultivariateNormal(torch.zeros(dim), torch.eye(dim))
    return Problem(prior, lambda theta: theta + 0.5 * torch.randn_like(theta), name="normal")


def small_model(problem: Problem | None = None, **settings: object) -> ConditionalDiffusion:
    settings = {"width": 16, "depth": 1, "device": "cpu", "seed": 0} | settings
    return ConditionalDiffusion(problem or normal_problem(), **settings)  # type: ignore[arg-type]


def conjugate_by_loops(
    x: np.ndarray, prior: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the posterior, one observation after another (Kalman updates)."""
    mean, covariance = np.zeros(2), prior.copy()
    for row in x:
        gain = covariance @ np.linalg.inv(covariance + noise)
        mean = mean + gain @ (row - mean)
        covariance = covariance - gain @ covariance
    return mean, covariance


def midpoints(low: float, high: float, n: int) -> tuple[torch.Tensor, float]:
    """n midpoints of equal cells of [low, high], and the width of a cell."""
    width = (high - low) / n
    return low + width * (torch.arange(n, dtype=torch.float64) + 0.5), width


def grid_2d(lows: list[float], highs: list[float], n: int) -> tuple[torch.Tensor, float]:
    """Midpoints (n², 2) of a grid over a box, and the area of a cell."""
    (a, da), (b, db) = (midpoints(lo, hi, n) for lo, hi in zip(lows, highs, strict=True))
    return torch.cartesian_prod(a, b), da * db


def standard_normal_cdf(value: float) -> float:
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


class ExactModel:
    """Exact posteriors in a model's place; `spoil` scales each draw's distance from the mean."""

    def __init__(self, problem: Problem, spoil: float = 1.0) -> None:
        self.problem, self.spoil = problem, spoil

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        draws = [self.problem.posterior(row).sample((n,), seed=seed + i) for i, row in enumerate(x)]
        stacked = torch.stack(draws, 1)
        return stacked.mean(0) + self.spoil * (stacked - stacked.mean(0))


def moved_by_metropolis(
    log_density: Callable[[torch.Tensor], torch.Tensor], draws: torch.Tensor, reach: float = 1.0
) -> float:
    """How far 8 Metropolis steps from each of draws (n, D) take their means and spreads, in SEs.

    `reach` is their size, 1 being best for a normal density. Draws from the density that the steps
    are for stay where they are as a whole: the largest of 2 D numbers that are standard normal then
    (above 4.5 for one seed in 1e4, with D = 7).
    """
    generator = torch.Generator().manual_seed(0)
    draws = draws.double()
    factor = torch.linalg.cholesky(torch.cov(draws.T)) * 2.38 / draws.shape[1] ** 0.5 * reach
    theta, now, accepted = draws.clone(), log_density(draws), 0
    for _ in range(8):
        proposal = theta + torch.randn(theta.shape, generator=generator).double() @ factor.T
        new = log_density(proposal)
        accept = torch.rand(len(theta), generator=generator).double().log() < new - now
        theta = torch.where(accept[:, None], proposal, theta)
        now, accepted = torch.where(accept, new, now), accepted + int(accept.sum())
    assert accepted > len(draws), "hardly anything moves: the test would see nothing"
    largest, centre = 0.0, draws.mean(0)
    for before, after in ((draws, theta), ((draws - centre) ** 2, (theta - centre) ** 2)):
        change = after - before
        z = change.mean(0).abs() / (change.std(0) / len(change) ** 0.5)
        largest = max(largest, float(z.max()))
    return largest
