"""What every sequence encoder tells beside its learnt features: moments, and how fast x moves.

The parameters of a time series sit in its autocovariances, and with 500 steps they are known to two
or three digits. A network that must first find these averages, and then keep its weights still
enough to report them to three digits, needs far longer to train than one that is told; compare
`pooling`.
"""

from __future__ import annotations

import torch

from diffsbi_edu.encoders.pooling import DATA_FLOOR, mean_and_log_sd, moments_and_size

LAGS = (1, 2, 4, 8, 16, 32)
SMALL = 0.05  # in sds: below it, how small a deviation is no longer counts


def told_of_series(features: int) -> int:
    """Length of what `series_moments` returns, for F features."""
    return 2 + features * (4 + 2 * len(LAGS))


def series_moments(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Moments and sample size, then the variograms of x and of the size of its swings.

    Args:
        x: (B, T, F).
        mask: (B, T), True for real steps; padding is at the end. None for no padding.

    Returns:
        (B, 2 + F·(4 + 2·6)): `moments_and_size`; log rms of x_t − x_{t−k} for lags k = 1, 2, 4, …,
        32; and of the log size of the `swings`, mean and log sd, and its own log rms differences,
        which show whether calm and stormy stretches follow one another. A series too short for a
        lag has 0 there.

    Source: Cressie (1993), *Statistics for Spatial Data*, section 2.4, for the variogram.

    Example:
        >>> series_moments(torch.randn(4, 50, 1), None).shape, told_of_series(1)
        (torch.Size([4, 18]), 18)
    """
    size = swings(x, mask)
    told = [moments_and_size(x, mask), variogram(x, mask)]
    return torch.cat([*told, mean_and_log_sd(size, mask), variogram(size, mask)], 1)


def swings(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The log size of each swing, u_t = log(|x_t − mean|/sd + 0.05), (B, T, F); 0 for padding.

    Whether a stretch is calm or stormy is a matter of size, not of sign; and sizes that multiply
    become, in logarithms, a series that can be filtered by linear means (Harvey, Ruiz & Shephard
    1994, Review of Economic Studies 61, 247–264).

    Example:
        >>> swings(torch.tensor([[[-1.0], [1.0], [3.0]]]), None)[0, 1]  # at the mean: log 0.05
        tensor([-2.9957])
    """
    features = x.shape[2]
    mean, log_sd = mean_and_log_sd(x, mask, DATA_FLOOR)[:, None].split(features, -1)
    # A single step has no sd: log sd is then 0, and the swing log 0.05, a harmless number.
    size = ((x - mean).abs() * (-log_sd).exp() + SMALL).log()
    return size if mask is None else size * mask[..., None]


def variogram(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """½ log of the mean of (x_t − x_{t−k})², for each feature and lag: (B, 6·F), lags outermost.

    Example:
        >>> x = torch.arange(100.0).reshape(1, 100, 1)
        >>> variogram(x, None).exp().round(decimals=2)
        tensor([[ 1.,  2.,  4.,  8., 16., 32.]])
    """
    columns = []
    for k in LAGS:
        if x.shape[1] <= k:
            columns.append(x.new_zeros(len(x), x.shape[2]))
            continue
        squares = (x[:, k:] - x[:, :-k]).square()
        if mask is None:
            columns.append(0.5 * (squares.mean(1) + DATA_FLOOR).log())
            continue
        real = mask[:, k:, None]  # padding is at the end: if the later step is real, both are
        pairs = real.sum(1)
        mean = (squares * real).sum(1) / pairs.clamp_min(1)
        columns.append(torch.where(pairs > 0, 0.5 * (mean + DATA_FLOOR).log(), 0.0))
    return torch.cat(columns, 1)
