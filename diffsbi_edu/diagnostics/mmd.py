"""MMD: a kernel distance between two samples, with an exact permutation test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.draws import own_generator
from diffsbi_edu.runtime import Seed

AT_MOST = 5000  # rows of each sample: the kernel matrix of both has (2 n)² entries


@dataclass(frozen=True)
class MMDResult:
    """What the permutation test found.

    Attributes:
        mmd2: unbiased estimate of the squared MMD; about 0 (also below) if the two laws agree.
        p_value: share of random relabellings with as large a value; exact at any sample size.
        bandwidth: of the kernel, in units of the pooled sds.
        null: the same estimate for random relabellings, (permutations,).
    """

    mmd2: float
    p_value: float
    bandwidth: float
    null: torch.Tensor = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"mmd2": self.mmd2, "p_value": self.p_value, "bandwidth": self.bandwidth}

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """The estimate beside those of random relabellings."""
        return plots.null_histogram(
            self.null, self.mmd2, xlabel="squared MMD", figure=figure, **settings
        )


def mmd(
    samples: torch.Tensor,
    reference: torch.Tensor,
    *,
    bandwidth: float | None = None,
    permutations: int = 500,
    seed: Seed = 0,
) -> MMDResult:
    """Maximum mean discrepancy with a Gaussian kernel, and its permutation test.

        MMD² = E k(a, a') + E k(b, b') − 2 E k(a, b),   k(u, v) = exp(−‖u − v‖²/(2 h²))

    on data divided by their pooled sds. If both samples have one law, their labels are
    exchangeable, so the p-value (1 + #{permuted ≥ observed})/(1 + permutations) is exact.

    Args:
        samples: draws (n, D) of one law.
        reference: draws (m, D) of the other.
        bandwidth: h, in units of the pooled sds; None for the median distance.
        permutations: relabellings.
        seed: of the relabellings.

    Raises:
        ValueError: shapes that do not match, fewer than 2 or more than 5,000 rows, NaN or infinite
            entries, all rows equal, or bandwidth or permutations not positive.

    Source: Gretton et al. (2012), Journal of Machine Learning Research 13, lemma 6.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> a, b = torch.randn(2, 200, 1, generator=generator)
        >>> mmd(a, b + 1.0).p_value < 0.01
        True
    """
    if samples.ndim != 2 or reference.ndim != 2 or samples.shape[1] != reference.shape[1]:
        raise ValueError(
            f"mmd compares samples (n, D) and (m, D), got {tuple(samples.shape)} and "
            f"{tuple(reference.shape)}."
        )
    n, m = len(samples), len(reference)
    if not 2 <= min(n, m) <= max(n, m) <= AT_MOST:
        raise ValueError(f"mmd needs 2 to {AT_MOST} rows of each sample, got {n} and {m}.")
    if permutations < 1 or (bandwidth is not None and not bandwidth > 0):
        raise ValueError(
            f"permutations and bandwidth must be positive, got {permutations} and {bandwidth}."
        )
    pooled = torch.cat([samples, reference.to(samples)]).double()
    if not torch.isfinite(pooled).all():
        raise ValueError("samples or reference have NaN or infinite entries.")
    sd = pooled.std(0)
    pooled = pooled / torch.where(sd > 0, sd, 1.0)
    distances = torch.cdist(pooled, pooled)
    if bandwidth is None:
        bandwidth = float(distances[distances > 0].median()) if bool((sd > 0).any()) else 0.0
    if bandwidth == 0:
        raise ValueError("all rows of both samples are equal: there is nothing to compare.")
    kernel = torch.exp(-0.5 * (distances / bandwidth) ** 2).fill_diagonal_(0.0)
    generator = own_generator(seed, pooled.device)
    keys = torch.rand(permutations, n + m, generator=generator, device=pooled.device)
    first = torch.zeros(permutations + 1, n + m, dtype=kernel.dtype, device=pooled.device)
    first[0, :n] = 1.0
    first[1:].scatter_(1, keys.argsort(1)[:, :n], 1.0)
    # Sums within the first group, within the second, and between them, for every labelling.
    rows = first @ kernel
    within = (rows * first).sum(1)
    between = rows.sum(1) - within
    rest = kernel.sum() - within - 2 * between
    values = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * between / (n * m)
    # Equal values up to rounding count as ties.
    as_large = int((values[1:] >= values[0] - 1e-12).sum())
    p_value = (1 + as_large) / (1 + permutations)
    return MMDResult(float(values[0]), p_value, bandwidth, values[1:].cpu())
