"""SpeciesSampling: shares of three species from counts of those animals that were noticed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Dirichlet
from torch.nn.functional import logsigmoid

from diffsbi_edu.problems.base import Problem
from diffsbi_edu.problems.counts import checked_counts
from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.tables import draw_cells, spread

ALPHA = 2.0
EASY_CHANCE = 0.7
EASY, HARD, SECOND, THIRD = 0.9, 0.3, 0.6, 0.7  # detection probabilities
#: Cells along either axis of the tables, and nats below the maximum at which each is cut off.
ZOOMS = ((128, 60.0), (128, 20.0), (240, math.inf))
EDGE = 16.0  # of the first table, in logits


class SpeciesSampling(Problem):
    """theta = shares of three species; x = how many of each were noticed.

    Few seen may mean few there, or hard to see: the day decides, with one coin a data set that
    nobody reports, whether animals of species 1 are noticed with probability 0.9 or 0.3. The
    posterior has to weigh both stories, so it is a mixture, wide and now and then with two humps,
    where a likelihood for a known detection would be one narrow hump. And because shares add up to
    1, what is not known about the first species is not known about the others either.

    The prior is Dirichlet(2, 2, 2), so theta has two dimensions in latent space. There are
    Poisson(effort · theta_k) animals of species k, each noticed independently with probability 0.9
    (with chance 0.7, else 0.3) for the first species, 0.6 for the second and 0.7 for the third.

    Args:
        effort: expected number of animals that are there to be noticed.

    Raises:
        ValueError: effort not positive.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4.

    Example:
        >>> problem = SpeciesSampling()
        >>> exact = problem.posterior(torch.tensor([[12.0, 8.0, 9.0]]))
        >>> exact.sample((4,), seed=0).shape, round(exact.easy_mass, 2)
        (torch.Size([4, 3]), 0.81)
    """

    theta_names = ("share 1", "share 2", "share 3")
    x_names = ("seen 1", "seen 2", "seen 3")

    def __init__(self, effort: float = 50.0) -> None:
        if not 0 < effort < math.inf:
            raise ValueError(f"effort, the expected number of animals, must be > 0, got {effort}.")
        self.effort = float(effort)
        prior = Dirichlet(torch.full((3,), ALPHA))
        super().__init__(prior, self._simulator, name="species_sampling")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        there = torch.poisson(self.effort * theta)
        first = torch.where(torch.rand_like(theta[:, 0]) < EASY_CHANCE, EASY, HARD)
        noticed = torch.stack(
            [first, torch.full_like(first, SECOND), torch.full_like(first, THIRD)], 1
        )
        return torch.binomial(there, noticed)

    def posterior(self, x_obs: torch.Tensor) -> SpeciesPosterior:
        """The exact posterior given the numbers noticed, x_obs (1, 3).

        Raises:
            ValueError: x_obs has entries that are no counts.
        """
        return SpeciesPosterior(checked_counts(x_obs, features=3), self.effort)

    def config(self) -> dict[str, Any]:
        return {"effort": self.effort}


class SpeciesPosterior(ExactPosterior):
    """The posterior by quadrature over the simplex.

    Animals noticed at random among Poisson many are Poisson many again, with mean effort · share ·
    detection, so for either side of the coin the likelihood is a product of three Poisson
    probabilities. The table is in logits of v = theta_1 and w = theta_2 / (1 − theta_1), where the
    integrand is smooth and falls off on all sides, so that sums over a regular grid are accurate
    far beyond float32. A draw is uniform within its cell, whose sides are below a tenth of a
    posterior sd: that makes an sd too large by less than one part in a thousand.
    """

    def __init__(self, counts: torch.Tensor, effort: float) -> None:
        self._powers, self._effort = ALPHA - 1 + counts, effort
        coins = torch.tensor([EASY_CHANCE, 1 - EASY_CHANCE], dtype=torch.float64)
        self._first = torch.tensor([EASY, HARD], dtype=torch.float64)
        self._log_coins = coins.log() + counts[0] * self._first.log()
        low, high = [-EDGE, -EDGE], [EDGE, EDGE]
        for cells, cut in ZOOMS:
            self._steps = [(b - a) / cells for a, b in zip(low, high, strict=True)]
            self._u, self._v = (
                a + step * (torch.arange(cells, dtype=torch.float64) + 0.5)
                for a, step in zip(low, self._steps, strict=True)
            )
            self._log_table = self._log_mass(self._u, self._v)
            near = self._log_table > self._log_table.max() - cut
            for axis, (line, step) in enumerate(zip((self._u, self._v), self._steps, strict=True)):
                kept = line[near.any(1 - axis)]
                low[axis], high[axis] = float(kept[0] - step), float(kept[-1] + step)
        area = self._steps[0] * self._steps[1]
        self._log_z = torch.logsumexp(self._log_table.flatten(), 0) + math.log(area)
        by_row = torch.logsumexp(self._log_table, 1).softmax(0)
        coin = self._log_coin_terms(torch.sigmoid(self._u)).softmax(-1)
        #: posterior probability that species 1 was easy to see.
        self.easy_mass = float(by_row @ coin[:, 0])

    def _log_coin_terms(self, share: torch.Tensor) -> torch.Tensor:
        """For either side of the coin, what theta_1 = share (...) contributes: (..., 2)."""
        return self._log_coins - self._effort * self._first * share[..., None]

    def _log_mass(self, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """log density of the logits (theta_1's, then that of theta_2 in the rest), (len u, len v).

        Up to a constant; d theta_1 d theta_2 = (1 − theta_1) d theta_1 dw.
        """
        a, b, c = self._powers
        rest = 1 - torch.sigmoid(u)
        rows = (a + 1) * logsigmoid(u) + (b + c + 2) * logsigmoid(-u)
        rows = rows + torch.logsumexp(self._log_coin_terms(torch.sigmoid(u)), -1)
        columns = (b + 1) * logsigmoid(v) + (c + 1) * logsigmoid(-v)
        seen = SECOND * torch.sigmoid(v) + THIRD * torch.sigmoid(-v)
        return rows[:, None] + columns - self._effort * rest[:, None] * seen

    def _draw(self, n: int) -> torch.Tensor:
        cell = draw_cells(self._log_table, n)
        u = spread(self._u[cell // len(self._v)], self._steps[0])
        v = spread(self._v[cell % len(self._v)], self._steps[1])
        rest = torch.sigmoid(-u)
        return torch.stack(
            [torch.sigmoid(u), rest * torch.sigmoid(v), rest * torch.sigmoid(-v)], -1
        )

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        """As a density of (theta_1, theta_2), like torch's Dirichlet; −inf off the simplex."""
        theta = theta.double().cpu()
        on_simplex = (theta >= 0).all(-1) & ((theta.sum(-1) - 1).abs() < 1e-5)
        logs = torch.xlogy(self._powers, theta.clamp_min(0)).sum(-1)
        logs = logs + torch.logsumexp(self._log_coin_terms(theta[..., 0]), -1)
        logs = logs - self._effort * (SECOND * theta[..., 1] + THIRD * theta[..., 2])
        return (logs - self._log_z).masked_fill(~on_simplex, -math.inf).float()
