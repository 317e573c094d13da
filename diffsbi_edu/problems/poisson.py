"""PoissonGamma: rates from single counts, the conjugate pair of counting."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Gamma, Independent

from diffsbi_edu.problems.base import Problem
from diffsbi_edu.problems.counts import checked_counts
from diffsbi_edu.problems.draws import TabledGamma, poisson
from diffsbi_edu.problems.posterior import ConjugatePosterior
from diffsbi_edu.problems.product import Product


class PoissonGamma(Problem):
    """D rates theta_i ~ Gamma(shape, scale), each seen through one count x_i ~ Poisson(theta_i).

    A rate is a smooth number, but all that is seen of it is a small integer, so that many rates
    share one and the same x. The posterior of each is Gamma(shape + x_i) with scale
    1 / (1 + 1/scale): the more was counted the wider it is, yet the narrower for its mean, and a
    count of 0 leaves it leaning against the border, skewed and perfectly proper. The ten pairs know
    nothing of one another, which a network that sees all ten at once has to find out.

    The data are plain counts. The paper's network sees log(1 + count): the same information in
    other units, a choice for the network and not for its user. Counts this small (mean 2, sd 2)
    have no heavy tail to be tamed, and are standardised like any other data.

    Args:
        dim: D, the number of rates.
        shape: of the prior of each rate, positive.
        scale: of the prior of each rate, positive; its mean is shape · scale.

    Raises:
        ValueError: dim below 1, or shape or scale not positive.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; the update is in Gelman et
    al., *Bayesian Data Analysis*, section 2.6.

    Example:
        >>> problem = PoissonGamma()
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.posterior(x[0]).sample((5,), seed=1).shape
        (torch.Size([3, 1, 10]), torch.Size([5, 10]))
    """

    def __init__(self, dim: int = 10, shape: float = 2.0, scale: float = 1.0) -> None:
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim, the number of rates, must be an int ≥ 1, got {dim!r}.")
        for name, value in (("shape", shape), ("scale", scale)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name}, of the gamma prior, must be positive, got {value}.")
        self.shape, self.scale = float(shape), float(scale)
        self.theta_names = tuple(f"rate {i + 1}" for i in range(dim))
        self.x_names = tuple(f"count {i + 1}" for i in range(dim))
        prior = TabledGamma(torch.full((dim,), self.shape), torch.full((dim,), 1 / self.scale))
        super().__init__(Independent(prior, 1), self._simulator, name="poisson_gamma")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        return poisson(theta)

    def posterior(self, x_obs: torch.Tensor) -> ConjugatePosterior:
        """The exact posterior given the counts x_obs (1, D).

        Raises:
            ValueError: x_obs has entries that are no counts.
        """
        counts = checked_counts(x_obs, features=self.dim)
        law = Gamma(self.shape + counts, torch.full_like(counts, 1 + 1 / self.scale))
        return ConjugatePosterior(Product([Independent(law, 1)]))

    def config(self) -> dict[str, Any]:
        return {"dim": self.dim, "shape": self.shape, "scale": self.scale}
