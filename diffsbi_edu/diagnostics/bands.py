"""Simultaneous bands for the distribution function of ranks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy import stats


@lru_cache(maxsize=64)
def ecdf_band(
    n: int, values: int, level: float = 0.95, repeats: int = 4000
) -> tuple[torch.Tensor, torch.Tensor]:
    """The band that the whole ECDF of n uniform ranks stays inside of, `level` of the time.

    At each rank the count of ranks up to it is binomial; the band takes the same pointwise
    probability everywhere, chosen (by simulation) such that the chance to leave the band *anywhere*
    is 1 − level.

    Args:
        n: number of ranks.
        values: number of values that a rank can take, n_samples + 1.
        level: simultaneous coverage.
        repeats: simulated sets of ranks.

    Returns:
        Lower and upper ends, (values,) each, as shares of n.

    Source: Säilynoja, Bürkner & Vehtari (2022), arXiv 2103.10522, section 2.

    Example:
        >>> low, high = ecdf_band(100, 10)
        >>> low.shape, bool((low < high)[:-1].all())
        (torch.Size([10]), True)
    """
    share = np.arange(1, values + 1) / values
    counts = np.random.default_rng(0).multinomial(n, np.full(values, 1 / values), size=repeats)
    below = counts.cumsum(1)[:, :-1]  # the last value is always n
    lower_tail = stats.binom.cdf(below, n, share[:-1])
    upper_tail = stats.binom.sf(below - 1, n, share[:-1])
    least = 2 * np.minimum(lower_tail, upper_tail).min(1)
    pointwise = np.quantile(least, 1 - level)
    low = np.asarray(stats.binom.ppf(pointwise / 2, n, share)) / n
    high = np.asarray(stats.binom.ppf(1 - pointwise / 2, n, share)) / n
    low[-1] = high[-1] = 1.0
    return torch.from_numpy(low), torch.from_numpy(high)


def level_band(n: int, n_samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`ecdf_band` at the levels k/(n_samples + 1) from 0 to 1, (n_samples + 2,) each."""
    low, high = ecdf_band(n, n_samples + 1)
    zero = torch.zeros(1, dtype=low.dtype)
    return torch.cat([zero, low]), torch.cat([zero, high])
