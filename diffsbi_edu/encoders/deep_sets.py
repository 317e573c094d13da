"""`DeepSets`: a network that looks at each observation alone, and at their mean and spread."""

from __future__ import annotations

import torch
from torch import nn

from diffsbi_edu.encoders.base import Encoder, whole
from diffsbi_edu.encoders.pooling import Readout, mean_and_log_sd, moments_and_size, told_of_set
from diffsbi_edu.runtime import Seed, make_generator, randomness_from

CACHE = 2**19  # numbers in a layer at a time, on a CPU


class DeepSets(Encoder):
    """A summary of a set: s = rho(pool of phi(x_1), …, phi(x_N)).

    Every continuous function of a set can be written so, with a sum for the pool (Zaheer et al.
    2017, theorem 2). As in Chen et al., the pool is the mean and log sd of each of phi's features,
    and the sample size is told apart, since neither of the two depends on it. The moments of x and
    the sample size are pooled beside them: see `pooling.moments_and_size`. phi is a network of two
    layers, rho one of three beside a straight line.

    *Symmetry*: set. Reordering the observations changes s by rounding errors only.

    Args:
        in_features: F.
        out_features: S, length of the summary.
        width: units of phi's two layers; rho's have twice as many.
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: sizes below 1; at call time, x or mask of a wrong shape, or an empty data set.
        TypeError: at call time, x not a floating-point tensor, or mask not a boolean one.

    Source: Zaheer et al. (2017), Deep Sets, arXiv 1703.06114, equation 4; Chen, Bansal & Scott
    (2024), arXiv 2410.19105, for the pool.

    Example:
        >>> encoder = DeepSets(2, 8, seed=0)
        >>> x = torch.arange(12.0).reshape(1, 6, 2) / 10
        >>> encoder(x).shape
        torch.Size([1, 8])
        >>> torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-5)
        True
    """

    symmetry = "set"

    def __init__(
        self, in_features: int, out_features: int, *, width: int = 48, seed: Seed = None
    ) -> None:
        whole(out_features=out_features, width=width)
        super().__init__(in_features, out_features, width=width)
        self.width = width
        with randomness_from(make_generator(seed)):
            self.phi = nn.Sequential(
                nn.Linear(in_features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
            )
            self.rho = Readout(told_of_set(in_features), 2 * width, out_features, 2 * width)

    def fit_units(self, x: torch.Tensor) -> None:
        self.rho.units.fit(moments_and_size(*self.prepare(x, None)))

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.prepare(x, mask)
        s: torch.Tensor = self.rho(moments_and_size(x, mask), self._pool(x, mask))
        return s

    def _pool(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Mean and log sd of phi (B, 2·width), a few data sets at a time.

        The arithmetic is small, moving the numbers to and from memory is not: in pieces that fit
        into a CPU's cache a training step is faster. A GPU wants all at once.
        """
        rows = max(1, CACHE // (x.shape[1] * self.width)) if x.device.type == "cpu" else len(x)
        masks = [None] * len(x.split(rows)) if mask is None else mask.split(rows)
        pieces = zip(x.split(rows), masks, strict=True)
        return torch.cat([mean_and_log_sd(self.phi(piece), m) for piece, m in pieces])
