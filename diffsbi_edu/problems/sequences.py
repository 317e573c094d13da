"""AR1 and StochasticVolatility: time series driven by a first-order recurrence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Normal, Uniform

from diffsbi_edu.problems.ar1_posterior import AR1Posterior
from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.normal import NormalInverseGamma, check_shape_and_rate
from diffsbi_edu.problems.parts import in_cache
from diffsbi_edu.problems.product import Product
from diffsbi_edu.runtime import nothing_random


class AR1(Problem):
    """theta = (mean, phi, sd): x_t = mean + phi (x_{t−1} − mean) + sd · eps_t, eps_t ~ N(0, 1).

    The series starts in its stationary law, x_1 ~ N(mean, sd²/(1 − phi²)). The prior is
    phi ~ U(−1, 1), sd² ~ InvGamma(shape, rate) and mean | sd ~ N(0, sd²): given phi the model is a
    conjugate regression, and phi alone is left to a one-dimensional integral, so that the posterior
    is exact for any N. At phi = 0 the problem is `NormalGamma`.

    Args:
        n_obs: number of time steps N, or a range (low, high).
        shape: of the prior of sd², positive.
        rate: of the prior of sd², positive, in squared units of x.

    Raises:
        ValueError: shape or rate not positive, or `n_obs` impossible.

    Source: Hamilton (1994), *Time Series Analysis*, section 5.2, for the likelihood; the prior is
    ours.

    Example:
        >>> problem = AR1(n_obs=100)
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.posterior(x[0]).sample((5,), seed=1).shape
        (torch.Size([3, 100, 1]), torch.Size([5, 3]))
    """

    data_kind = "sequence"
    theta_names = ("mean", "phi", "sd")
    x_names = ("x",)

    def __init__(
        self,
        n_obs: int | tuple[int, int] = (100, 500),
        *,
        shape: float = 4.0,
        rate: float = 4.0,
    ) -> None:
        check_shape_and_rate(shape, rate)
        self.shape, self.rate = float(shape), float(rate)
        self._config = {"n_obs": n_obs, "shape": self.shape, "rate": self.rate}
        level = NormalInverseGamma(0.0, 1.0, self.shape, self.rate)
        prior = Product([level, Uniform(-1.0, 1.0)], columns=[(0, 2), (1,)])
        super().__init__(prior, self._simulator, n_obs=n_obs, name="ar1")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        mean, phi, sd = theta.T[:, :, None]
        noise = torch.randn(len(theta), n_obs, device=theta.device).mul_(sd)
        # torch's Uniform(−1, 1) returns −1 itself once in 16 million draws.
        noise[:, :1] /= ((1 - phi) * (1 + phi)).clamp_min(2.0**-24).sqrt()
        return linear_recurrence(noise, theta[:, 1], out=noise).add_(mean)[..., None]

    def log_likelihood(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x | theta) of one data set x (N, 1), at theta (..., 3): shape (...), in float64.

        One step's error after another is normal: x_1's about the mean, then each x_t's about what
        x_{t−1} foretells.
        """
        series = one_data_set(x, features=1)[:, 0].double()
        mean, phi, sd = theta.double().cpu()[..., None, :].unbind(-1)
        off = series - mean
        first = off[..., :1] * ((1 - phi) * (1 + phi)).sqrt()
        errors = torch.cat([first, off[..., 1:] - phi * off[..., :-1]], -1) / sd
        log_start = 0.5 * ((1 - phi) * (1 + phi)).log()[..., 0]
        log_each = -0.5 * errors**2 - sd.log() - 0.5 * math.log(2 * math.pi)
        return log_start + log_each.sum(-1)

    def posterior(self, x_obs: torch.Tensor) -> AR1Posterior:
        """The exact posterior given x_obs (N, 1), for any N."""
        return AR1Posterior(one_data_set(x_obs, features=1)[:, 0], self.shape, self.rate)

    def config(self) -> dict[str, Any]:
        return dict(self._config)


class StochasticVolatility(Problem):
    """theta = (mu, phi, eta): returns whose log variance h_t wanders, x_t = exp(h_t / 2) eps_t.

    h_t = mu + phi (h_{t−1} − mu) + eta · xi_t with eps_t, xi_t ~ N(0, 1), for t = 1 … N − 1, and
    h_0 = mu + eta · xi_0. Calm and stormy stretches follow one another, as they do on a stock
    exchange. The prior is mu ~ N(−1, 0.5²), phi ~ U(0.9, 0.999), eta ~ U(0.1, 0.3).

    The likelihood is an integral over the whole path of h: there is no exact posterior, though
    one-dimensional quadrature, step by step, comes close (Kitagawa 1987); that is how the reference
    draws were made against which the tests judge what is learnt.

    Args:
        n_obs: number of time steps N, or a range (low, high).

    Raises:
        ValueError: `n_obs` is impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; Kim, Shephard & Chib (1998),
    Review of Economic Studies 65, 361–393, whose h_0 is stationary where the paper's is not.

    Example:
        >>> theta, x = StochasticVolatility(n_obs=300).sample(3, seed=0)
        >>> theta.shape, x.shape
        (torch.Size([3, 3]), torch.Size([3, 300, 1]))
    """

    data_kind = "sequence"
    theta_names = ("mu", "phi", "eta")
    x_names = ("return",)

    def __init__(self, n_obs: int | tuple[int, int] = (300, 1500)) -> None:
        self._config = {"n_obs": n_obs}
        prior = Product([Normal(-1.0, 0.5), Uniform(0.9, 0.999), Uniform(0.1, 0.3)])
        super().__init__(prior, self._simulator, n_obs=n_obs, name="stochastic_volatility")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        h = self.log_variance(theta, n_obs)
        return torch.randn_like(h).mul_(h.mul_(0.5).exp_())[..., None]

    @staticmethod
    def log_variance(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        """Paths of h (B, N) for theta (B, 3)."""
        mu, phi, eta = theta.T[:, :, None]
        steps = torch.randn(len(theta), n_obs, device=theta.device).mul_(eta)
        return linear_recurrence(steps, phi[:, 0], out=steps).add_(mu)

    def config(self) -> dict[str, Any]:
        return dict(self._config)


def linear_recurrence(
    noise: torch.Tensor, phi: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """y (B, N) with y_1 = noise_1 and y_t = phi y_{t−1} + noise_t, in log2 N passes, not N.

    After each pass y_t holds the noise of the last d steps, weighted by powers of phi; adding
    phi^d y_{t−d} doubles d (Kogge & Stone 1973).

    Args:
        noise: (B, N), time along the last axis.
        phi: (B,), between −1 and 1.
        out: where y is put; this can be `noise`.

    Raises:
        ValueError: shapes that do not match.

    Example:
        >>> linear_recurrence(torch.tensor([[1.0, 0.0, 0.0, 2.0]]), torch.tensor([0.5]))
        tensor([[1.0000, 0.5000, 0.2500, 2.1250]])
    """
    if noise.ndim != 2 or phi.shape != noise.shape[:1]:
        raise ValueError(
            f"noise must be (B, N) and phi (B,), got {tuple(noise.shape)} and {tuple(phi.shape)}."
        )
    out = torch.empty_like(noise) if out is None else out
    rows = in_cache(noise)
    with nothing_random():
        for some, its, y in zip(noise.split(rows), phi.split(rows), out.split(rows), strict=True):
            y.copy_(_doubled(some, its))
    return out


def _doubled(noise: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    y, weight, known = noise, phi[:, None], 1
    spare = [torch.empty_like(noise), torch.empty_like(noise)]
    while known < noise.shape[1]:
        longer = spare.pop()
        longer[:, :known] = y[:, :known]
        torch.addcmul(y[:, known:], weight, y[:, :-known], out=longer[:, known:])
        if y is not noise:
            spare.append(y)
        y, weight, known = longer, weight * weight, 2 * known
    return y
