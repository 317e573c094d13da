"""NormalInverseWishart: mean and covariance of a multivariate normal, any sample size."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch.distributions import Chi2, Distribution, Transform, biject_to
from torch.distributions import constraints as c

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.parts import in_cache
from diffsbi_edu.problems.posterior import ConjugatePosterior
from diffsbi_edu.runtime import nothing_random


class NormalInverseWishart(Problem):
    """theta = mean and Cholesky factor of the covariance of N normal vectors x_i ~ N(mean, Sigma).

    The prior is Sigma ~ IW(dof, I), with density ∝ |Sigma|^(−(dof+p+1)/2) exp(−½ tr Sigma⁻¹), and
    mean | Sigma ~ N(0, Sigma). It is conjugate for any N. Sigma = L Lᵀ with L lower triangular and
    positive on its diagonal; theta holds the mean (p numbers), then L row by row (p(p + 1)/2): 14
    numbers for p = 4. A covariance matrix cannot be learnt entry by entry (most matrices are none);
    every such L gives one.

    Args:
        n_obs: number of observations N, or a range (low, high).
        dim: p, the number of features of x.
        dof: degrees of freedom of the prior, more than p − 1.

    Raises:
        ValueError: dim below 1, too few degrees of freedom, or `n_obs` impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; the update is in Gelman et
    al., *Bayesian Data Analysis*, section 3.6.

    Example:
        >>> problem = NormalInverseWishart(n_obs=300)
        >>> theta, x = problem.sample(3, seed=0)
        >>> theta.shape, x.shape, problem.posterior(x[0]).sample((5,), seed=1).shape
        (torch.Size([3, 14]), torch.Size([3, 300, 4]), torch.Size([5, 14]))
    """

    data_kind = "set"

    def __init__(
        self, n_obs: int | tuple[int, int] = (200, 500), *, dim: int = 4, dof: float = 6.0
    ) -> None:
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim, the number of features of x, must be an int ≥ 1, got {dim!r}.")
        if not dim - 1 < dof < math.inf:
            raise ValueError(f"dof must be above dim − 1 = {dim - 1}, got {dof}.")
        self._config = {"n_obs": n_obs, "dim": dim, "dof": dof}
        self.features, self.dof = dim, float(dof)
        rows = [f"L {i + 1}{j + 1}" for i in range(dim) for j in range(i + 1)]
        self.theta_names = (*(f"mean {i + 1}" for i in range(dim)), *rows)
        self.x_names = tuple(f"x {i + 1}" for i in range(dim))
        prior = MeanAndFactor(torch.zeros(dim), 1.0, self.dof, torch.eye(dim))
        super().__init__(prior, self._simulator, n_obs=n_obs, name="normal_inverse_wishart")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        mean, factor = unpack(theta, self.features)
        eps = torch.randn(len(theta), self.features, n_obs, device=theta.device)
        x = eps.view(len(theta), n_obs, self.features)  # in place: new memory takes its time
        rows = in_cache(eps)
        with nothing_random():
            for m, f, e, where in zip(
                *(t.split(rows) for t in (mean, factor, eps, x)), strict=True
            ):
                # With the long axis last, which is several times as fast, and turned afterwards.
                where.copy_(torch.baddbmm(m[:, :, None], f, e).mT)
        return x

    def posterior(self, x_obs: torch.Tensor) -> ConjugatePosterior:
        """The exact posterior given x_obs (N, p), for any N."""
        x = one_data_set(x_obs, features=self.features).double()
        mean, n = x.mean(0), len(x)
        scatter = (x - mean).T @ (x - mean) + n / (1 + n) * torch.outer(mean, mean)
        scale = torch.eye(self.features, dtype=torch.float64) + scatter
        factor = torch.linalg.cholesky(scale)
        return ConjugatePosterior(MeanAndFactor(n / (1 + n) * mean, 1.0 + n, self.dof + n, factor))

    def covariance(self, theta: torch.Tensor) -> torch.Tensor:
        """Sigma (..., p, p) for theta (..., D)."""
        factor = unpack(theta, self.features)[1]
        return factor @ factor.mT

    def config(self) -> dict[str, Any]:
        return dict(self._config)


class MeanAndFactor(Distribution):
    """The law of (mean, L): L Lᵀ = Sigma ~ IW(dof, C Cᵀ), mean | Sigma ~ N(loc, Sigma/count).

    Args:
        loc: centre of the mean, (p,); its dtype is that of the draws.
        count: number of observations that `loc` is worth.
        dof: degrees of freedom of the inverse Wishart.
        scale_factor: C (p, p), the Cholesky factor of the inverse Wishart's scale matrix.
    """

    arg_constraints: ClassVar[dict[str, c.Constraint]] = {}

    def __init__(
        self, loc: torch.Tensor, count: float, dof: float, scale_factor: torch.Tensor
    ) -> None:
        self.loc, self.count, self.dof, self.scale_factor = loc, count, dof, scale_factor
        # Of the Bartlett factor below: dof − p + 1, …, dof.
        p = len(loc)
        self._chi2_dofs = dof - p + 1 + torch.arange(p).to(loc)
        super().__init__(event_shape=torch.Size([p + p * (p + 1) // 2]), validate_args=False)

    @property
    def support(self) -> Any:
        """Real numbers, except on L's diagonal: positive ones."""
        return FactorSupport(len(self.loc))

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draws (*sample_shape, D), by Bartlett's decomposition.

        With V lower triangular, V_ij ~ N(0, 1) below the diagonal and V_ii² ~ chi²(dof − p + i) on
        it (i = 1 … p), VᵀV ~ Wishart(dof, I), so L = C V⁻¹ has L Lᵀ ~ IW(dof, C Cᵀ). Being a
        product of lower triangular matrices L is the Cholesky factor: nothing to decompose.
        """
        shape, p = torch.Size(sample_shape), len(self.loc)
        bartlett = torch.randn(*shape, p, p, dtype=self.loc.dtype, device=self.loc.device).tril(-1)
        bartlett = bartlett + Chi2(self._chi2_dofs).sample(shape).sqrt().diag_embed()
        factor = torch.linalg.solve_triangular(bartlett, self.scale_factor, upper=False, left=False)
        eps = torch.randn(*shape, p, 1, dtype=self.loc.dtype, device=self.loc.device)
        mean = self.loc + (factor @ eps)[..., 0] / math.sqrt(self.count)
        return pack(mean, factor)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log density at theta (..., D): shape (...), −inf where L's diagonal is not positive.

        A density of Sigma turns into one of L by |dSigma/dL| = 2^p L_11^p L_22^(p−1) … L_pp.
        """
        p = len(self.loc)
        mean, factor = unpack(value, p)
        outside = (factor.diagonal(dim1=-2, dim2=-1) <= 0).any(-1)
        factor = torch.where(outside[..., None, None], torch.eye(p).to(value), factor)
        log_diagonal = factor.diagonal(dim1=-2, dim2=-1).log()
        scaled = torch.linalg.solve_triangular(factor, self.scale_factor, upper=False)
        log_sigma = (
            self.dof * self.scale_factor.diagonal().log().sum()
            - self.dof * p / 2 * math.log(2)
            - torch.mvlgamma(torch.tensor(self.dof / 2, dtype=torch.float64), p).to(value)
            - (self.dof + p + 1) * log_diagonal.sum(-1)
            - 0.5 * scaled.square().sum((-2, -1))
        )
        powers = torch.arange(p, 0, -1).to(value)
        log_jacobian = p * math.log(2) + (powers * log_diagonal).sum(-1)
        off = torch.linalg.solve_triangular(factor, (mean - self.loc)[..., None], upper=False)
        log_mean = (
            0.5 * p * (math.log(self.count) - math.log(2 * math.pi))
            - log_diagonal.sum(-1)
            - 0.5 * self.count * off.square().sum((-2, -1))
        )
        return (log_sigma + log_jacobian + log_mean).masked_fill(outside, -math.inf)


class FactorSupport(c.Constraint):
    """theta = (mean, L) with a positive diagonal of L (p, p)."""

    event_dim = 1

    def __init__(self, p: int) -> None:
        self.p = p

    def check(self, value: torch.Tensor) -> torch.Tensor:
        diagonal = unpack(value, self.p)[1].diagonal(dim1=-2, dim2=-1)
        return torch.isfinite(value).all(-1) & (diagonal > 0).all(-1)


class FromBartlett(Transform):
    """theta from u = (L⁻¹ mean, then V = L⁻¹ row by row, the logarithm taken of its diagonal).

    Mean and L themselves have heavy tails under the prior (of 50,000 draws of L_21 some are 30 sds
    out), which a network learns badly. V is the Bartlett factor: N(0, 1) off its diagonal and the
    root of a chi² on it, and L⁻¹ mean is N(0, I). `transforms.prior_transform` finds this map, as
    it would any other, through torch's registry `biject_to`.
    """

    domain, bijective = c.real_vector, True
    _largest = 1e30  # absurd latents must still give numbers

    def __init__(self, p: int) -> None:
        super().__init__()
        self.p, self.codomain = p, FactorSupport(p)

    def _call(self, u: torch.Tensor) -> torch.Tensor:
        scaled_mean, inverse = unpack(u, self.p)
        log_diagonal = inverse.diagonal(dim1=-2, dim2=-1)
        factor = self._inverted(inverse, log_diagonal.exp(), (-log_diagonal).exp())
        mean = (factor @ scaled_mean[..., None])[..., 0]
        return pack(self._tamed(mean), factor)

    def _inverse(self, theta: torch.Tensor) -> torch.Tensor:
        mean, factor = unpack(theta, self.p)
        diagonal = factor.diagonal(dim1=-2, dim2=-1)
        inverse = self._inverted(factor, diagonal, -diagonal.log())
        scaled_mean = torch.linalg.solve_triangular(factor, mean[..., None], upper=False)[..., 0]
        return pack(self._tamed(scaled_mean), inverse)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """log |det dtheta/du| = (p + 1) Σ log L_ii: p + 1 from V → L, 1 from the mean, less 1."""
        diagonal = unpack(y, self.p)[1].diagonal(dim1=-2, dim2=-1)
        return (self.p + 1) * diagonal.log().sum(-1)

    def _inverted(
        self, factor: torch.Tensor, diagonal: torch.Tensor, on_diagonal: torch.Tensor
    ) -> torch.Tensor:
        """Below the diagonal, the inverse of factor with `diagonal`; on it, `on_diagonal`."""
        full = factor.tril(-1) + diagonal.diag_embed()
        inverse = torch.linalg.solve_triangular(full, torch.eye(self.p).to(full), upper=False)
        return self._tamed(inverse).tril(-1) + on_diagonal.diag_embed()

    def _tamed(self, values: torch.Tensor) -> torch.Tensor:
        return values.nan_to_num(0.0).clamp(-self._largest, self._largest)


@biject_to.register(FactorSupport)
def _from_bartlett(support: FactorSupport) -> FromBartlett:
    return FromBartlett(support.p)


def pack(mean: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """mean (..., p) and L (..., p, p) as theta (..., D): the mean, then L row by row."""
    rows, columns = torch.tril_indices(factor.shape[-1], factor.shape[-1], device=factor.device)
    return torch.cat([mean, factor[..., rows, columns]], -1)


def unpack(theta: torch.Tensor, p: int) -> tuple[torch.Tensor, torch.Tensor]:
    """theta (..., D) as mean (..., p) and lower triangular L (..., p, p)."""
    rows, columns = torch.tril_indices(p, p, device=theta.device)
    factor = theta.new_zeros(*theta.shape[:-1], p, p)
    factor[..., rows, columns] = theta[..., p:]
    return theta[..., :p], factor
