"""Summary networks: data x (B, N, F) of any size → a vector s (B, S) of fixed size."""

from __future__ import annotations

import torch
from torch import nn


class Identity(nn.Module):
    """The data themselves, flattened: s = x as a vector of N·F numbers, for fixed N.

    Args:
        in_features: F, features of one observation.
        n_obs: N, the fixed number of observations.

    Raises:
        ValueError: at call time, if x has another N.

    Example:
        >>> Identity(2, n_obs=3)(torch.ones(5, 3, 2)).shape
        torch.Size([5, 6])
    """

    def __init__(
        self, in_features: int, out_features: int | None = None, *, n_obs: int = 1
    ) -> None:
        super().__init__()
        self.in_features, self.n_obs = in_features, n_obs
        self.out_features = in_features * n_obs
        if out_features not in (None, self.out_features):
            raise ValueError(
                f"the identity of {n_obs} × {in_features} numbers has {self.out_features} outputs, "
                f"got out_features = {out_features}."
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != self.n_obs:
            raise ValueError(
                f"this model was built for N = {self.n_obs} observations and got N = {x.shape[1]}; "
                "use a summary network (encoder=…) for data sets of varying size."
            )
        return x.flatten(1)
