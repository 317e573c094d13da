"""NormalGamma: mean and sd of a normal distribution, the textbook's conjugate pair."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch.distributions import Distribution, Gamma
from torch.distributions import constraints as c

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import ConjugatePosterior


class NormalGamma(Problem):
    """theta = (mean, sd) of N normal observations: x_i ~ N(mean, sd²), independently.

    The prior is sd² ~ InvGamma(shape, rate), with density ∝ v^(−shape−1) exp(−rate/v), and
    mean | sd ~ N(0, sd²). It is conjugate: the posterior is of the same family for any N, so that
    every summary network and every sample size has an exact answer to be compared with.

    Args:
        n_obs: number of observations N, or a range (low, high).
        shape: of the prior of sd², positive.
        rate: of the prior of sd², positive, in squared units of x.

    Raises:
        ValueError: shape or rate not positive, or `n_obs` impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; the update is in Gelman et
    al., *Bayesian Data Analysis*, section 3.3.

    Example:
        >>> problem = NormalGamma(n_obs=(1, 1000))
        >>> theta, x = problem.sample(3, seed=0, n_obs=7)
        >>> x.shape, problem.posterior(x[0]).sample((5,), seed=1).shape
        (torch.Size([3, 7, 1]), torch.Size([5, 2]))
    """

    data_kind = "set"
    theta_names = ("mean", "sd")
    x_names = ("x",)

    def __init__(
        self,
        n_obs: int | tuple[int, int] = (200, 500),
        *,
        shape: float = 4.0,
        rate: float = 4.0,
    ) -> None:
        check_shape_and_rate(shape, rate)
        self.shape, self.rate = float(shape), float(rate)
        self._config = {"n_obs": n_obs, "shape": self.shape, "rate": self.rate}
        prior = NormalInverseGamma(0.0, 1.0, shape, rate)
        super().__init__(prior, self._simulator, n_obs=n_obs, name="normal_gamma")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        x = torch.randn(len(theta), n_obs, device=theta.device)
        return torch.addcmul(theta[:, :1], theta[:, 1:], x, out=x)[..., None]

    def posterior(self, x_obs: torch.Tensor) -> ConjugatePosterior:
        """The exact posterior given x_obs (N, 1), for any N."""
        x = one_data_set(x_obs, features=1)[:, 0].double()
        mean, n = x.mean(), len(x)
        squares = (x - mean).square().sum() + n / (1 + n) * mean**2
        return ConjugatePosterior(
            NormalInverseGamma(
                loc=n / (1 + n) * mean,
                count=1.0 + n,
                shape=self.shape + n / 2,
                rate=self.rate + squares / 2,
                dtype=torch.float64,
            )
        )

    def config(self) -> dict[str, Any]:
        return dict(self._config)


class NormalInverseGamma(Distribution):
    """The law of (mean, sd) with sd² ~ InvGamma(shape, rate) and mean | sd ~ N(loc, sd²/count).

    Args:
        loc: centre of the mean.
        count: number of observations that `loc` is worth.
        shape: of the inverse gamma; half the number of observations that it is worth.
        rate: of the inverse gamma; about `shape` times the typical sd².
        dtype: of the draws.
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}
    support = c.independent(c.stack([c.real, c.positive], -1), 1)

    def __init__(
        self,
        loc: float | torch.Tensor,
        count: float | torch.Tensor,
        shape: float | torch.Tensor,
        rate: float | torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.loc, self.count, self.shape, self.rate = (
            torch.as_tensor(value, dtype=dtype) for value in (loc, count, shape, rate)
        )
        super().__init__(event_shape=torch.Size([2]), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, 2)."""
        like = self.loc.expand(torch.Size(sample_shape))
        return draw_mean_and_sd(like, self.count, self.shape, self.rate)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density at (mean, sd) = value (..., 2): shape (...), −inf where sd ≤ 0."""
        return log_density(value, self.loc, self.count, self.shape, self.rate)


def draw_mean_and_sd(
    loc: torch.Tensor,
    count: torch.Tensor,
    shape: torch.Tensor,
    rate: torch.Tensor,
) -> torch.Tensor:
    """One draw of (mean, sd) for each entry of loc (...), the others broadcast: (..., 2)."""
    precision = Gamma(shape.expand_as(loc), rate.expand_as(loc)).sample()
    sd = precision.rsqrt()
    mean = loc + sd / count.sqrt() * torch.randn_like(loc)
    return torch.stack([mean, sd], -1)


def log_density(
    value: torch.Tensor,
    loc: torch.Tensor,
    count: torch.Tensor,
    shape: torch.Tensor,
    rate: torch.Tensor,
) -> torch.Tensor:
    """log p(mean, sd) of `NormalInverseGamma` at value (..., 2), everything broadcast.

    The inverse gamma is a density of sd²; d(sd²)/d(sd) = 2 sd makes it one of sd.
    """
    mean, sd = value[..., 0], value[..., 1]
    outside = sd <= 0
    sd = sd.masked_fill(outside, 1.0)
    log_sd = shape * rate.log() - shape.lgamma() - (2 * shape + 1) * sd.log() - rate / sd**2
    log_sd = log_sd + math.log(2)
    squared = count * ((mean - loc) / sd) ** 2
    log_mean = 0.5 * (count.log() - math.log(2 * math.pi) - squared) - sd.log()
    return (log_sd + log_mean).masked_fill(outside, -math.inf)


def check_shape_and_rate(shape: float, rate: float) -> None:
    """Raise ValueError unless both are positive and finite."""
    for what, value in (("shape", shape), ("rate", rate)):
        if not 0 < value < math.inf:
            raise ValueError(f"{what}, of the inverse gamma, must be positive, got {value}.")
