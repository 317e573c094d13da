"""Socks: how many are in the dryer, if the first pair comes out at the eleventh draw?"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import Beta, Independent

from diffsbi_edu.problems.base import Problem
from diffsbi_edu.problems.counts import checked_counts
from diffsbi_edu.problems.dequantised import SpreadNegativeBinomial, nearest_count
from diffsbi_edu.problems.draws import binomial
from diffsbi_edu.problems.socks_posterior import (
    MEAN,
    PROPORTIONS,
    SD,
    WEIGHTS,
    SocksPosterior,
)


class Socks(Problem):
    """theta = number of socks in each of several dryers; x = socks drawn until two match.

    One small integer a dryer is all that is seen, and yet it says how full the dryer is: the more
    socks, the longer until two of them match. How long also depends on the proportion of socks that
    have a partner at all, which nobody is told and which all dryers share, so that each dryer's
    count says something about the others: the posteriors of independent dryers are tied together.
    And a story that is easily acted out, but whose likelihood takes some thought, is the case that
    simulation-based inference is for.

    A dryer holds a number of socks that is negative binomial with mean 30 and sd 15. The proportion
    p in pairs comes from Beta(30, 4) with probability 0.75, else from Beta(50, 50); floor(total ·
    p/2) pairs, the others single. Socks come out one by one; x counts them up to and including the
    first that matches an earlier one. **Without a match x = total + 1**: the hand that finds the
    dryer empty counts as well. (So x = 1 means that the dryer was empty to begin with.)

    **theta is the total plus a uniform number from (−½, ½)**, because a diffusion needs a density:
    `totals(theta)` rounds to the whole number, and given it the rest is uniform, a posteriori, too.

    Args:
        dryers: D, how many dryers.

    Raises:
        ValueError: dryers below 1.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; the story and its prior are
    Rasmus Bååth's (2014) about the socks of Karl Broman.

    Example:
        >>> problem = Socks()
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.totals(problem.posterior(x[0]).sample((2,), seed=1)).shape
        (torch.Size([3, 1, 10]), torch.Size([2, 10]))
    """

    def __init__(self, dryers: int = 10) -> None:
        if not isinstance(dryers, int) or dryers < 1:
            raise ValueError(f"dryers, how many there are, must be an int ≥ 1, got {dryers!r}.")
        self.theta_names = tuple(f"socks {i + 1}" for i in range(dryers))
        self.x_names = tuple(f"drawn {i + 1}" for i in range(dryers))
        totals = SpreadNegativeBinomial(torch.full((dryers,), MEAN), torch.full((dryers,), SD))
        super().__init__(Independent(totals, 1), self._simulator, name="socks")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        total = self.totals(theta)
        shape = torch.Size([len(theta), 1])
        most, half = (Beta(*theta.new_tensor(ab)).sample(shape) for ab in PROPORTIONS)
        first = torch.rand(shape, device=theta.device) < WEIGHTS[0]
        pairs = torch.floor(total * torch.where(first, most, half) / 2)
        return draws_until_match(pairs, total - 2 * pairs)

    @staticmethod
    def totals(theta: torch.Tensor) -> torch.Tensor:
        """The whole numbers that theta stands for."""
        return nearest_count(theta)

    def posterior(self, x_obs: torch.Tensor) -> SocksPosterior:
        """The exact posterior given x_obs (1, D), the numbers drawn.

        Raises:
            ValueError: x_obs has entries that are no whole numbers of at least 1.
        """
        return SocksPosterior(checked_counts(x_obs, features=self.dim))

    def config(self) -> dict[str, Any]:
        return {"dryers": self.dim}


def draws_until_match(pairs: torch.Tensor, singles: torch.Tensor) -> torch.Tensor:
    """Socks drawn, without putting back, up to the first match; all + 1 where there is no pair.

    No sock is ever shuffled. Let every sock come out at a time of its own, uniform on (0, 1): the
    order is then random. A pair is complete by time t with probability t², so none of m is with
    probability (1 − t²)^m, which is easily drawn from: T = √(1 − U^(1/m)). At that time two socks
    of the pair are out; of any other pair one is with probability 2T/(1 + T) (both are not), and a
    single is with probability T. Two binomial draws count them.

    Args:
        pairs: whole numbers as floats, of any shape.
        singles: the same.
    """
    m = pairs.clamp_min(1)
    time = (-torch.expm1(torch.rand_like(m).log() / m)).clamp(0, 1).sqrt()
    drawn = 2 + binomial(m - 1, 2 * time / (1 + time)) + binomial(singles, time)
    return torch.where(pairs > 0, drawn, singles + 1)
