"""TwoMoons: a sharp crescent, twice; the standard test for multimodal posteriors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Independent, Uniform

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import ExactPosterior

MEAN_RADIUS, SD_RADIUS, SHIFT = 0.1, 0.01, 0.25


class TwoMoons(Problem):
    """Uniform prior on [−1, 1]²; the data are a noisy crescent, moved by a two-to-one map of theta.

    With a ~ U(−π/2, π/2) and r ~ N(0.1, 0.01²):
    x = (r cos a + 0.25, r sin a) + (−|theta1 + theta2|, −theta1 + theta2) / √2.
    The absolute value makes theta and its mirror image in the line theta1 = −theta2 equally likely,
    so the posterior is two crescents of thickness 0.01.

    Source: Greenberg et al. (2019), arXiv 1905.07488, section 5.1, as parametrised in Lueckmann et
    al. (2021), arXiv 2101.04653, T.8.

    Example:
        >>> import torch
        >>> exact = TwoMoons().posterior(torch.zeros(1, 2))
        >>> exact.sample((5,), seed=0).shape
        torch.Size([5, 2])
    """

    theta_names = ("theta 1", "theta 2")
    x_names = ("x 1", "x 2")

    def __init__(self) -> None:
        prior = Independent(Uniform(-torch.ones(2), torch.ones(2)), 1)
        super().__init__(prior, self._simulator, name="two_moons")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        return _crescent(len(theta), theta.device) + _shift(theta)

    def posterior(self, x_obs: torch.Tensor) -> TwoMoonsPosterior:
        """The exact posterior given one observation x_obs (1, 2)."""
        return TwoMoonsPosterior(one_data_set(x_obs, features=2, n_obs=1)[0])

    def config(self) -> dict[str, Any]:
        return {}


class TwoMoonsPosterior(ExactPosterior):
    """Exact draws by inverting the simulator; the density by a change of variables.

    Given x, a crescent point p fixes |theta1 + theta2| = √2 (p1 − x1) and theta2 − theta1 =
    √2 (x2 − p2), up to the sign of the first. The map has a constant Jacobian, so drawing p from
    its own distribution and a fair sign, and keeping what lies inside the prior, is exact.
    """

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x.double()
        self._log_z = self._log_normaliser()

    def _theta(self, p: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
        total = sign * math.sqrt(2) * (p[..., 0] - self.x[0])
        difference = math.sqrt(2) * (self.x[1] - p[..., 1])
        return torch.stack([(total - difference) / 2, (total + difference) / 2], -1)

    def _draw(self, n: int) -> torch.Tensor:
        if not math.isfinite(self._log_z):
            raise ValueError(
                f"no theta in the prior's support can produce x_obs = {self.x.tolist()}."
            )
        kept: list[torch.Tensor] = []
        while sum(map(len, kept)) < n:
            p = _crescent(2 * n + 64, torch.device("cpu")).double()
            sign = torch.where(torch.rand(len(p)) < 0.5, -1.0, 1.0)
            theta = self._theta(p, sign)
            inside = (p[:, 0] >= self.x[0]) & (theta.abs() <= 1).all(1)
            kept.append(theta[inside])
            if sum(map(len, kept)) == 0 and len(kept) >= 1000:
                raise ValueError(f"x_obs = {self.x.tolist()} is too improbable to draw from.")
        return torch.cat(kept)[:n]

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        p = self.x - _shift(theta)
        log_density = _crescent_log_density(p)
        outside = (theta.abs() > 1).any(-1)
        return (log_density - self._log_z).masked_fill(outside, -math.inf).float()

    def _log_normaliser(self, n: int = 1001) -> float:
        """log of the crescent's mass that maps into the prior's box, both signs, by quadrature."""
        angle = (torch.arange(n, dtype=torch.float64) + 0.5) / n * math.pi - math.pi / 2
        normal = torch.special.ndtri((torch.arange(101, dtype=torch.float64) + 0.5) / 101)
        radius = (MEAN_RADIUS + SD_RADIUS * normal)[:, None]
        p = torch.stack([radius * angle.cos() + SHIFT, radius * angle.sin()], -1)
        mass = torch.zeros((), dtype=torch.float64)
        for sign in (-1.0, 1.0):
            theta = self._theta(p, torch.tensor(sign, dtype=torch.float64))
            inside = (p[..., 0] >= self.x[0]) & (theta.abs() <= 1).all(-1)
            mass = mass + inside.double().mean()
        return float(mass.log())


def _shift(theta: torch.Tensor) -> torch.Tensor:
    total, difference = theta[..., 0] + theta[..., 1], theta[..., 1] - theta[..., 0]
    return torch.stack([-total.abs(), difference], -1) / math.sqrt(2)


def _crescent(n: int, device: torch.device) -> torch.Tensor:
    angle = math.pi * (torch.rand(n, device=device) - 0.5)
    radius = MEAN_RADIUS + SD_RADIUS * torch.randn(n, device=device)
    return torch.stack([radius * angle.cos() + SHIFT, radius * angle.sin()], -1)


def _crescent_log_density(p: torch.Tensor) -> torch.Tensor:
    """log density of a crescent point in the plane: p(r, a) over the polar Jacobian r."""
    first = p[..., 0] - SHIFT
    radius = torch.hypot(first, p[..., 1])
    log_radius = -0.5 * ((radius - MEAN_RADIUS) / SD_RADIUS) ** 2
    log_radius = log_radius - math.log(SD_RADIUS * math.sqrt(2 * math.pi))
    log_density = log_radius - math.log(math.pi) - radius.clamp_min(1e-300).log()
    return log_density.masked_fill(first < 0, -math.inf)
