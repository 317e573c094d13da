"""What a comparison of two calibrations would show if there were nothing to compare."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def difference_sd(n_sims: int, n_samples: int, repeats: int = 1000) -> float:
    """The sd of the difference of two KS distances: two exact models, one parameter, same data.

    Given the truth's posterior quantile, its ranks among the two models' draws are binomial.

    Example:
        >>> round(difference_sd(1000, 100) * 1000**0.5, 2)  # of independent data it would be 0.36
        0.15
    """
    rng = np.random.default_rng(0)
    even = np.arange(1, n_samples + 2) / (n_samples + 1)

    def distance(quantile: np.ndarray) -> float:
        ranks = np.bincount(rng.binomial(n_samples, quantile), minlength=n_samples + 1)
        return float(np.abs(ranks.cumsum() / n_sims - even).max())

    quantiles = (rng.random(n_sims) for _ in range(repeats))
    return float(np.std([distance(u) - distance(u) for u in quantiles]))
