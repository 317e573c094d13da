"""GAndK: a flexible law with heavy tails that is easy to draw from and awkward to evaluate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Gamma, Normal

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.product import Product
from diffsbi_edu.runtime import normal_cdf

C, UNIT = 0.8, 10.0
FURTHEST = 40.0  # |z| that the inverse looks within: the normal density out there is e^−800
BISECTIONS, NEWTON_STEPS = 20, 5
COARSE = 1e-3  # within this distance of ±1 the gaps between float32 numbers begin to matter


class GAndK(Problem):
    """theta = (a, b, g, k), the location, scale, skewness and tail weight of N observations.

    An observation is a normal number z bent by a quantile function,
    y = a + b (1 + 0.8 tanh(g z / 2)) (1 + z²)^k z. Its density has no closed form, since y(z)
    cannot be solved for z by hand, though it can by a computer: see `log_likelihood`.
    The prior is a ~ N(0, 1), b ~ Gamma(5, scale 1/5), g ~ N(0, 1), k ~ Gamma(7, scale 1/7),
    independently; b and k are 1 on average.

    Tails are heavy: among 1,000 numbers there are some of 1,000 and more, which no network could
    stand. **The data are therefore x = tanh(y / 10)**, between −1 and 1, as in the paper's public
    code; `squash` and `unsquash` go from y to x and back. theta is in the units of y.

    Args:
        n_obs: number of observations N, or a range (low, high).

    Raises:
        ValueError: `n_obs` is impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; the law is in Rayner &
    MacGillivray (2002), Statistics and Computing 12, 57–75.

    Example:
        >>> problem = GAndK(n_obs=100)
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.log_likelihood(theta, x[0]).shape
        (torch.Size([3, 100, 1]), torch.Size([3]))
    """

    data_kind = "set"
    theta_names = ("a", "b", "g", "k")
    x_names = ("tanh(y / 10)",)

    def __init__(self, n_obs: int | tuple[int, int] = (100, 1000)) -> None:
        self._config = {"n_obs": n_obs}
        standard = Normal(0.0, 1.0)
        prior = Product([standard, Gamma(5.0, 5.0), standard, Gamma(7.0, 7.0)])
        super().__init__(prior, self._simulator, n_obs=n_obs, name="g_and_k")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        z = torch.randn(len(theta), n_obs, device=theta.device)
        return self.squash(quantile(z, theta[:, None, :]))[..., None]

    @staticmethod
    def squash(y: torch.Tensor) -> torch.Tensor:
        """x = tanh(y / 10)."""
        return torch.tanh(y / UNIT)

    @staticmethod
    def unsquash(x: torch.Tensor) -> torch.Tensor:
        """y = 10 artanh(x), infinite for x = ±1."""
        return UNIT * torch.atanh(x)

    def log_likelihood(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x | theta) of one data set x (N, 1), at theta (..., 4): shape (...), in float64.

        p(x) = N(z; 0, 1) / (dx/dz), where z solves x(z) = x. Computers store x in steps: next to
        ±1 one float32 number stands for a whole range of y (and 1 itself for everything above 80
        or so). There, the probability of the range is what counts; it is divided by the range's
        length in x, so that both agree where they meet.

        Raises:
            TypeError, ValueError: x is no (N, 1) of numbers between −1 and 1; see `as_observation`.
        """
        x32 = one_data_set(x, features=1)[:, 0]
        if (x32.abs() > 1).any():
            raise ValueError(
                "g-and-k data are x = tanh(y / 10), between −1 and 1; use GAndK.squash(y)."
            )
        theta = theta.double().cpu()[..., None, :]
        coarse = 1 - x32.abs() < COARSE
        total = torch.zeros(theta.shape[:-2], dtype=torch.float64)
        if not bool(coarse.all()):
            total = total + _log_density(theta, x32[~coarse].double()).sum(-1)
        if bool(coarse.any()):
            total = total + _log_mass(theta, x32[coarse]).sum(-1)
        return total

    def config(self) -> dict[str, Any]:
        return dict(self._config)


def quantile(z: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """y (...) of standard normal z (...), for theta (..., 4) that broadcasts against it."""
    a, b, g, k = theta.unbind(-1)
    return a + b * (1 + C * torch.tanh(0.5 * g * z)) * z * torch.exp(k * torch.log1p(z * z))


def log_slope(z: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """log dy/dz at z (...), for theta (..., 4) that broadcasts against it."""
    _, b, g, k = theta.unbind(-1)
    tanh = torch.tanh(0.5 * g * z)
    bent = (1 + C * tanh) * (1 + (2 * k + 1) * z * z) / (1 + z * z)
    skewed = 0.5 * C * g * z * (1 - tanh * tanh)
    return b.log() + k * torch.log1p(z * z) + (bent + skewed).log()


def inverse_quantile(y: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """z that solves quantile(z, theta) = y, to float64's precision, between −40 and 40.

    Bisection finds the neighbourhood whatever the curve looks like; from there on a few steps of
    Newton's method double the number of right digits each.
    """
    high = torch.full_like(y + theta[..., 0], FURTHEST)
    low = -high
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = quantile(middle, theta) < y
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    z = 0.5 * (low + high)
    for _ in range(NEWTON_STEPS):
        step = (quantile(z, theta) - y) * torch.exp(-log_slope(z, theta))
        z = torch.minimum(torch.maximum(z - step, low), high)
    return z


def _log_density(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    z = inverse_quantile(GAndK.unsquash(x), theta)
    log_stretch = math.log(UNIT) - torch.log1p(-(x**2))  # dy/dx
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - log_slope(z, theta) + log_stretch


def _log_mass(theta: torch.Tensor, x32: torch.Tensor) -> torch.Tensor:
    """log of the probability of all y that are stored as x32, per length of that range in x."""
    size = x32.abs()
    x, above, below = (
        value.double()
        for value in (
            size,
            torch.nextafter(size, torch.full_like(size, 2.0)),
            torch.nextafter(size, torch.zeros_like(size)),
        )
    )
    inner, outer = (x + below) / 2, torch.where(x < 1, (x + above) / 2, 1.0)
    sign = torch.sign(x32).double()
    near, far = (
        sign * inverse_quantile(sign * GAndK.unsquash(edge.clamp(max=1.0)).clamp(max=1e30), theta)
        for edge in (inner, outer)
    )
    mass = normal_cdf(-near) - normal_cdf(-far)
    return mass.clamp_min(1e-300).log() - (outer - inner).log()
