"""`TemporalConv`: convolutions with ever wider gaps, which see far back at little cost."""

from __future__ import annotations

import torch
from torch import nn

from diffsbi_edu.encoders.base import Encoder, whole
from diffsbi_edu.encoders.front import ConvFront
from diffsbi_edu.encoders.pooling import Readout, mean_and_log_sd
from diffsbi_edu.encoders.variogram import series_moments, told_of_series
from diffsbi_edu.runtime import Seed, make_generator, randomness_from


class DilatedBlock(nn.Module):
    """h ← h + W silu(conv(h)), a kernel of 3 steps that are `dilation` steps apart.

    It looks to both sides: a whole series lies before us, and nothing is gained by hiding its
    future (Bai et al. hide it, since they predict it).
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.look = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, h: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """h (B, width, T); real (B, 1, T) is 0 where there is padding, which stays zero."""
        h = h + self.mix(nn.functional.silu(self.look(h)))
        return h if real is None else h * real


class TemporalConv(Encoder):
    """A summary of a sequence by dilated convolutions, averaged over time.

    Block k looks 2^k steps away, so `depth` blocks see 2^(depth+1) − 1 (shortened) steps: with the
    defaults about 124 steps of the series at once. Mean and log sd over time of what they see are
    read out. All steps are computed at once, which makes it the fastest reader of long series; what
    it cannot see is how two things far apart hang together.

    *Symmetry*: sequence. Reordering the steps changes s.

    Args:
        in_features: F.
        out_features: S, length of the summary.
        width: features at each step.
        depth: number of blocks, with dilations 1, 2, 4, ….
        stride: how many steps the convolutions in front make into one; a power of two, 1 for none.
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: sizes below 1, width below 3, a stride that is no power of two; at call time, x
            or mask of a wrong shape, an empty sequence, or padding that is not at the end.
        TypeError: at call time, x not a floating-point tensor, or mask not a boolean one.

    Source: Bai, Kolter & Koltun (2018), arXiv 1803.01271, section 3.

    Example:
        >>> encoder = TemporalConv(1, 8, width=16, seed=0)
        >>> x = torch.linspace(-1, 1, 50).reshape(1, 50, 1)
        >>> torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-3)
        False
    """

    symmetry = "sequence"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        depth: int = 4,
        stride: int = 4,
        seed: Seed = None,
    ) -> None:
        whole(out_features=out_features, width=width, depth=depth, stride=stride)
        super().__init__(in_features, out_features, width=width, depth=depth, stride=stride)
        with randomness_from(make_generator(seed)):
            self.front = ConvFront(in_features, width, stride)
            self.blocks = nn.ModuleList(DilatedBlock(width, 2**k) for k in range(depth))
            self.leave = Readout(told_of_series(in_features), 2 * width, out_features, 2 * width)

    def fit_units(self, x: torch.Tensor) -> None:
        self.leave.units.fit(series_moments(*self.prepare(x, None)))

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.prepare(x, mask)
        h, kept = self.front(x, mask)
        h = h.mT
        for block in self.blocks:
            h = block(h, None if kept is None else kept[:, None].to(h))
        s: torch.Tensor = self.leave(series_moments(x, mask), mean_and_log_sd(h.mT, kept))
        return s
