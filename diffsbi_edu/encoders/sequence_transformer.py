"""`SequenceTransformer`: a sequence cut into patches, which look at one another."""

from __future__ import annotations

import math

import torch
from torch import nn

from diffsbi_edu.encoders.attention import AttentionBlock
from diffsbi_edu.encoders.base import Encoder, check_heads, whole
from diffsbi_edu.encoders.front import relative_time
from diffsbi_edu.encoders.padding import check_padding_is_last
from diffsbi_edu.encoders.pooling import Readout, mean_and_log_sd
from diffsbi_edu.encoders.variogram import coarse_path, series_moments, told_of_series
from diffsbi_edu.runtime import Seed, make_generator, randomness_from


def sinusoids(count: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Positions 0 … count − 1 as sines and cosines (count, width) of wavelengths 2π to 20,000π.

    Vaswani et al. (2017), arXiv 1706.03762, section 3.5.

    Example:
        >>> sinusoids(2, 4, torch.zeros(1)).shape
        torch.Size([2, 4])
    """
    position = torch.arange(count, device=like.device, dtype=like.dtype)[:, None]
    waves = torch.arange(0, width, 2, device=like.device, dtype=like.dtype)
    phase = position * torch.exp(-math.log(10_000.0) / width * waves)
    return torch.cat([phase.sin(), phase.cos()], -1)[:, :width]


class SequenceTransformer(Encoder):
    """A summary of a sequence by self-attention between its patches.

    Attention costs the square of what looks at each other: 1,500 steps would be 2 million pairs.
    Cut into patches of 16 steps they are 94 patches and 8,836 pairs (Nie et al. 2023). Each patch
    becomes one vector, is told its position, and after `depth` blocks mean and log sd over the
    patches are read out. Two events can be far apart and still be seen together.

    *Symmetry*: sequence. Reordering the steps changes s.

    Args:
        in_features: F.
        out_features: S, length of the summary.
        width: units of a patch's vector.
        heads: attentions side by side; divides `width`.
        depth: number of attention blocks.
        patch: steps in a patch.
        stretches: into how many the series is cut to be told its `coarse_path`, or None. For data
            that follow a path, such as an oscillation, with some noise upon it.
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: sizes below 1, or heads that do not divide width; at call time, x or mask of a
            wrong shape, an empty sequence, or padding that is not at the end.
        TypeError: at call time, x not a floating-point tensor, or mask not a boolean one.

    Source: Vaswani et al. (2017), arXiv 1706.03762, equation 1; Nie et al. (2023), arXiv
    2211.14730, section 3.1, for patches.

    Example:
        >>> encoder = SequenceTransformer(1, 8, width=16, seed=0)
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
        heads: int = 4,
        depth: int = 2,
        patch: int = 16,
        stretches: int | None = None,
        seed: Seed = None,
    ) -> None:
        whole(out_features=out_features, depth=depth, patch=patch)
        if stretches is not None:
            whole(stretches=stretches)
        check_heads(width, heads)
        super().__init__(
            in_features,
            out_features,
            width=width,
            heads=heads,
            depth=depth,
            patch=patch,
            stretches=stretches,
        )
        self.patch, self.stretches = patch, stretches
        with randomness_from(make_generator(seed)):
            self.enter = nn.Linear(patch * (in_features + 2), width)
            self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(depth))
            told = told_of_series(in_features) + (stretches or 0) * in_features
            self.leave = Readout(told, 2 * width, out_features, 2 * width)

    def fit_units(self, x: torch.Tensor) -> None:
        self.leave.units.fit(self._told(*self.prepare(x, None)))

    def _told(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        told = series_moments(x, mask)
        if self.stretches is None:
            return told
        return torch.cat([told, coarse_path(x, mask, self.stretches)], 1)

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.prepare(x, mask)
        check_padding_is_last(mask)
        h = self.enter(self._patches(x, mask))
        h = h + sinusoids(h.shape[1], h.shape[2], h)
        kept = None if mask is None else mask[:, :: self.patch]  # a patch is real if it begins so
        for block in self.blocks:
            h = block(h, h, kept)
        s: torch.Tensor = self.leave(self._told(x, mask), mean_and_log_sd(h, kept))
        return s

    def _patches(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """(B, ⌈T/patch⌉, patch·(F + 2)): x, its relative time, and which steps are real."""
        real = torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x)
        steps = torch.cat([x, relative_time(x, mask), real], -1)
        # The last patch is filled up with steps that are not real.
        steps = nn.functional.pad(steps, (0, 0, 0, -x.shape[1] % self.patch))
        return steps.unflatten(1, (-1, self.patch)).flatten(2)
