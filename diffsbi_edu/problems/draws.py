"""Random numbers by the million, of laws that torch draws one number after another.

torch makes uniform and normal numbers for a tensor at once, some 2.5 ns each, but gamma, Poisson
and binomial ones by rejection, one by one, 30 ns and more. On a CPU both ways here are several
times as fast. On a GPU torch's own are used: there they are fast.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from scipy import special
from torch.distributions import Gamma

from diffsbi_edu.problems.parts import in_cache
from diffsbi_edu.runtime import nothing_random

REACH, CELLS = 6.0, 2**13  # of the table of quantiles: sds of z, and how many cells
PASSES = 6  # numbers looked at before those that are done are left out
#: A least p(0), so that it is no float32 rounded to 0, and few numbers are looked at in vain.
LEAST_NONE = 1e-30
#: Uniform numbers end at 1 − 2e-6, so that sums of rounded probabilities pass nearly all of them. A
#: number that is still left where probabilities have fallen below 1e-9 is taken to be there.
BELOW_ONE, NEGLIGIBLE = 1 - 2.0**-19, 1e-9


class TabledGamma(Gamma):
    """torch's Gamma distribution, with draws that take a sixth of the time.

    A normal number z is looked up in a table of log F⁻¹(Phi(z)), F the gamma CDF: straight lines
    between 8,193 points from −6 to 6. Draws are off by less than 3 parts in a million, and beyond 6
    sds, once in a billion, they are those at 6 sds. All else is torch's. With concentrations or
    rates that are not all the same, draws are torch's as well.

    Example:
        >>> law = TabledGamma(torch.full((3,), 2.0), torch.ones(3))
        >>> law.sample((5,)).shape
        torch.Size([5, 3])
    """

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, *batch_shape)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        a, rate = self.concentration.flatten(), self.rate.flatten()
        if a.device.type != "cpu" or not _all_the_same(a) or not _all_the_same(rate):
            return super().sample(torch.Size(sample_shape))
        start, rise = log_quantiles(float(a[0]))
        start, rise = (start - rate[0].double().log()).to(a.dtype), rise.to(a.dtype)
        draws = torch.randn(shape, dtype=a.dtype)
        flat = draws.view(-1)
        with nothing_random():
            for some in flat.split(in_cache(flat)):
                some.add_(REACH).mul_(CELLS / (2 * REACH)).clamp_(0, CELLS)
                cell = some.int()
                low, slope = start.index_select(0, cell), rise.index_select(0, cell)
                torch.addcmul(low, some.frac_(), slope, out=some).exp_()
        return draws


def _all_the_same(values: torch.Tensor) -> bool:
    return len(values) > 0 and bool((values == values[0]).all())


@functools.lru_cache(maxsize=32)
def log_quantiles(concentration: float) -> tuple[torch.Tensor, torch.Tensor]:
    """log F⁻¹(Phi(z)) of Gamma(concentration, 1) at the start of each cell of z, and its rise.

    Two float64 tensors (8193,); the last cell has no width and stands for z = 6 itself.
    """
    z = np.linspace(-REACH, REACH, CELLS + 1)
    # From the nearer end, where probabilities have all their digits.
    low = special.gammaincinv(concentration, special.ndtr(np.minimum(z, 0)))
    high = special.gammainccinv(concentration, special.ndtr(-np.maximum(z, 0)))
    logs = np.log(np.maximum(np.where(z < 0, low, high), np.finfo(float).tiny))
    return torch.from_numpy(logs), torch.from_numpy(np.append(np.diff(logs), 0.0))


def exponential(like: torch.Tensor) -> torch.Tensor:
    """Draws of mean 1, as many as `like` has numbers."""
    return torch.rand_like(like).neg_().log1p_().neg_()


def poisson(rate: torch.Tensor) -> torch.Tensor:
    """One Poisson number for each rate (...), as floats.

    Example:
        >>> poisson(torch.zeros(3))
        tensor([0., 0., 0.])
    """
    none = rate.neg().exp_()
    if not _worth_it(none):
        return torch.poisson(rate)
    return _by_inversion(none, None, rate)


def binomial(count: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """How many of count (...) happen, each with probability chance (...): floats.

    Example:
        >>> binomial(torch.tensor([7.0, 7.0]), torch.tensor([0.0, 1.0]))
        tensor([0., 7.])
    """
    rare = 0.5 - (chance - 0.5).abs()  # the less likely side is counted, from 0
    none = torch.log1p(-rare).mul_(count).exp_()
    if not _worth_it(none):
        return torch.binomial(count, chance)
    odds = rare / (1 - rare)
    found = _by_inversion(none, -odds, (count + 1).mul_(odds)).minimum(count)
    swap = (chance > 0.5).to(found)
    return torch.addcmul(found, swap, count - 2 * found)


def _worth_it(none: torch.Tensor) -> bool:
    """Whether to go through 0, 1, … from probabilities `none` of 0.

    torch itself is left with a GPU, with laws far from 0, and to complain about impossible ones.
    """
    if none.device.type != "cpu" or none.numel() == 0:
        return False
    least, most = torch.aminmax(none)
    return bool((least >= LEAST_NONE) & (most <= 1))


def _by_inversion(none: torch.Tensor, a: torch.Tensor | None, b: torch.Tensor) -> torch.Tensor:
    """Draws of the law on 0, 1, 2, … with p(0) = none and p(k) = p(k − 1) (a + b/k).

    Poisson and binomial laws are of this kind (Panjer 1981, ASTIN Bulletin 12, 22–26): a = 0 (None)
    and b = rate, or a = −odds and b = (count + 1) odds. The draw is the first k whose p(0) + … +
    p(k) is above a uniform number, and all draws of a tensor go through k = 0, 1, … side by side.
    `none` is overwritten.
    """
    left = torch.rand_like(none).mul_(BELOW_ONE)
    with nothing_random():
        columns = [left.flatten(), none.reshape(-1), b.reshape(-1)]
        return _inverted([*columns, *([] if a is None else [a.reshape(-1)])]).view_as(none)


def _inverted(columns: list[torch.Tensor]) -> torch.Tensor:
    """How many of p(0), p(1), … the numbers left (n,) hold, of columns left, p, b and perhaps a."""
    found, known = _count(columns, 0), PASSES
    rows = (columns[0] > 0).nonzero()[:, 0]
    columns = [each.index_select(0, rows) for each in columns]
    while len(rows):
        found.index_add_(0, rows, _count(columns, known))
        known += PASSES
        left, p, b, *a = columns
        rising = (b + sum(a) * known) >= known
        more = ((left > 0) & (rising | (p > NEGLIGIBLE))).nonzero()[:, 0]
        rows, columns = rows[more], [each.index_select(0, more) for each in columns]
    return found


def _count(columns: list[torch.Tensor], known: int) -> torch.Tensor:
    """How many of p(known) … p(known + PASSES − 1) the numbers left hold; taken off from them."""
    count = torch.empty_like(columns[0])
    at_once = in_cache(count)
    for number, left, p, b, *a in zip(*(t.split(at_once) for t in [count, *columns]), strict=True):
        sign, factor, divided = torch.empty_like(p), torch.empty_like(p) if a else b, 1.0
        for k in range(known + 1, known + PASSES + 1):
            left.sub_(p, alpha=divided)
            if k == known + 1:
                torch.sign(left, out=number)
            else:
                number.add_(torch.sign(left, out=sign))
            # The division by k is left to the subtraction, which multiplies anyway.
            p.mul_(torch.add(b, a[0], alpha=k, out=factor) if a else b)
            divided /= k
        p.mul_(divided)
        # A comparison takes four times as long as a sign, and signs that are not 1 are −1 (or, once
        # in ten million, 0, and then the half is rounded away).
        number.add_(PASSES).mul_(0.5).floor_()
    return count


def alias_table(mass: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(keep, other) for masses (K,): a law on 0 … K − 1 that `whole_numbers` draws from.

    K cells are equally likely, each of which holds at most two numbers: k itself, with probability
    keep[k], and other[k] (Walker 1977, ACM Trans. Mathematical Software 3, 253–256). So a draw
    looks once, however many numbers there are.
    """
    size = len(mass)
    height = (mass.double() / mass.double().sum() * size).tolist()
    keep, other = [1.0] * size, list(range(size))
    low = [k for k in range(size) if height[k] < 1]
    high = [k for k in range(size) if height[k] >= 1]
    while low and high:
        small, large = low.pop(), high[-1]
        keep[small], other[small] = height[small], large
        height[large] -= 1 - height[small]
        if height[large] < 1:
            low.append(high.pop())
    return mass.new_tensor(keep), mass.new_tensor(other)


def whole_numbers(keep: torch.Tensor, other: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Draws of the law of an `alias_table` (keep, other), as floats of this shape.

    Example:
        >>> whole_numbers(*alias_table(torch.tensor([0.0, 1.0, 0.0])), torch.Size([4]))
        tensor([1., 1., 1., 1.])
    """
    place = torch.rand(shape, device=keep.device, dtype=keep.dtype).mul_(len(keep)).flatten()
    cell = place.int().clamp_(max=len(keep) - 1)  # a product can be rounded up
    itself = (place.sub_(cell) < keep.index_select(0, cell)).to(keep)
    spare = other.index_select(0, cell)
    return spare.addcmul_(itself, cell - spare).view(shape)
