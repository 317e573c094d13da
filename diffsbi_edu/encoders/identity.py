"""`Identity`: no summary, the data themselves."""

from __future__ import annotations

import torch

from diffsbi_edu.encoders.base import Encoder, whole
from diffsbi_edu.runtime import Seed


class Identity(Encoder):
    """The data themselves, flattened: s = x as a vector of N·F numbers, for fixed N.

    *Symmetry*: none; observation i always means the same thing.

    Args:
        in_features: F, features of one observation.
        out_features: N·F, or None.
        n_obs: N, the fixed number of observations.
        seed: taken as by every encoder; there are no weights.

    Raises:
        ValueError: sizes that contradict one another; at call time, if x has another N, or a mask
            leaves observations out.

    Example:
        >>> Identity(2, n_obs=3)(torch.ones(5, 3, 2)).shape
        torch.Size([5, 6])
    """

    symmetry = "fixed"

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        *,
        n_obs: int = 1,
        seed: Seed = None,
    ) -> None:
        whole(in_features=in_features, n_obs=n_obs)
        if out_features not in (None, in_features * n_obs):
            raise ValueError(
                f"the identity of {n_obs} × {in_features} numbers has {in_features * n_obs} "
                f"outputs, got out_features = {out_features}."
            )
        super().__init__(in_features, in_features * n_obs, n_obs=n_obs)
        self.n_obs = n_obs

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.check(x, mask)
        if x.shape[1] != self.n_obs:
            raise ValueError(
                f"this model was built for N = {self.n_obs} observations and got N = {x.shape[1]}; "
                "use a summary network (encoder=…) for data sets of varying size."
            )
        if mask is not None:
            raise ValueError(
                "Identity cannot leave observations out: its summary has a place for each. Use a "
                "set or sequence encoder for padded data."
            )
        return x.flatten(1)
