"""The exact posterior of `AR1`: a conjugate regression given phi, and a quadrature over phi."""

from __future__ import annotations

import math

import torch

from diffsbi_edu.problems.normal import draw_mean_and_sd, log_density
from diffsbi_edu.problems.posterior import ExactPosterior

EDGE = 16.0  # |artanh phi| beyond which the posterior's mass is below e^−48
CELLS_AN_SD = 25  # the posterior of artanh phi is about 1/√N wide, or wider


class AR1Posterior(ExactPosterior):
    """p(phi | x) p(mean, sd | phi, x), the first by quadrature, the second in closed form.

    With d_1 = √(1 − phi²) and d_t = 1 − phi, the numbers y_1 = d_1 x_1 and y_t = x_t − phi x_{t−1}
    are independent N(d_t · mean, sd²): a regression on d with one coefficient, conjugate to the
    prior. Its evidence, times the Jacobian √(1 − phi²) of x → y, is proportional to p(phi | x),
    the prior being flat. The integral over v = artanh(phi), where the integrand is smooth and falls
    off at both ends, is a sum over a regular grid, accurate far beyond float32.

    Args:
        x: the series, (N,).
        shape: of the prior of sd².
        rate: of the prior of sd².
    """

    def __init__(self, x: torch.Tensor, shape: float, rate: float) -> None:
        series = x.double()
        # About the series' own mean, lest sums of squares of a far-off level swamp the rest.
        self._centre = series.mean()
        off = series - self._centre
        later, earlier = off[1:], off[:-1]
        self._n, self._first = len(series), off[0]
        self._sums = later.sum(), earlier.sum()
        self._squares = later @ later, later @ earlier, earlier @ earlier
        self._shape, self._rate = torch.tensor(shape + 0.5 * self._n).double(), rate
        cells = 2 * EDGE * CELLS_AN_SD * math.sqrt(self._n + 3)
        self._step = 2 * EDGE / math.ceil(cells)
        self._v = torch.arange(-EDGE, EDGE, self._step, dtype=torch.float64) + 0.5 * self._step
        log_mass = self._log_evidence(self._v) + _log_one_minus_square(self._v)
        self._log_z = torch.logsumexp(log_mass, 0) + math.log(self._step)
        self._mass = (log_mass - self._log_z).exp() * self._step

    def _regression(self, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """loc (about the centre), count and rate of (mean, sd) given phi = tanh(v)."""
        phi, one_minus = torch.tanh(v), 2 / (1 + torch.exp(2 * v))
        start = _log_one_minus_square(v).exp()  # d_1²
        squares = start + (self._n - 1) * one_minus**2
        products = start * self._first + one_minus * (self._sums[0] - phi * self._sums[1])
        total = start * self._first**2
        total = total + self._squares[0] - 2 * phi * self._squares[1] + phi**2 * self._squares[2]
        loc = (products - self._centre) / (1 + squares)
        excess = total + self._centre**2 - (1 + squares) * loc**2
        return loc, 1 + squares, self._rate + 0.5 * excess.clamp_min(0)

    def _log_evidence(self, v: torch.Tensor) -> torch.Tensor:
        """log p(x | phi), up to a constant."""
        _, count, rate = self._regression(v)
        return 0.5 * _log_one_minus_square(v) - 0.5 * count.log() - self._shape * rate.log()

    def table(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The marginal posterior of phi: points (n,) and its density there, (n,), in float64."""
        log_density = self._log_evidence(self._v) - self._log_z
        return torch.tanh(self._v), log_density.exp()

    def _draw(self, n: int) -> torch.Tensor:
        mass = self._mass.cumsum(0)
        cell = torch.searchsorted(mass, torch.rand(n, dtype=torch.float64) * mass[-1])
        cell = cell.clamp(max=len(mass) - 1)
        v = self._v[cell] + self._step * (torch.rand(n, dtype=torch.float64) - 0.5)
        loc, count, rate = self._regression(v)
        mean, sd = draw_mean_and_sd(loc, count, self._shape, rate).unbind(-1)
        largest = 1 - 2.0**-24  # the last float32 before 1
        return torch.stack([mean + self._centre, torch.tanh(v).clamp(-largest, largest), sd], -1)

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        outside = (theta[..., 1].abs() >= 1) | (theta[..., 2] <= 0)
        v = torch.atanh(theta[..., 1].masked_fill(outside, 0.0))
        loc, count, rate = self._regression(v)
        given_phi = torch.stack([theta[..., 0] - self._centre, theta[..., 2]], -1)
        log_given = log_density(given_phi, loc, count, self._shape, rate)
        log_phi = self._log_evidence(v) - self._log_z
        return (log_given + log_phi).masked_fill(outside, -math.inf).float()


def _log_one_minus_square(v: torch.Tensor) -> torch.Tensor:
    """log(1 − tanh(v)²), accurate where the tanh rounds to ±1."""
    return 2 * (math.log(2) - v.abs() - torch.log1p(torch.exp(-2 * v.abs())))
