"""`Statistics`: summaries made by hand, the yardstick for those that are learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from diffsbi_edu.encoders.base import Encoder
from diffsbi_edu.encoders.pooling import (
    DATA_FLOOR,
    PilotUnits,
    counts,
    moments_and_size,
    told_of_set,
)
from diffsbi_edu.runtime import Seed
from diffsbi_edu.standardise import soft_clip


class Statistics(Encoder):
    """Summary statistics of your own, or the moments: nothing to learn.

    Where a problem has sufficient statistics, nothing that a network could learn tells more about
    theta (Fisher 1922), so a learnt summary that does worse than these has not learnt enough.

    The moments are, in this order: the F means, the F log sds, and unless left out what makes them
    a covariance matrix (what makes the data white, see `pooling.whitening`, and the F(F−1)/2
    correlations), (ln N)/4 and 1/√N. They are sufficient for normal data. What does not exist, such
    as the log sd of a single observation, is 0. In a model they come in units of their own, mean 0
    and sd 1 over its pilot simulations; what your own function returns is left as it is, and should
    be of size 1 as well.

    *Symmetry*: "set" for the moments. Your own function may do as it likes: then it is None.

    Args:
        in_features: F.
        out_features: S; None to take what comes.
        statistics: a function of x (B, N, F) that returns (B, S); it is called with ``mask`` (B, N)
            as a second argument where the data are padded. It sees x in the model's standardised
            units. None for the moments.
        covariances: whether the moments include the factor and the correlations.
        seed: taken as by every encoder; there are no weights.

    Raises:
        TypeError: `statistics` cannot be called.
        ValueError: `out_features` is not the number of the moments; at call time, the function
            returned something other than (B, S).

    Example:
        >>> x = torch.tensor([[[1.0], [3.0]]])
        >>> Statistics(1)(x)  # mean 2, sd 1, N = 2
        tensor([[2.0000, 0.0000, 0.1733, 0.7071]])
        >>> Statistics(1, statistics=lambda x: x.amax(1))(x)
        tensor([[3.]])
    """

    symmetry: str | None = "set"

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        statistics: Callable[..., torch.Tensor] | None = None,
        *,
        covariances: bool = True,
        seed: Seed = None,
    ) -> None:
        super().__init__(in_features, out_features, covariances=covariances)
        if statistics is not None and not callable(statistics):
            raise TypeError(
                f"statistics must be a function of x (B, N, F), or None for moments, got "
                f"{statistics!r}."
            )
        self.statistics = statistics
        if statistics is not None:
            self.symmetry = None
            return
        moments = told_of_set(in_features, correlated=covariances)
        if out_features not in (None, moments):
            raise ValueError(
                f"the moments of {in_features} feature(s) are {moments} numbers, got out_features "
                f"= {out_features}; leave it out."
            )
        self.out_features = moments
        self.units = PilotUnits(moments)

    def config(self) -> dict[str, Any] | None:
        """None for statistics of your own, which are code: give them again when loading."""
        return super().config() if self.statistics is None else None

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.check(x, mask)
        if self.statistics is None:
            told: torch.Tensor = self.units(self._moments(x, mask))
            return told
        s = self.statistics(x) if mask is None else self.statistics(x, mask)
        wanted = "S" if self.out_features is None else self.out_features
        if not isinstance(s, torch.Tensor) or s.ndim != 2 or len(s) != len(x):
            got = tuple(s.shape) if isinstance(s, torch.Tensor) else type(s)
            raise ValueError(f"statistics must return (B, S) = ({len(x)}, {wanted}), got {got}.")
        if self.out_features not in (None, s.shape[1]):
            raise ValueError(
                f"statistics must return (B, S) = ({len(x)}, {wanted}), got {tuple(s.shape)}."
            )
        return s

    def _moments(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return moments_and_size(soft_clip(x), mask, correlated=self._settings["covariances"])

    def fit_units(self, x: torch.Tensor) -> None:
        if self.statistics is None:
            self.units.fit(self._moments(*self.check(x, None)))

    def __repr__(self) -> str:
        if self.statistics is None:
            return super().__repr__()
        name = getattr(self.statistics, "__name__", repr(self.statistics))
        return f"Statistics({self.in_features}, {self.out_features}, statistics={name})"


def series_statistics(x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Moments of a time series, and what it says of its order: s (B, 5F + 2) of x (B, N, F).

    In this order: the F means, the F log sds, the F autocorrelations at lag 1, the F first and the
    F last values, (ln N)/4 and 1/√N. They are sufficient for a normal AR(1): its log likelihood is
    made of Σx_t, Σx_t², Σx_t x_{t−1}, both ends and N (Hamilton 1994, section 5.2). A single
    observation has the autocorrelation 0.

    Args:
        x: data; `Statistics(F, statistics=series_statistics)` hands it on in standardised units.
        mask: (B, N), True for the real steps of padded series, which come first.

    Example:
        >>> series_statistics(torch.tensor([[[1.0], [-1.0], [1.0], [-1.0]]]))[0, :5]
        tensor([ 0.0000,  0.0000, -0.7500,  1.0000, -1.0000])
    """
    simple, features = moments_and_size(x, mask, correlated=False), x.shape[2]
    off = x - simple[:, None, :features]
    last = x[:, -1]
    if mask is not None:
        off = off * mask[..., None]
        ends = counts(x, mask).long() - 1
        last = x.take_along_dim(ends[..., None], 1)[:, 0]
    power = off.square().sum(1) + DATA_FLOOR
    lag_one = (off[:, 1:] * off[:, :-1]).sum(1) / power
    return torch.cat([simple[:, : 2 * features], lag_one, x[:, 0], last, simple[:, -2:]], 1)
