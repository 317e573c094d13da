"""What every sequence encoder tells beside its learnt features: moments, and how fast x moves.

The parameters of a time series sit in its autocovariances, and with 500 steps they are known to two
or three digits. A network that must first find these averages, and then keep its weights still
enough to report them to three digits, needs far longer to train than one that is told; compare
`pooling`.
"""

from __future__ import annotations

import torch
from torch import nn

from diffsbi_edu.encoders.pooling import (
    CORRELATED,
    DATA_FLOOR,
    correlations,
    mean_and_log_sd,
    moments_and_size,
    told_of_set,
)

LAGS = (1, 2, 4, 8, 16, 32)
LAGS_ACROSS = (1, 2, 3)  # of one feature and another
WINDOWS = (4, 16, 64)  # steps in whose mean square calm and storm are told apart
APART = (1, 2, 4)  # and how many windows apart
SMALL = 0.05  # in sds: below it, how small a deviation is no longer counts


def told_of_series(features: int) -> int:
    """Length of what `series_moments` returns, for F features."""
    across = len(LAGS_ACROSS) * features**2 if 1 < features <= CORRELATED else 0
    each = 2 * len(LAGS) + 2 + len(WINDOWS) * (3 + len(APART))
    return told_of_set(features) + features * each + across


def series_moments(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """What averages over a series can say of its order, and of its calm and stormy stretches.

    Args:
        x: (B, T, F).
        mask: (B, T), True for real steps; padding is at the end. None for no padding.

    Returns:
        (B, K) with K = `told_of_series(F)`, in this order: `moments_and_size`; log rms of
        x_t − x_{t−k} for lags k = 1, 2, 4, …, 32; of the log size of the `swings`, mean and log sd,
        and the same log rms differences; the `storms`; and, where F > 1, the correlations of
        each feature with each 1, 2 and 3 steps later. A series too short for one of them has 0
        there.

    Source: Cressie (1993), *Statistics for Spatial Data*, section 2.4, for the variogram.

    Example:
        >>> series_moments(torch.randn(4, 50, 1), None).shape, told_of_series(1)
        (torch.Size([4, 36]), 36)
    """
    size = swings(x, mask)
    told = [moments_and_size(x, mask), variogram(x, mask)]
    told += [mean_and_log_sd(size, mask), variogram(size, mask), storms(x, mask)]
    if 1 < x.shape[2] <= CORRELATED:
        told += [correlations(x, mask, lag).flatten(1) for lag in LAGS_ACROSS]
    return torch.cat(told, 1)


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


def storms(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """How the strength of the swings varies from one stretch to another, (B, 18·F).

    The log of the mean square of (x_t − mean)/sd within a window of 4, 16 or 64 steps, moved on by
    a quarter of its width: its mean and log sd over the series, its first value (many series start
    where the parameters say), and its log rms change from one window to that 1, 2 and 4 widths
    later. A mean square over many steps says what the variance is there with far less noise than
    the single swings do, and the rms of its changes is, at three scales, how far the variance
    wanders: almost all that `StochasticVolatility` has to tell.

    Source: Percival & Walden (2000), *Wavelet Methods for Time Series Analysis*, chapter 8: the
    variance of changes between neighbouring averages is the Haar wavelet variance.

    Example:
        >>> calm, wild = 0.1 * torch.randn(1, 100, 1), torch.randn(1, 100, 1)
        >>> mixed = storms(torch.cat([calm, wild], 1), None)
        >>> bool(mixed[0, 1] > storms(wild, None)[0, 1])  # the log sd for windows of 4 steps
        True
    """
    features = x.shape[2]
    mean, log_sd = mean_and_log_sd(x, mask, DATA_FLOOR)[:, None].split(features, -1)
    squares = ((x - mean) * (-log_sd).exp()).square()
    columns = []
    for width in WINDOWS:
        step = width // 4
        if x.shape[1] < width:
            columns.append(x.new_zeros(len(x), features * (3 + len(APART))))
            continue
        means = nn.functional.avg_pool1d(squares.mT, width, step).mT
        # Padding is at the end: a window is real if its last step is.
        whole = None if mask is None else mask[:, width - 1 :: step]
        size = 0.5 * (means + SMALL**2).log()
        if whole is not None:
            size = size * whole[..., None]
        columns += [_mean_and_log_sd_of_some(size, whole), size[:, 0]]
        columns.append(variogram(size, whole, tuple(4 * k for k in APART)))
    return torch.cat(columns, 1)


def _mean_and_log_sd_of_some(h: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """`mean_and_log_sd`, and 0 where nothing is real."""
    if mask is None:
        return mean_and_log_sd(h, None)
    any_real = mask.any(1, keepdim=True)
    return torch.where(any_real, mean_and_log_sd(h, mask | ~any_real), 0.0)


def variogram(
    x: torch.Tensor, mask: torch.Tensor | None, lags: tuple[int, ...] = LAGS
) -> torch.Tensor:
    """½ log of the mean of (x_t − x_{t−k})², for each feature and lag: (B, K·F), lags outermost.

    Example:
        >>> x = torch.arange(100.0).reshape(1, 100, 1)
        >>> variogram(x, None).exp().round(decimals=2)
        tensor([[ 1.,  2.,  4.,  8., 16., 32.]])
    """
    columns = []
    for k in lags:
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
