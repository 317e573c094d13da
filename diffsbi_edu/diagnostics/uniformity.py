"""Tests of uniformity, and ways to combine them: every null distribution that calibration uses."""

from __future__ import annotations

import math

import torch
from scipy import special, stats

from diffsbi_edu.diagnostics.draws import own_generator
from diffsbi_edu.runtime import Seed

ORDER = 4  # Legendre polynomials in Neyman's test: mean, spread, skewness, tails


def jittered(ranks: torch.Tensor, n_samples: int, seed: Seed = 0) -> torch.Tensor:
    """Ranks on 0 … n_samples as numbers that are exactly uniform on (0, 1) if the ranks are.

    (rank + U)/(n_samples + 1), U uniform. Without U the tests of this module, made for continuous
    distributions, would be wrong for few draws.
    """
    generator = own_generator(seed, ranks.device)
    u = torch.rand(ranks.shape, generator=generator, device=ranks.device, dtype=torch.float64)
    return ((ranks + u) / (n_samples + 1)).cpu()


def neyman(u: torch.Tensor) -> torch.Tensor:
    """p-values of Neyman's smooth test that each column of u (n, D) is uniform on (0, 1), (D,).

    The sum of squares of the first four normalised Legendre polynomials' means, times n: χ² with
    4 degrees of freedom for uniform u, in the limit of large n. It looks at shift, spread, skewness
    and tails, and so sees a wrong width much earlier than a Kolmogorov–Smirnov test does.

    Source: Neyman (1937), Skandinavisk Aktuarietidskrift 20.

    Example:
        >>> u = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> neyman(u).shape, bool((neyman(u**2) < 1e-6).all())
        (torch.Size([2]), True)
    """
    v = 2 * u.double().cpu().numpy() - 1
    means = [
        math.sqrt(2 * k + 1) * special.eval_legendre(k, v).mean(0) for k in range(1, ORDER + 1)
    ]
    statistic = len(u) * sum(m**2 for m in means)
    return torch.as_tensor(stats.chi2.sf(statistic, ORDER))


def kolmogorov(u: torch.Tensor) -> torch.Tensor:
    """p-values of the Kolmogorov–Smirnov test that each column of u (n, D) is uniform, (D,)."""
    columns = u.double().cpu().numpy().T
    return torch.tensor([stats.kstest(c, "uniform").pvalue for c in columns], dtype=torch.float64)


def combined(p_values: torch.Tensor) -> float:
    """One p-value for several tests, however they depend on one another (Cauchy combination).

    tan((½ − p)·π) is standard Cauchy under the null, and a mean of Cauchy variables is Cauchy
    again, exactly so if they are independent or all equal, nearly so in the tails otherwise.

    Args:
        p_values: of any shape, each in [0, 1].

    Raises:
        ValueError: no p-values, or values outside [0, 1].

    Source: Liu & Xie (2020), Journal of the American Statistical Association 115.

    Example:
        >>> round(combined(torch.tensor([0.2, 0.2, 0.2])), 6)
        0.2
    """
    p = p_values.double().flatten()
    if len(p) == 0 or not bool(((p >= 0) & (p <= 1)).all()):
        raise ValueError(f"needs p-values in [0, 1], got {p_values.tolist()}.")
    # Values of 0 or 1 would make the mean infinite, or undefined where both occur.
    p = p.clamp(1e-15, 1 - 1e-15)
    # Summed exactly: of terms up to 3e14 that nearly cancel, rounding would leave noise, and the
    # order of the tests would matter.
    terms = torch.tan((0.5 - p) * math.pi).tolist()
    return float(stats.cauchy.sf(math.fsum(terms) / len(terms)))


def holm(p_values: torch.Tensor) -> torch.Tensor:
    """Holm's adjusted p-values: reject those below 0.05, and the chance of any false alarm is 5 %.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.

    Example:
        >>> holm(torch.tensor([0.01, 0.04, 0.03])).round(decimals=3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = p_values.double()
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1, dtype=torch.float64)
    adjusted = (p[order] * factors).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter_(0, order, adjusted)
