"""The exact posterior of `DirichletLaplace`: given sigma, a hundred separate small problems."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.tables import draw_cells, draw_one_each, spread

STEP = 1 / 16  # of ln psi, ln lambda and their sum w = ln(psi · lambda)
FINE, COARSE = 2, 4  # steps from one point to the next, for draws of w and for integrals over it
PSI_RANGE, LAMBDA_RANGE = (-88.0, 4.5), (-22.0, 4.0)  # all but 3e-9 of the prior
NOTHING = -8.0  # w below which a mean is zero to the likelihood: N(0, sigma²) to 1e-7
SIGMA_RANGE, SIGMA_CELLS, SIGMA_CUT = (-1.5, 2.5), 48, 24.0  # of ln sigma; nats below the maximum
AT_ONCE = 2**21  # numbers in the largest table


class ShrinkagePosterior(ExactPosterior):
    """Exact draws of (mu, tau, sigma) given x.

    psi_i = tau · delta_i are independent Gamma(a, scale 2) in the prior, and tau is their sum. So
    given sigma the triples (mu_i, psi_i, lambda_i) are independent a posteriori, and with mu_i
    integrated out x_i ~ N(0, sigma² + exp(2 w_i)), w_i = ln(psi_i lambda_i). That is one smooth
    integral for each i; their product and the prior make sigma's posterior, on a grid. Backwards:
    draw sigma, then each w_i, then psi_i given w_i, then mu_i, which is normal.

    In logarithms every integrand is smooth and falls off exponentially at either end, so that sums
    over regular grids are accurate to many digits. Draws are uniform within cells of 1/8 of w and
    1/16 of ln lambda, whose sds are 0.4 or more.

    Args:
        x: the observations, (n,).
        concentration: a of the Dirichlet.
        sigma_shape: shape and rate of sigma²'s inverse gamma prior.

    Raises:
        ValueError: x is so large that no sigma between e^−1.5 and e^2.5 explains it.
    """

    def __init__(self, x: torch.Tensor, concentration: float, sigma_shape: float) -> None:
        self._x, self._scales = x.double(), scale_tables(concentration)
        self._sigma_shape = sigma_shape
        low, high = SIGMA_RANGE
        for cut in (60.0, SIGMA_CUT):
            line = torch.linspace(low, high, SIGMA_CELLS, dtype=torch.float64)
            logs = self._log_sigma(line)
            kept = line[logs > logs.max() - cut]
            if not len(kept) or logs.argmax() in (0, SIGMA_CELLS - 1):
                raise ValueError(
                    f"x_obs, with entries up to {float(x.abs().max()):.3g}, is too improbable "
                    "under the Dirichlet–Laplace model (x is about N(0, 1), some entries larger)."
                )
            step = float(line[1] - line[0])
            low, high = float(kept[0]) - step, float(kept[-1]) + step
        line = torch.linspace(low, high, SIGMA_CELLS, dtype=torch.float64)
        curve = CubicSpline(line.numpy(), self._log_sigma(line).numpy())
        fine = np.linspace(low, high, 16 * SIGMA_CELLS)
        self._log_sigmas, self._sigma_step = torch.from_numpy(fine), float(fine[1] - fine[0])
        self._sigma_mass = torch.log_softmax(torch.from_numpy(curve(fine)), 0)

    def sigma(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The marginal posterior of sigma: points (m,) and its density there."""
        sigma = self._log_sigmas.exp()
        return sigma, self._sigma_mass.exp() / (self._sigma_step * sigma)

    def _log_sigma(self, log_sigma: torch.Tensor) -> torch.Tensor:
        """log density of ln sigma (m,) given x, up to a constant."""
        shape = self._sigma_shape
        log_prior = -2 * shape * log_sigma - shape * torch.exp(-2 * log_sigma)
        table = _masses(self._x, log_sigma, self._scales.coarse, self._scales.coarse_mass)
        return log_prior + table.sum(-1).log().sum(-1)

    def _draw(self, n: int) -> torch.Tensor:
        cell = draw_cells(self._sigma_mass, n)
        log_sigma = spread(self._log_sigmas[cell], self._sigma_step)
        rows = max(1, AT_ONCE // (len(self._x) * len(self._scales.fine)))
        return torch.cat([self._given(some) for some in log_sigma.split(rows)])

    def _given(self, log_sigma: torch.Tensor) -> torch.Tensor:
        """One draw of theta for each ln sigma (m,): (m, n + 2)."""
        tables = self._scales
        table = _masses(self._x, log_sigma, tables.fine, tables.fine_mass)
        w, psi = tables.draw(draw_one_each(table))
        noise = torch.exp(2 * log_sigma)[:, None]
        signal = torch.exp(2 * w)
        share = signal / (signal + noise)
        means = share * self._x + (share * noise).sqrt() * torch.randn_like(w)
        return torch.cat([means, psi.sum(1, keepdim=True), log_sigma.exp()[:, None]], 1)

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        """Not available.

        Raises:
            NotImplementedError: always; the message says why.
        """
        raise NotImplementedError(
            "the Dirichlet–Laplace posterior has exact draws but no tractable density (given the "
            "means, tau is a sum of as many unknown scales); compare draws with sample()."
        )


class ScaleTables(NamedTuple):
    """The prior of w = ln(psi · lambda), and of ln lambda given w, on a grid of w.

    The first entry of `fine` and of `coarse` stands for all w below −8.
    """

    fine: torch.Tensor
    fine_mass: torch.Tensor
    coarse: torch.Tensor
    coarse_mass: torch.Tensor
    w: torch.Tensor  # all of the grid, also below −8
    nothing: torch.Tensor  # mass of w below −8, cumulated
    log_lambda: torch.Tensor
    lines: torch.Tensor  # row + P(ln lambda ≤ … | w of that row), one row after another

    def draw(self, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """w and psi for cells of `fine`, each of its shape."""
        below = len(self.nothing)
        u = torch.rand(cell.shape, dtype=torch.float64) * self.nothing[-1]
        tiny = torch.searchsorted(self.nothing, u, right=True).clamp(max=below - 1)
        row = torch.where(cell == 0, tiny, below + FINE * (cell - 1))
        place = torch.searchsorted(self.lines, row + torch.rand_like(u), right=True)
        column = (place - row * len(self.log_lambda)).clamp(0, len(self.log_lambda) - 1)
        w = spread(self.w[row], torch.where(cell == 0, STEP, FINE * STEP))
        return w, torch.exp(w - spread(self.log_lambda[column], STEP))


@functools.lru_cache(maxsize=4)
def scale_tables(concentration: float) -> ScaleTables:
    """The tables for psi ~ Gamma(a, scale 2) and lambda ~ Exp(1), by convolution."""
    log_psi, log_lambda = (
        torch.arange(low, high, STEP, dtype=torch.float64)
        for low, high in (PSI_RANGE, LAMBDA_RANGE)
    )
    a = concentration
    of_psi = a * log_psi - log_psi.exp() / 2 - a * math.log(2) - math.lgamma(a)
    of_lambda = log_lambda - log_lambda.exp()
    count, inner = len(log_psi), len(log_lambda)
    w = (PSI_RANGE[0] + LAMBDA_RANGE[0]) + STEP * torch.arange(count + inner - 1).double()
    index = torch.arange(len(w))[:, None] - torch.arange(inner)  # which psi, for w and lambda
    outside = (index < 0) | (index >= count)
    joint = of_psi[index.clamp(0, count - 1)] + of_lambda
    joint = joint.masked_fill(outside, -math.inf).exp() * STEP**2
    mass = joint.sum(1)
    lines = joint.cumsum(1) / mass[:, None].clamp_min(1e-300) + torch.arange(len(w))[:, None]
    below = int((w < NOTHING).sum())
    first = torch.tensor([-math.inf], dtype=torch.float64)

    def lumped(every: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Every so many-th point, all below −8 as one."""
        small = mass[below % every : below : every].sum(0, keepdim=True)
        return torch.cat([first, w[below::every]]), every * torch.cat([small, mass[below::every]])

    return ScaleTables(
        *lumped(FINE),
        *lumped(COARSE),
        w,
        mass[:below].cumsum(0),
        log_lambda,
        lines.flatten(),
    )


def _masses(
    x: torch.Tensor, log_sigma: torch.Tensor, w: torch.Tensor, mass: torch.Tensor
) -> torch.Tensor:
    """mass(w) N(x; 0, sigma² + exp(2 w)) for x (n,), ln sigma (m,), w (k,): (m, n, k)."""
    variance = torch.exp(2 * log_sigma)[:, None] + torch.exp(2 * w)
    front = mass / torch.sqrt(2 * math.pi * variance)
    exponent = x.square()[:, None] * (-0.5 / variance)[:, None]
    return exponent.exp_().mul_(front[:, None])
