"""From one vector an observation to one vector a data set, whatever N is, padding left out.

A posterior's location follows the data's moments, and its spread shrinks like 1/√N: with 1,000
observations it is 30 times narrower than with one. A summary must then carry a location to three
digits. So moments of the data are part of s as they are, beside what a network makes of all that is
pooled. In units of their own: a log sd that varies by 0.05 from one data set to the next may be all
that matters, and beside numbers of size 1 a network is slow to see it.
"""

from __future__ import annotations

import torch
from torch import nn

from diffsbi_edu.standardise import Standardise, soft_clip

FLOOR = 1e-4  # of the variance of a hidden feature: bounds the gradient of its logarithm
DATA_FLOOR = 1e-10  # of the variance of a datum, which needs no gradient
RIDGE = 1e-5  # on a correlation matrix's diagonal
CORRELATED = 16  # features: of more, correlations would be more numbers than they are worth


def counts(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """N of each data set of x (B, N, F), as floats (B, 1)."""
    if mask is None:
        return x.new_full((len(x), 1), x.shape[1])
    return mask.sum(1, keepdim=True).to(x)


def mean_and_log_sd(
    h: torch.Tensor, mask: torch.Tensor | None, floor: float = FLOOR
) -> torch.Tensor:
    """Means and log sds over the observations of h (B, N, W): (B, 2W).

    A single observation has no spread; its log sd is given as 0, a harmless number, and the sample
    size beside it says what that 0 means.

    Example:
        >>> h = torch.tensor([[[1.0], [3.0], [77.0]]])
        >>> mean_and_log_sd(h, torch.tensor([[True, True, False]]), floor=0.0)
        tensor([[2., 0.]])
    """
    n = counts(h, mask)
    if mask is None:
        mean = h.mean(1)
        variance = (h - mean[:, None]).square().mean(1)
    else:
        share = (mask / n)[..., None]
        mean = (h * share).sum(1)
        variance = ((h - mean[:, None]).square() * share).sum(1)
    log_sd = 0.5 * (variance + floor).log()
    return torch.cat([mean, torch.where(n > 1, log_sd, 0.0)], 1)


def told_of_set(features: int, *, correlated: bool | None = None) -> int:
    """Length of what `moments_and_size` returns, for F features."""
    simple = 2 * features + 2
    return simple + features**2 + features - 1 if _correlated(features, correlated) else simple


def moments_and_size(
    x: torch.Tensor, mask: torch.Tensor | None, *, correlated: bool | None = None
) -> torch.Tensor:
    """What every encoder tells beside its learnt features: (B, F² + 3F + 1), or (B, 2F + 2).

    Means and log sds of the data, what the features have to do with one another (`whitening` and
    `correlations`), (ln N)/4 and 1/√N. The paper appends √N, which for N from 1 to 1,000 runs from
    1 to 32; these two run from 0 to 1.7 and from 1 to 0.03, and resolve small N as well as large.

    Args:
        x: (B, N, F).
        mask: (B, N), True for real observations; None for no padding.
        correlated: whether the second is told; None for 2 to 16 features.
    """
    n, features = counts(x, mask), x.shape[2]
    simple = mean_and_log_sd(x, mask, DATA_FLOOR)
    told = [simple, n.log() / 4, n.rsqrt()]
    if _correlated(features, correlated):
        # In double precision: where one feature nearly follows from others, the factor is what is
        # left of nearly equal numbers, and must not depend on the order of the observations.
        # (Apple's GPUs have none: there such numbers depend on it a little.)
        r = correlations(x if x.device.type == "mps" else x.double(), mask)
        i, j = torch.triu_indices(features, features, 1, device=x.device)  # each pair once
        mean, log_sd = simple.to(r).split(features, 1)
        white = torch.where(n > features, whitening(mean, log_sd, r), 0.0)
        pairs = torch.cat([white, r[:, i, j]], 1)
        told.insert(1, pairs.to(x.dtype))
    return torch.cat(told, 1)


def _correlated(features: int, wanted: bool | None) -> bool:
    return features > 1 and (features <= CORRELATED if wanted is None else wanted)


def whitening(mean: torch.Tensor, log_sd: torch.Tensor, correlation: torch.Tensor) -> torch.Tensor:
    """The matrix that makes the features uncorrelated with sd 1, and the mean made so.

    With L the Cholesky factor of the covariance matrix, V = L⁻¹ is lower triangular, and its row i
    predicts feature i from the features before it. (B, F² + 2F − 1) numbers, which may take any
    value: V's entries below the diagonal, row by row; log(L_ii/sd_i) for i > 1, how much of feature
    i the features before it leave unexplained; V mean. Under the usual prior of a covariance, an
    inverse Wishart, V has light tails and a spread that hardly depends on V, where L has neither:
    so what the data say of a covariance is close to a straight line of these numbers, and to find
    them from correlations takes a network long.

    What is 10 or more is brought near, see `soft_clip`. N observations of F ≥ N features determine
    no V: told as 0.

    Args:
        mean, log_sd: (B, F).
        correlation: (B, F, F).

    Source: Pourahmadi (1999), Biometrika 86, 677–690, for the unconstrained numbers.

    Example:
        >>> r, sd = torch.tensor([[[1.0, 0.6], [0.6, 1.0]]]), torch.tensor([[0.5, 2.0]])
        >>> whitening(torch.tensor([[1.0, 1.0]]), sd.log(), r)  # −0.6/(0.8·0.5), log 0.8, V mean
        tensor([[-1.5000, -0.2231,  2.0000, -0.8750]])
    """
    features = correlation.shape[-1]
    # Features without spread have no correlation with themselves either. And where one feature
    # follows from the others, a factor exists only up to rounding: hence the ridge.
    one = torch.eye(features, dtype=torch.bool, device=correlation.device)
    factor = torch.linalg.cholesky_ex(torch.where(one, 1 + RIDGE, correlation)).L
    left = factor.diagonal(dim1=1, dim2=2)[:, 1:].log()
    inverse = torch.linalg.solve_triangular(factor, one.to(factor).expand_as(factor), upper=False)
    whiten = inverse * (-log_sd).exp()[:, None]
    white = (whiten @ mean[..., None])[..., 0]
    i, j = torch.tril_indices(features, features, -1, device=correlation.device)
    return torch.cat([soft_clip(whiten[:, i, j]), left, soft_clip(white)], 1)


def correlations(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Correlations (B, F, F) of the features.

    A feature without spread, such as that of a single observation, has none: 0.

    Example:
        >>> x = torch.tensor([[[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]])
        >>> round(float(correlations(x, None)[0, 0, 1]), 3)
        1.0
    """
    mean, log_sd = mean_and_log_sd(x, mask, DATA_FLOOR).split(x.shape[2], 1)
    # Without spread the deviations are 0, and so is what their products come to.
    standard = (x - mean[:, None]) * (-log_sd)[:, None].exp()
    if mask is not None:
        standard = standard * mask[..., None]
    return standard.mT @ standard / counts(x, mask)[..., None]


class PilotUnits(Standardise):
    """Units of summaries told, taken once: what has trained on them must not see them change.

    They are taken at one sample size. What hardly varies there may be many units away at another,
    where a network would see nothing else: beyond 10, `soft_clip` brings it near.
    """

    fitted: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, values: torch.Tensor) -> None:
        """Take mean and sd from pilot data (B, dim), unless that was done before.

        What is the same in all of them, such as the size of data sets of one size, stays as it is.
        """
        if self.fitted:
            return
        super().fit(values)
        constant = values.std(0, correction=0) <= 1e-6 * values.abs().amax(0)
        self.mean.masked_fill_(constant, 0.0)
        self.fitted.fill_(True)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return soft_clip(super().forward(values))


class Readout(nn.Module):
    """Moments m (B, M) and learnt features h (B, K), together p, → s (B, S) = (m, W p + MLP(p)).

    m are the moments in units of their own, which `units.fit` sets.

    The moments stand in s as they are (means first, and at most half of s). Weights on their way
    would move them a little at every training step, and with N = 1,000 a little is already much.
    The rest of s is learnt: a straight line plus a network with two hidden layers, small at first,
    so that the model reads the moments before it reads anything else.

    Args:
        moments: M, of `moments_and_size`.
        learnt: K.
        out_features: S.
        width: units in the hidden layers.
    """

    def __init__(self, moments: int, learnt: int, out_features: int, width: int) -> None:
        super().__init__()
        pooled = moments + learnt
        self.told = min(moments, out_features // 2)
        self.units = PilotUnits(moments)
        self.line = nn.Linear(pooled, out_features - self.told)
        self.bend = nn.Sequential(
            nn.Linear(pooled, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, out_features - self.told, bias=False),
        )
        with torch.no_grad():
            for weight in (*self.line.parameters(), *self.bend[-1].parameters()):
                weight.mul_(0.1)

    def forward(self, moments: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
        moments = self.units(moments)
        pooled = torch.cat([moments, learnt], 1)
        return torch.cat([moments[:, : self.told], self.line(pooled) + self.bend(pooled)], 1)
