"""`SetTransformer`: a set whose members look at one another, at a cost linear in N."""

from __future__ import annotations

import torch
from torch import nn

from diffsbi_edu.encoders.attention import AttentionBlock
from diffsbi_edu.encoders.base import Encoder, check_heads, whole
from diffsbi_edu.encoders.pooling import Readout, moments_and_size, told_of_set
from diffsbi_edu.runtime import Seed, make_generator, randomness_from


class InducedBlock(nn.Module):
    """ISAB(X) = MAB(X, H), H = MAB(I, X): the set X seen through M learnt inducing points I.

    N observations looking at one another are N² looks. Here M points look at N observations, and N
    observations at M points: 2·M·N (Lee et al. 2019, equations 9 and 10).
    """

    def __init__(self, width: int, heads: int, inducing: int) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(inducing, width))
        self.gather, self.spread = AttentionBlock(width, heads), AttentionBlock(width, heads)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        h = self.gather(self.points.expand(len(x), -1, -1), x, mask)
        out: torch.Tensor = self.spread(x, h)
        return out


class SetTransformer(Encoder):
    """A summary of a set by attention: for where observations matter in view of one another.

    Induced blocks, then pooling by attention: a few learnt seeds look at the whole set (equation 8)
    and what they saw is read out. An attention is a weighted *mean*, which knows nothing of N, so
    sample size and moments of x are appended: see `pooling`. It can find clusters and outliers that
    `DeepSets` would have to foresee, and costs many times as much.

    *Symmetry*: set. Reordering the observations changes s by rounding errors only.

    Args:
        in_features: F.
        out_features: S, length of the summary.
        width: units of an observation's vector.
        heads: attentions side by side; divides `width`.
        depth: number of induced blocks.
        inducing: M, inducing points of each.
        seeds: vectors that pool.
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: sizes below 1, or heads that do not divide width; at call time, x or mask of a
            wrong shape, or an empty data set.
        TypeError: at call time, x not a floating-point tensor, or mask not a boolean one.

    Source: Lee et al. (2019), Set Transformer, arXiv 1810.00825, equations 6–10.

    Example:
        >>> encoder = SetTransformer(2, 8, width=16, seed=0)
        >>> x = torch.arange(12.0).reshape(1, 6, 2) / 10
        >>> torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-5)
        True
    """

    symmetry = "set"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        heads: int = 4,
        depth: int = 2,
        inducing: int = 16,
        seeds: int = 2,
        seed: Seed = None,
    ) -> None:
        whole(out_features=out_features, depth=depth, inducing=inducing, seeds=seeds)
        check_heads(width, heads)
        super().__init__(
            in_features,
            out_features,
            width=width,
            heads=heads,
            depth=depth,
            inducing=inducing,
            seeds=seeds,
        )
        with randomness_from(make_generator(seed)):
            self.enter = nn.Linear(in_features, width)
            self.blocks = nn.ModuleList(InducedBlock(width, heads, inducing) for _ in range(depth))
            self.seeds = nn.Parameter(torch.randn(seeds, width))
            self.pool = AttentionBlock(width, heads)
            self.leave = Readout(told_of_set(in_features), seeds * width, out_features, 2 * width)

    def fit_units(self, x: torch.Tensor) -> None:
        self.leave.units.fit(moments_and_size(*self.prepare(x, None)))

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.prepare(x, mask)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, mask)
        seen = self.pool(self.seeds.expand(len(x), -1, -1), h, mask).flatten(1)
        s: torch.Tensor = self.leave(moments_and_size(x, mask), seen)
        return s
