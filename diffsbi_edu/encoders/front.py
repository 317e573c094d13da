"""Convolutions that shorten a sequence before something slow reads it."""

from __future__ import annotations

import math

import torch
from torch import nn

from diffsbi_edu.encoders.base import whole
from diffsbi_edu.encoders.padding import check_padding_is_last
from diffsbi_edu.encoders.variogram import swings

KERNELS = (3, 7, 15)  # short, middling and long patterns, side by side


def relative_time(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Where in its sequence each step is, between −1 and 1: (B, T, 1), and 0 for padding.

    A convolution sees the same pattern alike wherever it is; whether a peak came early or late is
    told by this.
    """
    steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype) + 0.5
    if mask is None:
        return (2 * steps / x.shape[1] - 1).expand(len(x), -1)[..., None]
    length = mask.sum(1, keepdim=True).to(x.dtype)
    return ((2 * steps / length - 1) * mask)[..., None]


class ConvFront(nn.Module):
    """x (B, T, F) → h (B, ⌈T/stride⌉, width), and the mask that goes with it.

    The series comes with the log size of its `swings` and its relative time, as further features.
    First an *inception* layer, kernels of 3, 7 and 15 steps side by side (Szegedy et al. 2015, in
    one dimension), then kernels of 5; each halves the length until `stride` is reached. Padding is
    zeroed before each layer, which is what a layer's own border looks like: a padded sequence
    gives the same h as an unpadded one.

    Args:
        in_features: F.
        width: features of h, at least 3.
        stride: how many steps become one; a power of two.

    Raises:
        ValueError: a width below 3, or a stride that is no power of two; at call time, a mask with
            padding that is not at the end.
    """

    def __init__(self, in_features: int, width: int, stride: int) -> None:
        super().__init__()
        whole(width=width, stride=stride)
        if width < len(KERNELS):
            raise ValueError(
                f"width must be at least {len(KERNELS)}, one for each kernel, got {width}."
            )
        if stride & (stride - 1):
            raise ValueError(f"stride must be a power of two (1, 2, 4, …), got {stride}.")
        halvings = int(math.log2(stride))
        share = [width // 3, width // 3, width - 2 * (width // 3)]
        self.first_stride = min(stride, 2)
        self.inception = nn.ModuleList(
            nn.Conv1d(2 * in_features + 1, part, k, padding=k // 2, stride=self.first_stride)
            for part, k in zip(share, KERNELS, strict=True)
        )
        self.shorten = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2, stride=2) for _ in range(halvings - 1)
        )

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        check_padding_is_last(mask)
        h = torch.cat([x, swings(x, mask), relative_time(x, mask)], -1).mT
        h = torch.cat([conv(h) for conv in self.inception], 1)
        h, mask = self._finish(h, mask, self.first_stride)
        for conv in self.shorten:
            h, mask = self._finish(conv(h), mask, 2)
        return h.mT, mask

    @staticmethod
    def _finish(
        h: torch.Tensor, mask: torch.Tensor | None, stride: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        h = nn.functional.silu(h)
        if mask is None:
            return h, None
        mask = mask[:, ::stride]  # output j is centred at input stride·j: real if that one is
        return h * mask[:, None], mask
