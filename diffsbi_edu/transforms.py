"""From the user's parameters theta to the latent z that diffuses, and back.

Two steps. A *prior transform* takes theta to an unbounded space: for a bounded prior it is what
keeps every sample inside the prior's support, whatever the network does. Where the prior has a CDF
F and its inverse, the map is Phi⁻¹(F(theta)), under which the prior is exactly N(0, I). A
*standardisation* then shifts and scales each coordinate to mean 0 and sd 1, after bending those
with a spike and far-reaching tails: see `StandardiseLatent`. All constants are buffers, so a saved
model carries them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    Uniform,
)
from torch.distributions import constraints as c

from diffsbi_edu.bijections import (
    CdfToNormal,
    LogSome,
    PriorTransform,
    SideBySide,
    SupportBijection,
    Unbounded,
    UniformToNormal,
    Whiten,
)
from diffsbi_edu.problems.product import Product
from diffsbi_edu.standardise import Standardise, StandardiseLatent

__all__ = [
    "PriorTransform",
    "Standardise",
    "ToLatent",
    "Unbounded",
    "Whiten",
    "prior_transform",
]


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
    if isinstance(prior, Product):
        return SideBySide([prior_transform(factor) for factor in prior.factors], prior.columns)
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
        each = support.cseq if isinstance(support, c.stack) else [None]
        if all(one in (c.real, c.positive) for one in each):
            return LogSome([one is c.positive for one in each])
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


REACH = 12.0  # sds; of a normal latent, beyond it lies less than 1e-32


class ToLatent(nn.Module):
    """theta → z: the prior transform, then standardisation (skipped if already N(0, I)).

    Attributes:
        reach: (Dz,), distance from 0 that no latent drawn from the prior comes near to.
    """

    reach: torch.Tensor

    def __init__(self, prior: Distribution) -> None:
        super().__init__()
        self.prior = prior_transform(prior)
        self.standardise = StandardiseLatent(self.prior.latent_dim)
        self.register_buffer("reach", torch.full((self.prior.latent_dim,), REACH))

    @property
    def latent_dim(self) -> int:
        """Dz, the dimension that diffuses."""
        return self.prior.latent_dim

    def fit(self, theta: torch.Tensor) -> None:
        """Set the standardisation from prior draws theta (B, D)."""
        if not self.prior.gaussian_prior:
            self.standardise.fit(self.prior(theta))
            self.reach.copy_((3 * self(theta).abs().amax(0)).clamp_min(REACH))

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        z: torch.Tensor = self.standardise(self.prior(theta))
        return z

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """z (..., Dz) → theta (..., D)."""
        return self.prior.inverse(self.standardise.inverse(z))

    def log_abs_det(self, theta: torch.Tensor) -> torch.Tensor:
        """log |det dz/dtheta|, which turns a density of z into one of theta."""
        return self.prior.log_abs_det(theta) + self.standardise.log_abs_det(self.prior(theta))
