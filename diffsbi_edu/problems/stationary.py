"""Stationary vector autoregressions: shrinking to them, and the prior that comes of it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch.distributions import Distribution
from torch.distributions import constraints as c

from diffsbi_edu.runtime import normal_cdf

SHRINK = 0.99
LOG_SHRINK = math.log(SHRINK)
OWN, SPREAD = 0.45, 0.25  # at lag 1: mean of a series' own coefficient, and everybody's sd
SQUARINGS, AT_A_TIME = 16, 4  # of a matrix to bound its radius; and before it is scaled again
ROUNDING = 1e-9  # of a logarithm of a radius; far more than float64 loses on the way


def companion(coefficients: torch.Tensor) -> torch.Tensor:
    """The matrix (B, pm, pm) that takes (x_t−1 … x_t−p) to (x_t … x_t−p+1).

    Args:
        coefficients: (B, p, m, m), one matrix a lag.

    Example:
        >>> companion(torch.tensor([[[[0.5]], [[0.3]]]])).tolist()
        [[[0.5, 0.30000001192092896], [1.0, 0.0]]]
    """
    n, lags, m, _ = coefficients.shape
    matrix = coefficients.new_zeros(n, lags * m, lags * m)
    matrix[:, :m] = side_by_side(coefficients)
    matrix[:, m:, :-m] = torch.eye((lags - 1) * m)
    return matrix


def side_by_side(coefficients: torch.Tensor) -> torch.Tensor:
    """(B, p, m, m) → (B, m, pm), the first lag's matrix on the left."""
    return coefficients.transpose(1, 2).flatten(2)


def radius(coefficients: torch.Tensor) -> torch.Tensor:
    """Largest |eigenvalue| (B,) of the companion matrix, in float64 on the CPU.

    Below 1 the series is stationary: shocks fade.
    """
    return _largest_eigenvalue(companion(coefficients.detach().cpu().double()))


def _largest_eigenvalue(matrix: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigvals(matrix).abs().amax(-1)


def log_radius(coefficients: torch.Tensor, squarings: int = SQUARINGS) -> torch.Tensor:
    """log of `radius` (B,) for coefficients (B, p, m, m): to some 1e-4, and with the right sign.

    Multiplying small matrices is far cheaper than finding their eigenvalues, and the power
    C^k of a matrix of radius rho and size n knows enough of them: |trace C^k| / n ≤ rho^k ≤ any
    norm of C^k (Gelfand's formula). Squaring 16 times makes k = 65,536, and what the bounds leave
    open of ln rho is 1e-4 (24 times: 1e-6). Where 0 is among it the eigenvalues are computed after
    all.

    Example:
        >>> slow = torch.tensor([[[[0.999]]], [[[1.001]]]])
        >>> (1000 * log_radius(slow)).round().tolist()
        [-1.0, 1.0]
    """
    matrix = companion(coefficients.detach().cpu().double())
    power, log_scale = matrix, matrix.new_zeros(len(matrix))
    for _ in range(squarings // AT_A_TIME):
        size = torch.linalg.matrix_norm(power).clamp_min(1e-300)  # of a power that is 0 as well
        power, log_scale = power / size[:, None, None], log_scale + size.log()
        for _ in range(AT_A_TIME):
            power, log_scale = power @ power, 2 * log_scale
    trace = power.diagonal(dim1=1, dim2=2).sum(-1).abs() / matrix.shape[-1]
    norm = torch.linalg.matrix_norm(power)
    lower, upper = ((log_scale + end.log()) / 2**squarings for end in (trace, norm))
    found = torch.where(upper < 0, upper, lower)
    unknown = ~((upper < -ROUNDING) | (lower > ROUNDING))  # NaN as well: LAPACK will complain
    if bool(unknown.any()):
        found[unknown] = _largest_eigenvalue(matrix[unknown]).log()
    return found


def shrinkings(coefficients: torch.Tensor) -> torch.Tensor:
    """How many times (B,) all coefficients (B, p, m, m) must shrink by 0.99 to be stationary.

    Eigenvalues do not shrink along: halving lag 1 alone halves the root of x_t = phi x_t−1, but at
    lag 2 a root goes with the square root. So the number is searched for, between one that is known
    to be too small and one that will do, where a line through the logarithms of their radii crosses
    0; three or four looks at the radius stand for the thirty that shrinking one by one would take.
    (Of 3,000 draws from the prior the radius of one fell below 1, rose above it, and fell again;
    there the search may find the last fall, not the first.)
    """
    device, given = coefficients.device, coefficients.detach().cpu()
    count = torch.zeros(len(given), dtype=torch.long)
    excess = log_radius(given)  # negative if stationary
    rows = (excess >= 0).nonzero()[:, 0]
    low, above = torch.zeros_like(rows), excess[rows]
    high, below = torch.full_like(rows, -1), torch.full_like(above, -math.inf)
    slope = torch.full_like(above, 0.6 * LOG_SHRINK)  # typical of three lags; 1 of a single one
    while len(rows):
        known = high >= 0
        slope = torch.where(known, (below - above) / (high - low), slope)
        guess = low + (-above / slope).long()  # rounded down: below the crossing, as a rule
        guess = torch.maximum(guess, low + 1)
        guess = torch.where(known, torch.minimum(guess, high - 1), guess)
        found = log_radius(shrunk(given[rows], guess))
        still = found >= 0
        # With no upper end yet, the last two looks tell how fast the radius really falls.
        seen = ((found - above) / (guess - low)).clamp(LOG_SHRINK, 0.2 * LOG_SHRINK)
        slope = torch.where(known, slope, seen)
        low, above = torch.where(still, guess, low), torch.where(still, found, above)
        high, below = torch.where(still, high, guess), torch.where(still, below, found)
        done = high - low == 1
        count[rows[done]] = high[done]
        rows, low, above, high, below, slope = (
            kept[~done] for kept in (rows, low, above, high, below, slope)
        )
    return count.to(device)


def shrunk(coefficients: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """coefficients (B, ...) times 0.99^count, for count (B,)."""
    factor = (SHRINK ** count.double()).to(coefficients.dtype)
    return coefficients * factor.reshape(-1, *[1] * (coefficients.ndim - 1))


class ShrunkMinnesota(Distribution):
    """The law of p m² coefficients: normals cut off at ±1, shrunk by 0.99 until stationary.

    The coefficient of series j in the equation of series i, at lag h, is normal with mean 0.45/h
    if i = j and 0 otherwise, and sd 0.25/h; see `MinnesotaVAR`.

    Args:
        series: m.
        lags: p.
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}

    def __init__(self, series: int, lags: int) -> None:
        self.shape = lags, series, series
        lag = torch.arange(1.0, lags + 1)[:, None, None]
        self.loc = (OWN * torch.eye(series) / lag).flatten()
        self.scale = (SPREAD / lag).expand(self.shape).flatten()
        super().__init__(event_shape=torch.Size([len(self.loc)]), validate_args=False)

    @property
    def support(self) -> Any:
        """Stationary, and every coefficient between −1 and 1."""
        return Stationary(self.shape)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, p m²), lag by lag, row by row."""
        start, end = (normal_cdf((edge - self.loc) / self.scale) for edge in (-1.0, 1.0))
        like = self.loc.expand(*sample_shape, -1)
        level = start + (end - start) * torch.rand_like(like)
        draws = (like + self.scale * torch.special.ndtri(level)).clamp(-1.0, 1.0)
        return make_stationary(draws, self.shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density at (..., p m²): shape (...), −inf outside of the support.

        Shrunk k times, a draw has the density of value / 0.99^k, times 0.99^(−k p m²) for the
        volume, for each k that leads there: none but k = 0 if value / 0.99 is stationary too, and
        otherwise every k until value / 0.99^k leaves the box. (Exact where the radius passes 1 but
        once on the way, see `shrinkings`.)
        """
        rows = value.reshape(-1, value.shape[-1]).double()
        inside = self.support.check(rows)
        rows = rows.masked_fill(~inside[:, None], 0.0)
        edge = log_radius((rows / SHRINK).reshape(-1, *self.shape)).to(rows.device) >= 0
        loc, scale = self.loc.to(rows), self.scale.to(rows)
        mass = normal_cdf((1 - loc) / scale) - normal_cdf((-1 - loc) / scale)
        constant = -(scale * mass).log().sum() - 0.5 * len(loc) * math.log(2 * math.pi)

        def log_normal(k: int) -> torch.Tensor:
            before = rows / SHRINK**k
            log_density = constant - 0.5 * ((before - loc) / scale).square().sum(-1)
            return log_density - k * len(loc) * LOG_SHRINK

        total, largest, k = log_normal(0), rows.abs().amax(-1), 1
        reaches = edge & (largest <= SHRINK)
        while bool(reaches.any()):
            total = torch.where(reaches, torch.logaddexp(total, log_normal(k)), total)
            k += 1
            reaches = edge & (largest <= SHRINK**k)
        return total.masked_fill(~inside, -math.inf).to(value.dtype).reshape(value.shape[:-1])


def make_stationary(value: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """value (..., p m²), each row shrunk by 0.99 as often as it takes; shape is (p, m, m)."""
    rows = value.reshape(-1, value.shape[-1])
    return shrunk(rows, shrinkings(rows.reshape(-1, *shape))).reshape(value.shape)


class Stationary(c.Constraint):
    """Coefficients (..., p m²) between −1 and 1 of a stationary series.

    Args:
        shape: (p, m, m).
    """

    event_dim = 1

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    def check(self, value: torch.Tensor) -> torch.Tensor:
        rows = value.reshape(-1, value.shape[-1])
        inside = (rows.abs() <= 1).all(-1)  # False for NaN
        safe = torch.where(inside[:, None], rows, 0.0).reshape(-1, *self.shape)
        return (inside & (log_radius(safe).to(rows.device) < 0)).reshape(value.shape[:-1])
