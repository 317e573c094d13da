"""Things that go wrong on purpose, for the tests of what should happen then."""

from __future__ import annotations

import math

import torch
from torch import nn


class FailsAfter(nn.Module):
    """An encoder whose output is NaN after k batches of training; in the next alone, if `once`."""

    def __init__(self, k: int, *, once: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.left, self.once = k, once

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s: torch.Tensor = self.layer(x.mean(1))
        self.left -= self.training
        fails = self.left == -1 if self.once else self.left < 0
        return s * math.nan if self.training and fails else s


class LooksLikeGPU:
    """What training asks of a device."""

    type = "cuda"
