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
    counts,
    mean_and_log_sd,
    moments_and_size,
    told_of_set,
)
from diffsbi_edu.standardise import soft_clip

LAGS = (1, 2, 4, 8, 16, 32)
ORDER = 3  # steps back from which the next one is foretold
WINDOWS = (4, 16, 64)  # steps in whose mean square calm and storm are told apart
APART = (1, 2, 4)  # and how many windows apart
RIDGE_PAST = 1e-6  # on the mean squares of past steps, which may follow from one another
SMALL = 0.05  # in sds: below it, how small a deviation is no longer counts


def told_of_series(features: int) -> int:
    """Length of what `series_moments` returns, for F features."""
    foretold = ORDER * features**2 + features if features <= CORRELATED else 0
    each = 2 * len(LAGS) + 2 + len(WINDOWS) * (3 + len(APART))
    return told_of_set(features) + foretold + features * each


def series_moments(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """What averages over a series can say of its order, and of its calm and stormy stretches.

    Args:
        x: (B, T, F).
        mask: (B, T), True for real steps; padding is at the end. None for no padding.

    Returns:
        (B, K) with K = `told_of_series(F)`, in this order: `moments_and_size`; up to 16 features,
        the `autoregression`; log rms of x_t − x_{t−k} for lags k = 1, 2, 4, …, 32; of the log size
        of the `swings`, mean and log sd, and the same log rms differences; the `storms`. A series
        too short for one of them has 0 there.

    Source: Cressie (1993), *Statistics for Spatial Data*, section 2.4, for the variogram.

    Example:
        >>> series_moments(torch.randn(4, 50, 1), None).shape, told_of_series(1)
        (torch.Size([4, 40]), 40)
    """
    size = swings(x, mask)
    told = [moments_and_size(x, mask)]
    if x.shape[2] <= CORRELATED:
        told.append(autoregression(x, mask))
    told += [variogram(x, mask), mean_and_log_sd(size, mask), variogram(size, mask)]
    return torch.cat([*told, storms(x, mask)], 1)


def autoregression(x: torch.Tensor, mask: torch.Tensor | None, order: int = ORDER) -> torch.Tensor:
    """How each step follows from the `order` before it, by least squares: (B, p·F² + F), p = order.

    The coefficients of x_t − mean ≈ Σ_k A_k (x_{t−k} − mean), lag 1 first, each A_k row by row, and
    the log rms of what is left of each feature. They are the parameters of a (vector)
    autoregression, nearly as a posterior has them; to find them from correlations, a network would
    have to learn to solve linear equations. Of a smooth path with noise upon it, what is left says
    how much is noise.

    What is 10 or more is brought near, see `soft_clip`. Series with no more steps to foretell than
    coefficients a feature determine none: told as 0.

    Source: Lütkepohl (2005), *New Introduction to Multiple Time Series Analysis*, section 3.2.

    Example:
        >>> steps = torch.arange(200.0)
        >>> wave = torch.stack([steps.cos(), steps.sin()], -1)[None]  # turns by 1 radian a step
        >>> autoregression(wave, None, order=1)[0, :4].round(decimals=3)  # cos, −sin, sin, cos of 1
        tensor([ 0.5400, -0.8410,  0.8410,  0.5400])
    """
    rows, length, features = x.shape
    wanted = order * features
    if length <= order + wanted:
        return x.new_zeros(rows, wanted * features + features)
    # In double precision, as in `moments_and_size`, and for the same reason.
    exact = x if x.device.type == "mps" else x.double()
    off = exact - mean_and_log_sd(exact, mask, DATA_FLOOR)[:, None, :features]
    lagged = [off[:, order - k : length - k] for k in range(order + 1)]
    # Padding is at the end: if a step is real, so are those before it.
    real = None if mask is None else mask[:, order:, None]
    kept = lagged if real is None else [one * real for one in lagged]
    products = torch.cat([torch.cat([a.mT @ b for b in lagged], 2) for a in kept], 1)
    count = counts(x, mask)[..., None].to(exact) - order
    now, past = products[:, :features], products[:, features:]
    gram, cross = past[:, :, features:], past[:, :, :features]
    scale = gram.diagonal(dim1=1, dim2=2)
    ridge = (scale * RIDGE_PAST + count[:, 0] * DATA_FLOOR).diag_embed()
    factor = torch.linalg.cholesky_ex(gram + ridge).L
    weights = torch.cholesky_solve(cross, factor)  # (B, p·F, F): from what, to what
    left = now[:, :, :features] - 2 * weights.mT @ cross + weights.mT @ gram @ weights
    mean_square = left.diagonal(dim1=1, dim2=2).clamp_min(0.0) / count.clamp_min(1)[..., 0]
    each = weights.unflatten(1, (order, features)).transpose(2, 3).flatten(1)
    told = torch.cat([soft_clip(each), 0.5 * (mean_square + DATA_FLOOR).log()], 1)
    return torch.where(count[..., 0] > wanted, told, 0.0).to(x.dtype)


def coarse_path(x: torch.Tensor, mask: torch.Tensor | None, stretches: int) -> torch.Tensor:
    """Means over equal stretches of the series, (B, stretches·F), stretch by stretch.

    Where a series follows a path and noise is added to it, this is the path with most of the noise
    taken out. A step that lies in two stretches counts in both, by its share, so that series of any
    length have as many.

    Example:
        >>> coarse_path(torch.arange(6.0).reshape(1, 6, 1), None, 3)
        tensor([[0.5000, 2.5000, 4.5000]])
        >>> coarse_path(torch.tensor([[[1.0], [4.0]]]), None, 3)
        tensor([[1.0000, 2.5000, 4.0000]])
    """
    length = counts(x, mask)[:, :, None]
    edges = torch.arange(stretches + 1, device=x.device, dtype=x.dtype) / stretches
    start, end = edges[:-1, None] * length, edges[1:, None] * length
    steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    shares = (torch.minimum(steps + 1, end) - torch.maximum(steps, start)).clamp_min(0.0)
    weights = shares / (length / stretches)  # (B, stretches, T); padding lies beyond the last end
    return (weights @ x).flatten(1)


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
