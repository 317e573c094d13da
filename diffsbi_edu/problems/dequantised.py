"""SpreadNegativeBinomial: a prior on whole numbers, made continuous without losing them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch.distributions import Distribution, NegativeBinomial
from torch.distributions import constraints as c

from diffsbi_edu.problems.draws import alias_table, whole_numbers

TAIL_SDS = 24.0  # of the table: a negative binomial has less than e^−32 beyond


class SpreadNegativeBinomial(Distribution):
    """The law of K + U: K negative binomial with this mean and sd, U uniform on (−½, ½).

    A diffusion wants a density, and whole numbers have none. Spread evenly over the interval that
    rounds to it, each number keeps its probability, and `nearest_count` gets it back. As CDF and
    quantile function are known, the latent map Phi⁻¹(F(theta)) makes this prior exactly N(0, 1).

    Args:
        loc: the mean of K, positive, of any shape.
        scale: the sd of K, above √loc (at √loc it would be Poisson), of the same shape.

    Raises:
        ValueError: loc or scale not positive, or scale² not above loc.

    Example:
        >>> law = SpreadNegativeBinomial(torch.tensor(30.0), torch.tensor(15.0))
        >>> [round(float(law.cdf(law.icdf(torch.tensor(q)))), 4) for q in (0.1, 0.5, 0.999)]
        [0.1, 0.5, 0.999]
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {"loc": c.positive, "scale": c.positive}
    support = c.greater_than_eq(-0.5)

    def __init__(self, loc: torch.Tensor, scale: torch.Tensor, validate_args: Any = None) -> None:
        if not bool(((loc > 0) & (scale**2 > loc) & torch.isfinite(scale)).all()):
            raise ValueError(
                f"loc, the mean, must be positive and scale, the sd, above its root, got "
                f"{loc.tolist()} and {scale.tolist()}."
            )
        self.loc, self.scale = loc, scale
        counts = torch.arange(math.ceil(float((loc + TAIL_SDS * scale).max())) + 1)
        mass = log_pmf(counts, loc.cpu()[..., None], scale.cpu()[..., None]).exp()
        up_to = mass.cumsum(-1).clamp(max=1.0)
        #: P(K = k) and P(K < k) for k = 0, 1, …, (..., counts).
        self.mass, self.below = mass.to(loc), (up_to - mass).clamp_min(0).to(loc)
        rows = mass.reshape(-1, mass.shape[-1])
        alike = len(rows) > 0 and bool((rows == rows[0]).all())
        self._table: tuple[torch.Tensor, torch.Tensor] | None = None
        if alike:
            keep, other = alias_table(rows[0])
            self._table = keep.to(loc), other.to(loc)
        super().__init__(loc.shape, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, *batch_shape)."""
        if self._table is not None:
            each = self._extended_shape(torch.Size(sample_shape))
            whole = whole_numbers(*self._table, each)
            return whole + torch.rand_like(whole) - 0.5
        shape, success = parameters(self.loc, self.scale)
        law = NegativeBinomial(shape, probs=1 - success, validate_args=False)
        whole = law.sample(torch.Size(sample_shape))
        return whole + torch.rand_like(whole) - 0.5

    def _at(self, table: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """Entries count (..., *batch) of a table (*batch, counts)."""
        rows = table.expand(*count.shape, table.shape[-1])
        return rows.gather(-1, count.long()[..., None])[..., 0]

    def _cells(self, value: torch.Tensor) -> torch.Tensor:
        return nearest_count(value).clamp(0, self.mass.shape[-1] - 1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """log P(K = the number that value rounds to); −inf below −½."""
        value = torch.as_tensor(value).to(self.loc)
        value, _ = torch.broadcast_tensors(value, self.loc)
        log_mass = log_pmf(nearest_count(value).clamp_min(0), self.loc, self.scale)
        return log_mass.to(value).masked_fill(value < -0.5, -math.inf)

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """F(value): piecewise linear."""
        value, _ = torch.broadcast_tensors(value, self.loc)
        count = self._cells(value)
        within = (value + 0.5 - count).clamp(0, 1)
        return self._at(self.below, count) + within * self._at(self.mass, count)

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """F⁻¹(value) for value in [0, 1]."""
        value, _ = torch.broadcast_tensors(value, self.loc)
        rows = self.below.expand(*value.shape, self.below.shape[-1]).contiguous()
        count = torch.searchsorted(rows, value[..., None].contiguous(), right=True)[..., 0] - 1
        count = count.clamp(0, self.mass.shape[-1] - 1)
        mass = self._at(self.mass, count).clamp_min(torch.finfo(value.dtype).tiny)
        within = ((value - self._at(self.below, count)) / mass).clamp(0, 1 - 1e-4)
        return count - 0.5 + within


def parameters(mean: torch.Tensor, sd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """r and p, K being the number of failures before the r-th success of probability p."""
    return mean**2 / (sd**2 - mean), mean / sd**2


def log_pmf(count: torch.Tensor, mean: torch.Tensor, sd: torch.Tensor) -> torch.Tensor:
    """log P(K = count), all broadcast, computed in float64 where the device has it."""
    wide = torch.float32 if count.device.type == "mps" else torch.float64
    count, mean, sd = count.to(wide), mean.to(wide), sd.to(wide)
    r, p = parameters(mean, sd)
    ways = torch.lgamma(count + r) - torch.lgamma(r) - torch.lgamma(count + 1)
    return ways + r * p.log() + count * torch.log1p(-p)


def nearest_count(value: torch.Tensor) -> torch.Tensor:
    """The whole number in whose interval [k − ½, k + ½) value lies (torch rounds ½ to even)."""
    return torch.floor(value + 0.5)
