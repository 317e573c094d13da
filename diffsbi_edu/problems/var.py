"""MinnesotaVAR: a vector autoregression with more parameters than anybody can look at."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Gamma, Independent, PowerTransform, TransformedDistribution

from diffsbi_edu.problems import border  # noqa: F401  (tells torch the map of the prior's support)
from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.product import Product
from diffsbi_edu.problems.stationary import ShrunkMinnesota, side_by_side
from diffsbi_edu.runtime import nothing_random


class MinnesotaVAR(Problem):
    """theta = p m² coefficients, m sds (75 + 5): m series that foretell one another, p lags back.

    Eighty parameters from a thousand numbers can be learnt only because the prior holds most of
    them near 0: it expects each series to follow its own past and little else, the less the longer
    ago (Litterman's "Minnesota" prior). Nine in ten draws of it would explode, and are shrunk until
    they just do not: nearly every series has a root close to 1 and wanders far before it comes
    back. The likelihood is exact and the dimension is the difficulty: a summary must keep 80
    numbers, and no two-dimensional picture shows whether it did.

    x_t = Gamma_1 x_t−1 + … + Gamma_p x_t−p + normal errors with sds sigma_1 … sigma_m, from x = 0
    before the first observation. Prior: entry (i, j) of Gamma_h ~ N(0.45/h if i = j else 0,
    (0.25/h)²), truncated to −1 … 1; then all are multiplied by 0.99 until the series is
    stationary; sigma_i² = 1/Gamma(2, scale 6). theta holds Gamma_1 row by row, Gamma_2, …, then the
    sigmas; x is below 10 as a rule, in the hundreds at times.

    Args:
        n_obs: number of time steps N, or a range (low, high).
        series: m.
        lags: p.

    Raises:
        ValueError: `n_obs` is impossible, or `series` or `lags` below 1.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; Litterman (1986), J. Business
    & Economic Statistics 4, 25–38.

    Example:
        >>> problem = MinnesotaVAR(n_obs=300)
        >>> theta, x = problem.sample(3, seed=0)
        >>> theta.shape, x.shape, problem.log_likelihood(theta, x[0]).shape
        (torch.Size([3, 80]), torch.Size([3, 300, 5]), torch.Size([3]))
    """

    data_kind = "sequence"

    def __init__(
        self, n_obs: int | tuple[int, int] = (250, 1000), *, series: int = 5, lags: int = 3
    ) -> None:
        for name, value in (("series", series), ("lags", lags)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an int ≥ 1, got {value!r}.")
        self._config = {"n_obs": n_obs, "series": series, "lags": lags}
        self.series, self.lags = series, lags
        each = range(1, series + 1)
        names = [f"Gamma_{h} {i},{j}" for h in range(1, lags + 1) for i in each for j in each]
        self.theta_names = (*names, *(f"sigma {i}" for i in each))
        self.x_names = tuple(f"x {i}" for i in each)
        precisions = Gamma(torch.full((series,), 2.0), torch.full((series,), 1 / 6))
        sds = TransformedDistribution(precisions, PowerTransform(torch.tensor(-0.5)))
        prior = Product([ShrunkMinnesota(series, lags), Independent(sds, 1)])
        super().__init__(prior, self._simulator, n_obs=n_obs, name="minnesota_var")

    def split(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """theta (..., D) as coefficients (..., p, m, m) and sds (..., m)."""
        m = self.series
        coefficients = theta[..., :-m].reshape(*theta.shape[:-1], self.lags, m, m)
        return coefficients, theta[..., -m:]

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        coefficients, sds = self.split(theta)
        # Oldest first: the p steps before any one are a window of memory, and nothing is copied.
        weights, m, p = side_by_side(coefficients.flip(1)), self.series, self.lags
        x = torch.randn(len(theta), p + n_obs, m, device=theta.device, dtype=theta.dtype)
        x.mul_(sds[:, None])[:, :p] = 0.0
        now = x[..., None].unbind(1)
        past = x.flatten(1).unfold(1, p * m, m)[..., None].unbind(1)
        # From here on nothing is random, and nobody need look at each operation to seed it.
        with nothing_random():
            for t in range(n_obs):
                now[p + t].baddbmm_(weights, past[t])
        return x[:, p:]

    def log_likelihood(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x | theta) of one data set x (N, m), at theta (..., D): shape (...), in float64."""
        data = one_data_set(x, features=self.series).double()
        rows = theta.double().cpu().reshape(-1, self.dim)
        coefficients, sds = self.split(rows)
        padded = torch.cat([data.new_zeros(self.lags, self.series), data])
        n = len(data)
        past = [padded[self.lags - h : self.lags - h + n] for h in range(1, self.lags + 1)]
        expected = torch.cat(past, 1) @ side_by_side(coefficients).mT
        errors = (data - expected) / sds[:, None]
        log_each = sds.log().sum(-1) + 0.5 * self.series * math.log(2 * math.pi)
        total = -0.5 * errors.square().sum((-2, -1)) - n * log_each
        return total.reshape(theta.shape[:-1])

    def config(self) -> dict[str, Any]:
        return dict(self._config)
