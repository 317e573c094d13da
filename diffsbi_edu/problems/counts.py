"""Counts: problems whose data are numbers of things."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import Beta, Dirichlet

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import ExactPosterior

ALPHA = (1.437, 2.848, 5.674, 2.269, 3.452)


class DirichletMultinomial(Problem):
    """Proportions from counts: theta ~ Dirichlet(alpha), x = Multinomial(total, theta) / total.

    Conjugate: the posterior is Dirichlet(alpha + counts), and each proportion's marginal a Beta.
    theta lives on a simplex of D pieces, so its latent z has D − 1 dimensions.

    Args:
        alpha: the prior's concentration, one positive number a category.
        total: number of things counted.

    Raises:
        ValueError: fewer than 2 categories, a concentration that is not positive, or total below 1.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4, with one fixed alpha.

    Example:
        >>> problem = DirichletMultinomial()
        >>> theta, x = problem.sample(3, seed=0)
        >>> exact = problem.posterior(x[0])
        >>> exact.sample((4,), seed=1).shape, exact.marginal(0).mean.shape
        (torch.Size([4, 5]), torch.Size([]))
    """

    def __init__(self, alpha: tuple[float, ...] = ALPHA, total: int = 300) -> None:
        if len(alpha) < 2 or min(alpha) <= 0:
            raise ValueError(f"alpha must be at least 2 positive numbers, got {tuple(alpha)}.")
        if total < 1:
            raise ValueError(f"total, the number counted, must be at least 1, got {total}.")
        self.alpha, self.total = tuple(float(a) for a in alpha), int(total)
        self.theta_names = tuple(f"share {i + 1}" for i in range(len(alpha)))
        self.x_names = tuple(f"x {i + 1}" for i in range(len(alpha)))
        prior = Dirichlet(torch.tensor(self.alpha))
        super().__init__(prior, self._simulator, name="dirichlet_multinomial")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        return multinomial(self.total, theta) / self.total

    def posterior(self, x_obs: torch.Tensor) -> DirichletPosterior:
        """The exact posterior given x_obs (1, D), the observed proportions.

        Raises:
            ValueError: x_obs times `total` is not made of non-negative counts that sum to `total`.
        """
        x = one_data_set(x_obs, features=self.dim, n_obs=1)[0].double() * self.total
        counts = x.round()
        if (counts < 0).any() or (x - counts).abs().max() > 1e-2 or counts.sum() != self.total:
            raise ValueError(
                f"x_obs must be proportions of {self.total} counts (non-negative, summing to 1), "
                f"got {(x / self.total).tolist()}."
            )
        return DirichletPosterior(torch.tensor(self.alpha, dtype=torch.float64) + counts)

    def config(self) -> dict[str, Any]:
        return {"alpha": list(self.alpha), "total": self.total}


class DirichletPosterior(ExactPosterior):
    """A Dirichlet posterior with concentration (D,)."""

    def __init__(self, concentration: torch.Tensor) -> None:
        self.concentration = concentration
        self._dirichlet = Dirichlet(concentration)

    def _draw(self, n: int) -> torch.Tensor:
        return self._dirichlet.sample((n,))

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        on_simplex = (theta >= 0).all(-1) & ((theta.sum(-1) - 1).abs() < 1e-5)
        powers = torch.xlogy(self.concentration - 1, theta.clamp_min(0)).sum(-1)
        log_norm = torch.lgamma(self.concentration.sum()) - self.concentration.lgamma().sum()
        return (powers + log_norm).masked_fill(~on_simplex, -torch.inf).float()

    def marginal(self, i: int) -> Beta:
        """The distribution of proportion i: Beta(a_i, sum of the others)."""
        a = self.concentration[i]
        return Beta(a, self.concentration.sum() - a)


def multinomial(total: int, shares: torch.Tensor) -> torch.Tensor:
    """Counts (B, D) of `total` things in categories of probabilities shares (B, D).

    One binomial after another: given the categories so far, the next takes its share of what is
    left. D vectorised draws, where a categorical one would need `total` of them.
    """
    left = torch.full_like(shares[:, 0], total)
    share_left = torch.ones_like(left)
    counts = []
    for share in shares.unbind(1)[:-1]:
        fraction = (share / share_left.clamp_min(1e-30)).clamp(0.0, 1.0)
        counts.append(torch.binomial(left, fraction))
        left, share_left = left - counts[-1], share_left - share
    return torch.stack([*counts, left], 1)


def checked_counts(x_obs: torch.Tensor, features: int) -> torch.Tensor:
    """x_obs (1, features) as counts (features,) in float64.

    Raises:
        TypeError, ValueError: see `base.one_data_set`; entries that are negative or no integers.
    """
    x = one_data_set(x_obs, features=features, n_obs=1)[0].double()
    if (x < 0).any() or (x != x.round()).any():
        raise ValueError(
            f"x_obs must be counts, whole numbers of at least 0, got {x.tolist()}; pass what was "
            "counted, not a share or a logarithm."
        )
    return x
