"""Bijections from a prior's support to R^Dz, each with its inverse and its Jacobian.

Which of them fits a prior is decided by `transforms.prior_transform`. Their constants are buffers,
so a saved model carries them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, biject_to
from torch.distributions import constraints as c

from diffsbi_edu.runtime import normal_cdf

#: exp(u) beyond these is 0 or infinite in float32: outside the support.
LARGEST_LOG = 80.0


class PriorTransform(nn.Module):
    """A differentiable bijection from the prior's support to R^Dz."""

    #: Whether the prior is exactly N(0, I) after the transform (no standardisation needed then).
    gaussian_prior = False
    latent_dim: int

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        """theta (..., D) → u (..., Dz)."""
        raise NotImplementedError

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        """u (..., Dz) → theta (..., D), inside the prior's support."""
        raise NotImplementedError

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        """log |det du/dtheta| at theta (..., D): shape (...)."""
        raise NotImplementedError


class Unbounded(PriorTransform):
    """The identity, for a prior on all of R^D."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.latent_dim = dim

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return theta

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        return u

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(theta[..., 0])


class Whiten(PriorTransform):
    """u = L⁻¹(theta − mean) for a multivariate normal prior with covariance L Lᵀ."""

    gaussian_prior = True
    mean: torch.Tensor
    factor: torch.Tensor

    def __init__(self, mean: torch.Tensor, factor: torch.Tensor) -> None:
        super().__init__()
        self.latent_dim = len(mean)
        self.register_buffer("mean", mean.float().clone())
        self.register_buffer("factor", factor.float().clone())

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        centred = (theta - self.mean)[..., None]
        return torch.linalg.solve_triangular(self.factor, centred, upper=False)[..., 0]

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        return self.mean + u @ self.factor.T

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        return -self.factor.diagonal().log().sum().expand(theta.shape[:-1])


class UniformToNormal(PriorTransform):
    """u = Phi⁻¹((theta − low) / (high − low)), for a uniform prior on a box.

    Each half of the interval is measured from its own end, so both tails are accurate in float32.
    """

    gaussian_prior = True
    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, low: torch.Tensor, high: torch.Tensor) -> None:
        super().__init__()
        self.latent_dim = len(low)
        # Rounded inwards: in float32, 0.7 is less than 0.7.
        self.register_buffer("low", _rounded(low, math.inf))
        self.register_buffer("high", _rounded(high, -math.inf))

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        width = self.high - self.low
        left, right = (theta - self.low) / width, (self.high - theta) / width
        nearer = torch.minimum(left, right).clamp_min(1e-12)
        return torch.special.ndtri(nearer) * torch.where(left < right, 1.0, -1.0)

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        distance = (self.high - self.low) * normal_cdf(-u.abs())
        theta = torch.where(u < 0, self.low + distance, self.high - distance)
        # torch's Uniform is half open: its density at `high` itself is zero.
        last = torch.nextafter(self.high, self.low)
        return torch.minimum(torch.maximum(theta, self.low), last)

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        u = self(theta)
        log_phi = -0.5 * u**2 - 0.5 * math.log(2 * math.pi)
        return -(log_phi + (self.high - self.low).log()).sum(-1)


def _rounded(values: torch.Tensor, towards: float) -> torch.Tensor:
    """The nearest float32 on the side of `towards`."""
    near = values.float().clone()
    beyond = near.double() < values.double() if towards > 0 else near.double() > values.double()
    return torch.where(beyond, torch.nextafter(near, torch.full_like(near, towards)), near)


class CdfToNormal(PriorTransform):
    """u = Phi⁻¹(F(theta)) for independent parameters of one family with a known F and F⁻¹."""

    gaussian_prior = True

    def __init__(self, base: Distribution) -> None:
        super().__init__()
        self.latent_dim = int(base.batch_shape[0])
        self._family = type(base)
        for name in base.arg_constraints:
            self.register_buffer(name, getattr(base, name).float().clone())

    def _base(self) -> Distribution:
        family: Any = self._family
        base: Distribution = family(**dict(self.named_buffers()), validate_args=False)
        return base

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        tiny = torch.finfo(torch.float32).eps
        u: torch.Tensor = torch.special.ndtri(self._base().cdf(theta).clamp(tiny, 1 - tiny))
        return u

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        tiny = torch.finfo(torch.float32).eps
        theta: torch.Tensor = self._base().icdf(normal_cdf(u).clamp(tiny, 1 - tiny))
        return theta

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        u = self(theta)
        log_phi = -0.5 * u**2 - 0.5 * math.log(2 * math.pi)
        log_f: torch.Tensor = self._base().log_prob(theta)
        return (log_f - log_phi).sum(-1)


class SupportBijection(PriorTransform):
    """torch's own bijection from the prior's support (positive, interval, simplex, …) to R^Dz."""

    def __init__(self, support: c.Constraint, dim: int) -> None:
        super().__init__()
        self._to_support = biject_to(support)
        self._simplex = support is c.simplex
        self.latent_dim = int(self._to_support.inverse_shape((dim,))[-1])

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        u: torch.Tensor = self._to_support.inv(theta)
        return u

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        theta: torch.Tensor = self._to_support(u.clamp(-LARGEST_LOG, LARGEST_LOG))
        # On a simplex the last pieces of the stick underflow to 0, its border.
        return theta.clamp_min(torch.finfo(theta.dtype).tiny) if self._simplex else theta

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        log_det: torch.Tensor = self._to_support.inv.log_abs_det_jacobian(theta, self(theta))
        return log_det.sum(-1) if log_det.ndim == theta.ndim else log_det


class LogSome(PriorTransform):
    """u = log theta for the positive coordinates, u = theta for the others.

    Args:
        positive: one boolean a coordinate.
    """

    positive: torch.Tensor

    def __init__(self, positive: Sequence[bool]) -> None:
        super().__init__()
        self.latent_dim = len(positive)
        # Follows from the prior's type, so it is no news to a checkpoint.
        self.register_buffer("positive", torch.tensor(positive), persistent=False)

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        return torch.where(self.positive, self._positive_part(theta).log(), theta)

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        return torch.where(self.positive, u.clamp(-LARGEST_LOG, LARGEST_LOG).exp(), u)

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        return -self._positive_part(theta).log().sum(-1)

    def _positive_part(self, theta: torch.Tensor) -> torch.Tensor:
        # 1 where no logarithm is wanted: log(theta) would be NaN there, and so would its gradient.
        return torch.where(self.positive, theta, 1.0)


class SideBySide(PriorTransform):
    """Several transforms, each of its own columns of theta; their u's stand one after another.

    Args:
        parts: the transforms.
        columns: for each of them, which columns of theta are its.
    """

    def __init__(self, parts: Sequence[PriorTransform], columns: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.gaussian_prior = all(part.gaussian_prior for part in parts)
        self._latent_dims = [part.latent_dim for part in parts]
        self.latent_dim = sum(self._latent_dims)
        for i, own in enumerate(columns):
            self.register_buffer(f"columns_{i}", torch.tensor(own), persistent=False)
        order = torch.tensor([column for own in columns for column in own])
        self.register_buffer("position", order.argsort(), persistent=False)

    def _split(self, theta: torch.Tensor) -> list[torch.Tensor]:
        return [theta[..., getattr(self, f"columns_{i}")] for i in range(len(self.parts))]

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        pieces = self._split(theta)
        return torch.cat([part(own) for part, own in zip(self.parts, pieces)], -1)

    def inverse(self, u: torch.Tensor) -> torch.Tensor:
        pieces = u.split(self._latent_dims, -1)
        theta = [part.inverse(own) for part, own in zip(self._typed_parts(), pieces)]
        return torch.cat(theta, -1)[..., self.get_buffer("position")]

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        pieces = zip(self._typed_parts(), self._split(theta))
        return torch.stack([part.log_abs_det(own) for part, own in pieces]).sum(0)

    def _typed_parts(self) -> list[PriorTransform]:
        return [part for part in self.parts if isinstance(part, PriorTransform)]
