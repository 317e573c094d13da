"""The exact posterior of `SLCP`: three of five dimensions in closed form, one by rejection."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from scipy import special

from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.tables import draw_cells, spread
from diffsbi_edu.runtime import normal_cdf

HALF, POINTS = 3.0, 4
POWER = POINTS - 1.5  # of the gamma distribution in the module's formula
CELLS, REACH, WIDTH = (160, 120), 10.0, 0.05  # of the table of d and θ5; |d|, and how it is bent
FEWEST = 1e-5  # share of proposals inside the box below which drawing is given up
NODES = (12, 16)  # of the quadratures over q's gamma variable and over θ1, for `log_prob`


class SLCPPosterior(ExactPosterior):
    """Draws and density given 4 points, by a table in two dimensions and rejection.

    With sample mean m and scatter S, the mean (θ1, θ2) given the rest is N(m, Sigma/4), cut off at
    the prior's box. Leave the cut aside. What is left of the likelihood is
    |Sigma|^(−3/2) exp(−tr(Sigma⁻¹S)/2). In units of the data's own spread, let c be the mean and d
    the difference of the two log sds, r the sample correlation and rho = tanh θ5: then

        tr(Sigma⁻¹S)/2 = q e^(−2c),  q = (cosh d − rho r) / (1 − rho²),

    so that y = q e^(−2c) is a Gamma(5/2) variable, cut off from below where an sd would exceed 9.
    Its integral is an incomplete gamma function, and (d, θ5) remain, for a table. A draw is a cell
    and a uniform point in it, then y, two fair signs, the mean, *and then the cut*: where the mean
    falls outside its box, the whole draw is thrown away. What is kept has exactly the joint law.

    Args:
        x: (4, 2).

    Raises:
        ValueError: the points are too far apart for any theta; or, when drawing, hardly any mean
            falls inside the box: such x are too improbable.
    """

    def __init__(self, x: torch.Tensor) -> None:
        # Where θ3 or θ4 is nearly 0, points differ by less than float32 can tell; one time in some
        # thousands by nothing at all. What rounding may have taken is given back on average.
        size = x.abs().amax(0)
        rounding = (torch.nextafter(size, torch.full_like(size, math.inf)) - size).double()
        x = x.double()
        self._mean = x.mean(0)
        off = x - self._mean
        scatter = off.T @ off
        self._spreads = (scatter.diagonal() + POINTS * rounding**2 / 12).sqrt()
        self._r = float(scatter[0, 1] / self._spreads.prod())
        #: c + d/2 and c − d/2, the log sds, are at most these.
        self._most = 2 * math.log(HALF) - self._spreads.log()
        bends, line = (
            edge * ((torch.arange(cells, dtype=torch.float64) + 0.5) * 2 / cells - 1)
            for edge, cells in zip((math.asinh(REACH / WIDTH), HALF), CELLS, strict=True)
        )
        self._bends, self._line = bends, line
        d = WIDTH * torch.sinh(bends)
        self._log_table = self._log_density(d[:, None], line) + torch.cosh(bends).log()[:, None]
        if not bool(torch.isfinite(self._log_table.max())):
            raise ValueError(f"no theta in the prior's support can produce x_obs = {x.tolist()}.")

    def _q(self, d: torch.Tensor, theta5: torch.Tensor) -> torch.Tensor:
        # 1 − tanh² = 1/cosh², and cosh d − rho r without cancellation where d ≈ 0 and rho r ≈ 1.
        rho = torch.tanh(theta5)
        return (2 * torch.sinh(d / 2) ** 2 + 1 - rho * self._r) * torch.cosh(theta5) ** 2

    def _least(self, d: torch.Tensor, theta5: torch.Tensor) -> torch.Tensor:
        """The smallest y that keeps both sds within the prior."""
        largest_c = torch.minimum(self._most[0] - d / 2, self._most[1] + d / 2)
        return self._q(d, theta5) * torch.exp(-2 * largest_c)

    def _log_density(self, d: torch.Tensor, theta5: torch.Tensor) -> torch.Tensor:
        """log density of (d, θ5) before the cut, up to a constant; c integrated out.

        |Sigma|^(−3/2) times the Jacobian of (θ3, θ4) is ∝ e^(−5c) (1 − rho²)^(−3/2), and
        ∫ e^(−5c) exp(−q e^(−2c)) dc = q^(−5/2) Γ(5/2, y least) / 2.
        """
        upper = _upper_gamma(self._least(d, theta5))
        return 3 * torch.cosh(theta5).log() - POWER * self._q(d, theta5).log() + upper.log()

    def _theta(self, u: torch.Tensor, d: torch.Tensor, theta5: torch.Tensor) -> torch.Tensor:
        """(|θ3|, |θ4|, θ5), with y at the level u (0, 1) of its cut-off law: (..., 3)."""
        least = self._least(d, theta5)
        level = u * _upper_gamma(least)
        y = torch.from_numpy(special.gammainccinv(POWER, level.numpy())).maximum(least)
        c = 0.5 * (self._q(d, theta5) / y).log()
        logs = torch.stack([c + d / 2, c - d / 2], -1) + self._spreads.log()
        return torch.cat([(logs / 2).exp().clamp(max=HALF), theta5[..., None]], -1)

    def _draw(self, n: int) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        found, tried = 0, 0
        while found < n:
            share = max(found / tried, 1e-4) if tried else 1.0
            size = min(int(1.2 * (n - found) / share) + 64, 2**18)
            theta = self._proposals(size)
            theta = theta[(theta[:, :2].abs() <= HALF).all(1)]
            kept.append(theta)
            found, tried = found + len(theta), tried + size
            if found < FEWEST * tried and tried > 3 / FEWEST:
                raise ValueError(
                    f"x_obs with mean {self._mean.tolist()} is too improbable to draw from: its "
                    f"true mean lies within {HALF} of 0."
                )
        return torch.cat(kept)[:n]

    def _proposals(self, n: int) -> torch.Tensor:
        """Draws without the cut, (n, 5)."""
        cell = draw_cells(self._log_table, n)
        rows, columns = cell // CELLS[1], cell % CELLS[1]
        bend = spread(self._bends[rows], float(self._bends[1] - self._bends[0]))
        theta5 = spread(self._line[columns], float(self._line[1] - self._line[0]))
        rest = self._theta(torch.rand_like(bend), WIDTH * torch.sinh(bend), theta5)
        eps = torch.randn(n, 2, dtype=torch.float64) / math.sqrt(POINTS)
        second = torch.tanh(theta5) * eps[:, 0] + eps[:, 1] / torch.cosh(theta5)
        sd = rest[:, :2] ** 2
        mean = self._mean + sd * torch.stack([eps[:, 0], second], 1)
        signs = 2.0 * (torch.rand(n, 2) < 0.5) - 1
        return torch.cat([mean, rest[:, :2] * signs, rest[:, 2:]], 1)

    @functools.cached_property
    def inside(self) -> float:
        """The share of `_proposals` whose mean is inside the box, by quadrature.

        Over the table, y (Gauss–Legendre in its level) and θ1 (the same); θ2 in closed form.
        """
        log_mass = torch.log_softmax(self._log_table.flatten(), 0)
        near = torch.nonzero(log_mass > log_mass.max() - 12)[:, 0]
        levels, weights = _legendre(NODES[0])
        bends, theta5 = self._bends[near // CELLS[1]], self._line[near % CELLS[1]]
        total = torch.zeros(len(near), dtype=torch.float64)
        for level, weight in zip(levels, weights, strict=True):
            rest = self._theta(level.expand(len(near)), WIDTH * torch.sinh(bends), theta5)
            total += weight * self._box_mass(rest)
        return float(total @ log_mass[near].softmax(0))

    def _box_mass(self, rest: torch.Tensor) -> torch.Tensor:
        """P(mean inside the box) for (|θ3|, |θ4|, θ5) rows (m, 3): (m,)."""
        sd = rest[:, :2] ** 2 / math.sqrt(POINTS)
        low, high = (normal_cdf((edge - self._mean) / sd) for edge in (-HALF, HALF))
        levels, weights = _legendre(NODES[1])
        first = torch.special.ndtri(low[:, :1] + (high - low)[:, :1] * levels).clamp(-40, 40)
        rho, rest_sd = torch.tanh(rest[:, 2:]), sd[:, 1:] / torch.cosh(rest[:, 2:])
        centre = self._mean[1] + sd[:, 1:] * rho * first
        given = normal_cdf((HALF - centre) / rest_sd) - normal_cdf((-HALF - centre) / rest_sd)
        return (high - low)[:, 0] * (given @ weights)

    @functools.cached_property
    def log_evidence(self) -> float:
        """log p(x)."""
        cell = float((self._bends[1] - self._bends[0]) * (self._line[1] - self._line[0])) * WIDTH
        log_table = float(torch.logsumexp(self._log_table.flatten(), 0)) + math.log(cell)
        # Prior; two signs; the mean's integral; (2π)⁻⁴; Γ(5/2)/2; d(θ3, θ4) = √(sds)/4 d(c, d).
        constant = 5 * math.log(2 * HALF) - 2 * math.log(2) - math.log(2 * math.pi / POINTS)
        constant += POINTS * math.log(2 * math.pi) - math.lgamma(POWER) + math.log(2)
        constant += math.log(4) - (0.5 - (POINTS - 1)) * float(self._spreads.log().sum())
        return log_table + math.log(max(self.inside, 1e-300)) - constant

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        theta = theta.double().cpu()
        sd, theta5 = theta[..., 2:4] ** 2, theta[..., 4]
        off = (theta[..., :2] - self._mean) / sd
        ratio = self._spreads / sd
        rho = torch.tanh(theta5)
        squares = ratio.square().sum(-1) - 2 * rho * self._r * ratio.prod(-1)
        squares = squares + POINTS * (off.square().sum(-1) - 2 * rho * off.prod(-1))
        log_like = -POINTS * (math.log(2 * math.pi) + sd.log().sum(-1) - torch.cosh(theta5).log())
        log_like = log_like - 0.5 * squares * torch.cosh(theta5) ** 2
        log_density = log_like - 5 * math.log(2 * HALF) - self.log_evidence
        outside = (theta.abs() > HALF).any(-1) | (sd == 0).any(-1)
        return log_density.masked_fill(outside, -math.inf).float()


def _upper_gamma(y: torch.Tensor) -> torch.Tensor:
    """Γ(5/2, y) / Γ(5/2), which for a half of an odd number is elementary."""
    root = y.sqrt()
    return torch.erfc(root) + 2 / math.sqrt(math.pi) * torch.exp(-y) * root * (1 + y / 1.5)


@functools.cache
def _legendre(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights (n,) of Gauss–Legendre quadrature on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
