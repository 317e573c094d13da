"""From the user's parameters theta to the latent z that diffuses, and back.

Two steps. A *prior transform* takes theta to an unbounded space: for a bounded prior it is what
keeps every sample inside the prior's support, whatever the network does. Where the prior has a CDF
F and its inverse, the map is Phi⁻¹(F(theta)), under which the prior is exactly N(0, I). A
*standardisation* then shifts and scales each coordinate to mean 0 and sd 1. All constants are
buffers, so a saved model carries them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    Uniform,
    biject_to,
)
from torch.distributions import constraints as c

from diffsbi_edu.runtime import normal_cdf


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
        # Beyond these limits exp(u) is 0 or infinite in float32: outside the support.
        theta: torch.Tensor = self._to_support(u.clamp(-80.0, 80.0))
        # On a simplex the last pieces of the stick underflow to 0, its border.
        return theta.clamp_min(torch.finfo(theta.dtype).tiny) if self._simplex else theta

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        log_det: torch.Tensor = self._to_support.inv.log_abs_det_jacobian(theta, self(theta))
        return log_det.sum(-1) if log_det.ndim == theta.ndim else log_det


def prior_transform(prior: Distribution) -> PriorTransform:
    """The transform for a prior with event shape (D,): exact where its CDF is known.

    Raises:
        ValueError: the prior's support is not one that torch can map to R^Dz.

    Example:
        >>> prior = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)
        >>> to_latent = prior_transform(prior)
        >>> [round(u, 2) for u in to_latent(torch.tensor([0.975, 0.025])).tolist()]
        [1.96, -1.96]
    """
    if isinstance(prior, MultivariateNormal):
        return Whiten(prior.loc, prior.scale_tril)
    if isinstance(prior, Independent):
        base = prior.base_dist
        if isinstance(base, Normal):
            return Whiten(base.loc, base.scale.diag())
        if isinstance(base, Uniform):
            return UniformToNormal(base.low, base.high)
        if type(base).icdf is not Distribution.icdf and _has_icdf(base):
            return CdfToNormal(base)
    dim = int(prior.event_shape[0])
    try:
        support: Any = prior.support
        while hasattr(support, "base_constraint"):  # of Independent and MixtureSameFamily
            support = support.base_constraint
        if support is c.real or support is c.real_vector:
            return Unbounded(dim)
        if support.is_discrete:
            return Unbounded(dim)  # integers are diffused as if they were continuous
        return SupportBijection(support, dim)
    except NotImplementedError:
        raise ValueError(
            f"cannot map the support of the prior {prior} to an unbounded space; give it a "
            "`support` that torch.distributions.biject_to knows, or use an unbounded "
            "parametrisation."
        ) from None


def _has_icdf(base: Distribution) -> bool:
    """Whether a family inverts its CDF, from its own parameters (a transformed one may not)."""
    try:
        half = torch.full(base.batch_shape, 0.5)
        base.cdf(base.icdf(half))
        type(base)(**{name: getattr(base, name) for name in base.arg_constraints})
    except (NotImplementedError, TypeError, AttributeError, ValueError):
        return False
    return True


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
        return self.mean + self.scale * z


class ToLatent(nn.Module):
    """theta → z: the prior transform, then standardisation (skipped if already N(0, I))."""

    def __init__(self, prior: Distribution) -> None:
        super().__init__()
        self.prior = prior_transform(prior)
        self.standardise = Standardise(self.prior.latent_dim)

    @property
    def latent_dim(self) -> int:
        """Dz, the dimension that diffuses."""
        return self.prior.latent_dim

    def fit(self, theta: torch.Tensor) -> None:
        """Set the standardisation from prior draws theta (B, D)."""
        if not self.prior.gaussian_prior:
            self.standardise.fit(self.prior(theta))

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        z: torch.Tensor = self.standardise(self.prior(theta))
        return z

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """z (..., Dz) → theta (..., D)."""
        return self.prior.inverse(self.standardise.inverse(z))

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        """log |det dz/dtheta|, which turns a density of z into one of theta."""
        return self.prior.log_abs_det(theta) - self.standardise.scale.log().sum()
