"""SumOfCosines: one noisy number about two parameters, and a posterior in many pieces."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Independent, Uniform

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import ExactPosterior

CELLS = 512  # along each axis of the grid that the exact posterior is tabulated on
STEEPEST = 6.0  # largest |∂f/∂theta_i|: 1 + 2 + 3 for the first parameter, 1 + 1 + 4 for the second


class SumOfCosines(Problem):
    """theta uniform on [−π, π]²; x ~ N(f(theta), noise²), f a sum of three cosines.

    f(theta) = cos(θ1 − θ2) + cos(2 θ1 + θ2) + cos(3 θ1 − 4 θ2). Whole curves of theta give the same
    f: the posterior is made of closed rings and bands, which break into islands for extreme x.

    Args:
        noise: sd of x about f(theta).

    Raises:
        ValueError: noise not positive.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 1.

    Example:
        >>> import torch
        >>> exact = SumOfCosines().posterior(torch.tensor([[2.5]]))
        >>> exact.sample((5,), seed=0).shape
        torch.Size([5, 2])
    """

    theta_names = ("theta 1 (rad)", "theta 2 (rad)")
    x_names = ("x",)

    def __init__(self, noise: float = 1.0) -> None:
        if not 0 < noise < math.inf:
            raise ValueError(f"noise, the sd of x, must be positive, got {noise}.")
        self.noise = float(noise)
        box = torch.full((2,), math.pi)
        super().__init__(Independent(Uniform(-box, box), 1), self._simulator, name="sum_of_cosines")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        mean = self.mean(theta)[:, None]
        return mean + self.noise * torch.randn_like(mean)

    @staticmethod
    def mean(theta: torch.Tensor) -> torch.Tensor:
        """f(theta), between −3 and 3, for theta (..., 2): shape (...)."""
        a, b = theta[..., 0], theta[..., 1]
        return torch.cos(a - b) + torch.cos(2 * a + b) + torch.cos(3 * a - 4 * b)

    def posterior(self, x_obs: torch.Tensor) -> SumOfCosinesPosterior:
        """The exact posterior given one observation x_obs (1, 1)."""
        x = one_data_set(x_obs, features=1, n_obs=1)
        return SumOfCosinesPosterior(float(x[0, 0]), self.noise)

    def config(self) -> dict[str, Any]:
        return {"noise": self.noise}


class SumOfCosinesPosterior(ExactPosterior):
    """The posterior by a fine grid, with rejection to make the draws exact.

    The likelihood is smooth and periodic in both parameters, so that sums over a regular grid give
    its integral with an error that falls exponentially in the number of cells. A draw takes a cell
    by its mass and a point uniformly within it, and keeps the point with the probability that
    corrects for the slope inside the cell.
    """

    def __init__(self, x: float, noise: float) -> None:
        self._x, self._noise = x, noise
        # The grid must resolve a likelihood of sd noise in f: narrower noise, more cells.
        self._cells = max(CELLS, min(4096, math.ceil(CELLS / (2 * noise))))
        self._cell = 2 * math.pi / self._cells
        axis = -math.pi + self._cell * (torch.arange(self._cells, dtype=torch.float64) + 0.5)
        self._axis = axis
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        self._log_table = self._log_likelihood(grid)
        self._log_z = torch.logsumexp(self._log_table.flatten(), 0) + 2 * math.log(self._cell)

    def _log_likelihood(self, theta: torch.Tensor) -> torch.Tensor:
        return -0.5 * ((self._x - SumOfCosines.mean(theta)) / self._noise) ** 2

    def table(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Midpoints (n,) of the grid along either axis, and the density there, (n, n).

        The first axis of the density is theta 1. It sums to 1 over cells of area (2π/n)².
        """
        return self._axis.float(), (self._log_table - self._log_z).exp().float()

    def _draw(self, n: int) -> torch.Tensor:
        mass = (self._log_table - self._log_z).exp().flatten().cumsum(0)
        steepest = (abs(self._x) + 3) / self._noise**2 * STEEPEST
        log_bound = steepest * self._cell  # half a cell along each axis
        kept: list[torch.Tensor] = []
        while sum(map(len, kept)) < n:
            u = torch.rand(int(1.2 * n * math.exp(min(log_bound, 3.0))) + 64, dtype=torch.float64)
            cell = torch.searchsorted(mass, u * mass[-1]).clamp(max=len(mass) - 1)
            corner = torch.stack([self._axis[cell // self._cells], self._axis[cell % self._cells]])
            theta = corner.T + self._cell * (torch.rand(len(u), 2, dtype=torch.float64) - 0.5)
            log_ratio = self._log_likelihood(theta) - self._log_table.flatten()[cell]
            accepted = torch.rand(len(u), dtype=torch.float64).log() < log_ratio - log_bound
            kept.append(theta[accepted])
        return torch.cat(kept)[:n].clamp(-math.pi, math.pi)

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        outside = (theta.abs() > float(torch.tensor(math.pi))).any(-1)
        log_density = self._log_likelihood(theta) - self._log_z
        return log_density.masked_fill(outside, -math.inf).float()
