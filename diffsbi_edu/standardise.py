"""From a user's units to numbers of size about 1, which is what networks are built for."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

LINEAR_UP_TO = 10.0  # scales within which `soft_clip` changes nothing
LARGEST_ASINH = 80.0  # sinh of it is 3e34
HEAVY = 3.0  # an sd above this many times what the middle of the distribution suggests


class Standardise(nn.Module):
    """u → (u − mean) / scale, per coordinate of the last axis; the identity until `fit`."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, values: torch.Tensor) -> None:
        """Take mean and sd from values (..., dim); a constant coordinate keeps scale 1."""
        flat = values.detach().cpu().reshape(-1, values.shape[-1]).double()
        mean, scale = flat.mean(0), flat.std(0, correction=0)
        # "constant" means no variation beyond float32 rounding of the values themselves.
        constant = scale <= 1e-6 * flat.abs().amax(0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(constant, 1.0, scale))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return (values - self.mean) / self.scale

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """Back to the user's units."""
        return self.mean + self.scale * z


class StandardiseData(Standardise):
    """The same for data x, whose tails may be so heavy that an sd says nothing about them.

    One Cauchy draw in a million observations is a million times the typical one. Divided by such an
    sd, all other data are 0 to a network. So for a feature whose sd exceeds 3 times half of its
    16–84 % range (equal to the sd of a normal), that half range is the unit, the median is the
    centre, and what lies beyond 10 units is brought near by a logarithm: see `soft_clip`. Features
    without such tails are standardised by mean and sd, linearly.

    Args:
        dim: F, number of features.

    Example:
        >>> cauchy = torch.distributions.Cauchy(5.0, 2.0).icdf(torch.linspace(1e-6, 1 - 1e-6, 9999))
        >>> standardise = StandardiseData(1)
        >>> standardise.fit(cauchy[:, None])
        >>> standardise.heavy.tolist(), round(float(standardise.mean), 3)
        ([True], 5.0)
        >>> 3 < float(standardise.scale) < 4  # the sd is above 20,000
        True
    """

    heavy: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("heavy", torch.zeros(dim, dtype=torch.bool))

    def fit(self, values: torch.Tensor) -> None:
        super().fit(values)
        median, half = middle(values)
        self.heavy.copy_(is_heavy(self.scale, median, half))
        self.mean.copy_(torch.where(self.heavy, median, self.mean))
        self.scale.copy_(torch.where(self.heavy, half, self.scale))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        u = super().forward(values)
        return torch.where(self.heavy, soft_clip(u), u)

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        beyond = z.abs().clamp_min(LINEAR_UP_TO) / LINEAR_UP_TO
        far = z.sign() * LINEAR_UP_TO * (beyond - 1).exp()
        return super().inverse(torch.where(self.heavy & (z.abs() > LINEAR_UP_TO), far, z))


class StandardiseLatent(Standardise):
    """The same for parameters, whose prior may be a spike with far-reaching shoulders.

    Shrinkage priors put most of their mass within a hundredth of their sd from 0. Divided by the
    sd, that mass is a point to a network. So a coordinate whose sd exceeds 3 times half of its
    16–84 % range h (equal to the sd of a normal) is first mapped by u → asinh((u − median)/h),
    which is linear in the middle, a logarithm far out, and smooth: a density stays a density. Then
    mean and sd, as everywhere.

    Args:
        dim: Dz.

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.001, 0.999, 999))
        >>> standardise = StandardiseLatent(2)
        >>> standardise.fit(torch.stack([normal, normal**9], 1))
        >>> standardise.heavy.tolist()
        [False, True]
        >>> u = torch.tensor([[0.5, -1e6]])
        >>> torch.allclose(standardise.inverse(standardise(u)), u)
        True
    """

    heavy: torch.Tensor
    centre: torch.Tensor
    unit: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.register_buffer("heavy", torch.zeros(dim, dtype=torch.bool))
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("unit", torch.ones(dim))

    def fit(self, values: torch.Tensor) -> None:
        super().fit(values)
        median, half = middle(values)
        self.heavy.copy_(is_heavy(self.scale, median, half))
        self.centre.copy_(torch.where(self.heavy, median, 0.0))
        self.unit.copy_(torch.where(self.heavy, half, 1.0))
        if self.heavy.any():
            super().fit(self._bent(values))

    def _bent(self, u: torch.Tensor) -> torch.Tensor:
        return torch.where(self.heavy, ((u - self.centre) / self.unit).asinh(), u)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return super().forward(self._bent(values))

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        bent = super().inverse(z)
        # Beyond, sinh is infinite in float32; of the other coordinates it is not wanted.
        far = torch.where(self.heavy, bent, 0.0).clamp(-LARGEST_ASINH, LARGEST_ASINH)
        return torch.where(self.heavy, self.centre + self.unit * far.sinh(), bent)

    def log_abs_det(self, values: torch.Tensor) -> torch.Tensor:
        """log |det dz/du| at u (..., dim): shape (...)."""
        away = torch.where(self.heavy, (values - self.centre) / self.unit, 0.0)
        slope = -0.5 * (1 + away.square()).log() - self.unit.log() - self.scale.log()
        return slope.sum(-1)


def middle(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Median and half of the 16–84 % range of each column of values (..., dim)."""
    # numpy's quantile: torch's refuses more than 16 million numbers.
    flat = values.detach().cpu().reshape(-1, values.shape[-1]).numpy()
    low, median, high = (
        torch.from_numpy(q).to(values.device)
        for q in np.quantile(flat, [0.16, 0.5, 0.84], axis=0).astype(np.float32)
    )
    return median, (high - low) / 2


def is_heavy(sd: torch.Tensor, median: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
    """Whether an sd says nothing about the middle of a distribution.

    Of a column that is mostly one number, say 0, the half range is 0: the sd has to do.
    """
    return (half > 1e-6 * median.abs()) & (sd > HEAVY * half)


def soft_clip(u: torch.Tensor) -> torch.Tensor:
    """u where |u| ≤ 10, and sign(u)·10·(1 + ln(|u|/10)) beyond: smooth, increasing, never infinite.

    Ordinary numbers keep every digit; the largest float32, 3e38, becomes 873.

    Example:
        >>> [round(u, 1) for u in soft_clip(torch.tensor([0.5, -10.0, 100.0, 3e38])).tolist()]
        [0.5, -10.0, 33.0, 872.9]
    """
    size = u.abs()
    far = LINEAR_UP_TO * (1 + (size.clamp_min(LINEAR_UP_TO) / LINEAR_UP_TO).log())
    return torch.where(size <= LINEAR_UP_TO, u, u.sign() * far)
