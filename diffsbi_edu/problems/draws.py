"""Random numbers by the million, of laws that torch draws one number after another.

torch makes uniform and normal numbers for a tensor at once, some 2.5 ns each, but gamma, Poisson
and binomial ones by rejection, one by one, 30 ns and more. On a CPU both ways here are several
times as fast. On a GPU torch's own are used: there they are fast.
"""

from __future__ import annotations

import functools
import math
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
#: Of the table of Poisson numbers: the rates it knows, how many cells it divides them and the
#: probabilities into, and by how much sums of rounded probabilities may be off.
RATES, SIDE, ROUNDED = 16.0, 2**9, 4e-6
UNKNOWN, SHIFT = 255, SIDE.bit_length() - 1


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
    if rate.dtype != torch.float32 or not _worth_it(rate, 0.0, -math.log(LEAST_NONE)):
        return torch.poisson(rate)
    # Two uniform numbers of 31 bits in each of 63; half the time of two float ones.
    bits = torch.empty((rate.numel() + 1) // 2, dtype=torch.int64).random_().view(torch.int32)
    bits = bits[: rate.numel()]
    with nothing_random():
        found, rates = bits.view(torch.float32), rate.reshape(-1)
        at_once, rows, left = in_cache(found), [], []
        for i in range(0, len(found), at_once):
            part = slice(i, i + at_once)
            known, unknown = _looked_up(rates[part], bits[part])
            left.append(bits[part].index_select(0, unknown))
            rows.append(unknown.add_(i))
            found[part] = known  # over the bits, which have done their work
        unknown = torch.cat(rows)
        rates = rates.index_select(0, unknown)
        computed = _inverted([uniform(torch.cat(left)), rates.neg().exp_(), rates])
        found.index_copy_(0, unknown, computed)
    return found.view_as(rate)


def _looked_up(rate: torch.Tensor, bits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The Poisson numbers that `uniform(bits)` (n,) stands for, and where the table has none."""
    # The last cell of rates stands for all that are beyond, and is not known.
    row = rate.mul(SIDE / RATES).clamp_(max=SIDE - 1).int()
    known = poisson_table().index_select(0, row.mul_(SIDE).add_(bits.bitwise_and(SIDE - 1)))
    return known, _where(known.numpy() == UNKNOWN)


def uniform(bits: torch.Tensor) -> torch.Tensor:
    """Numbers in (0, 1) of 31 random bits each (n,), int32, the lowest of which say most.

    So `bits` modulo `SIDE` is the number's cell of the table.
    """
    cell, within = bits.bitwise_and(SIDE - 1), (bits >> SHIFT).bitwise_and(2 ** (31 - SHIFT) - 1)
    return (cell + (within + 0.5) / 2 ** (31 - SHIFT)).div_(SIDE).mul_(BELOW_ONE)


@functools.cache
def poisson_table() -> torch.Tensor:
    """First k with p(0) + … + p(k) > u, for each cell of rates and u: uint8 (cells²,).

    `UNKNOWN` where the answer depends on where in the cell one is: one number in twenty at rates
    about 2, which has to be computed.
    """
    rates = np.linspace(0, RATES, SIDE + 1)
    u = np.linspace(0, 1, SIDE + 1)
    cdf = special.pdtr(np.arange(128), rates[:, None])
    cdf[0] = 1.0
    # Sums fall as rates rise: the least k of a cell is in its one corner, the most in the other.
    least = [np.searchsorted(row, u[:-1] - ROUNDED, side="right") for row in cdf[:-1]]
    most = [np.searchsorted(row, u[1:] + ROUNDED, side="right") for row in cdf[1:]]
    table = np.where(np.equal(least, most), least, UNKNOWN)
    table[-1] = UNKNOWN
    return torch.from_numpy(table.astype(np.uint8).ravel())


def binomial(count: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """How many of count (...) happen, each with probability chance (...): floats.

    Example:
        >>> binomial(torch.tensor([7.0, 7.0]), torch.tensor([0.0, 1.0]))
        tensor([0., 7.])
    """
    rare = 0.5 - (chance - 0.5).abs()  # the less likely side is counted, from 0
    none = torch.log1p(-rare).mul_(count).exp_()
    if not _worth_it(none, LEAST_NONE, 1.0):
        return torch.binomial(count, chance)
    odds = rare / (1 - rare)
    left = torch.rand_like(none).mul_(BELOW_ONE)
    with nothing_random():
        columns = [left, none, (count + 1).mul_(odds), -odds]
        found = _inverted([column.flatten() for column in columns]).view_as(none).minimum(count)
    swap = (chance > 0.5).to(found)
    return torch.addcmul(found, swap, count - 2 * found)


def _worth_it(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether to go through 0, 1, … for values that should be in [low, high].

    torch itself is left with a GPU, with laws far from 0, and to complain about impossible ones.
    """
    if values.device.type != "cpu" or values.numel() == 0:
        return False
    least, most = torch.aminmax(values)
    return bool((least >= low) & (most <= high))


def _inverted(columns: list[torch.Tensor]) -> torch.Tensor:
    """Draws (n,) of laws on 0, 1, 2, … with p(k) = p(k − 1) (a + b/k).

    Poisson and binomial laws are of this kind (Panjer 1981, ASTIN Bulletin 12, 22–26): a = 0 and
    b = rate, or a = −odds and b = (count + 1) odds. The draw is the first k whose p(0) + … + p(k)
    is above a uniform number, and all draws of a tensor go through k = 0, 1, … side by side.

    Args:
        columns: uniform numbers, p(0), b, and a unless it is 0, (n,) each; the first two are
            overwritten.
    """
    found, known = _count(columns, 0), PASSES
    rows = _where(columns[0] > 0)
    columns = [each.index_select(0, rows) for each in columns]
    while len(rows):
        found.index_add_(0, rows, _count(columns, known))
        known += PASSES
        left, p, b, *a = columns
        rising = (b + sum(a) * known) >= known
        more = _where((left > 0) & (rising | (p > NEGLIGIBLE)))
        rows, columns = rows[more], [each.index_select(0, more) for each in columns]
    return found


def _where(mask: torch.Tensor | np.ndarray) -> torch.Tensor:
    """The rows at which a mask (n,) is true; NumPy finds them in half of torch's time."""
    return torch.from_numpy(np.flatnonzero(mask))


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
