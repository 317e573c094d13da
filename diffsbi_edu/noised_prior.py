"""What noise alone leaves of the prior: E[z | y] and Cov[z | y] at y = z + r·eps, before any data.

Most priors are exactly N(0, I) in the latent space (see `transforms`), and then both are one line.
For the others they are integrals over z, done here by weighted nodes in low dimension.
"""

from __future__ import annotations

import math

import torch

from diffsbi_edu.problems import Problem
from diffsbi_edu.transforms import ToLatent

NODES = 512  # of each of the two kinds
TRUST = 4  # c = (r/(1 + r))^TRUST; with c = 1 the score's error at r = 0.05 is a hundredfold
MOST_DIMENSIONS = 4  # weighted nodes are too few beyond
ROWS_AT_ONCE = 2**21  # (rows × nodes) at a time: bounds memory, not results


def normal_nodes(n: int, dim: int) -> torch.Tensor:
    """n + (n mod 2) fixed points (n, dim) that stand for N(0, I): evenly spread, in ± pairs, and of
    covariance exactly I. They use no random state.

    Raises:
        ValueError: not more points than twice the dimension, which have no full covariance.

    Example:
        >>> nodes = normal_nodes(64, 2)
        >>> torch.allclose(nodes.T.cov(correction=0), torch.eye(2), atol=1e-5)
        True
    """
    half = (n + 1) // 2
    if half <= dim:
        raise ValueError(f"{dim} dimensions need more than {2 * dim} nodes, got {n}.")
    u = torch.quasirandom.SobolEngine(dim, scramble=True, seed=1).draw(half).double()
    points = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
    points = torch.cat([points, -points])
    factor = torch.linalg.cholesky(points.T @ points / len(points))
    return torch.linalg.solve_triangular(factor, points.T, upper=False).T.float()


class NoisedPrior:
    """The prior's denoiser, E[z | y], and its covariance, Cov[z | y].

    Where the latent prior is N(0, I) they are y/(1 + r²) and r²/(1 + r²) I. Elsewhere

        E[f(z) | y] = ∫ f(z) p(z) N(z; y, r²I) dz / ∫ p(z) N(z; y, r²I) dz

    is a weighted sum over nodes of two kinds, draws of p and evenly spread points of N(y, r²I).
    With φ = N(z; y, r²I), a draw has the weight φ (cp)²/(φ² + (cp)²) and a point p φ²/(φ² + (cp)²):
    the power heuristic, with c = (r/(1 + r))⁴ to favour the points, which are even, over the draws,
    which are random. Where the noise is large the draws count, where it is small the points do, and
    no weight is ever large.

    Args:
        problem: whose prior it is.
        to_latent: the fitted map from theta to z.

    Attributes:
        precision: (Dz, Dz), inverse covariance of the latent prior.
        exact: whether the latent prior is N(0, I).

    Raises:
        ValueError: the latent prior is not N(0, I) and has more than 4 dimensions, or no density
            (discrete parameters).

    Source: Veach & Guibas (1995), SIGGRAPH '95, section 3.4 (the power heuristic).

    Example:
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> problem = Gaussian2D()
        >>> prior = NoisedPrior(problem, ToLatent(problem.prior))
        >>> mean, covariance = prior.with_covariance(torch.ones(2), 1.0)
        >>> mean, covariance.diagonal()
        (tensor([0.5000, 0.5000]), tensor([0.5000, 0.5000]))
    """

    def __init__(self, problem: Problem, to_latent: ToLatent) -> None:
        self.exact = to_latent.prior.gaussian_prior
        self._dim = dim = to_latent.latent_dim
        self._to_latent = to_latent
        self.device = to_latent.reach.device
        self.precision = torch.eye(dim, device=self.device)
        if self.exact:
            return
        name = f"the latent prior of {problem.name!r} is not N(0, I)"
        if dim > MOST_DIMENSIONS:
            raise ValueError(
                f"{name}, and has {dim} dimensions: its noised density is computed in at most "
                f"{MOST_DIMENSIONS}. Give the problem a prior whose latent is normal: a normal, "
                "uniform or other independent prior with a known quantile function, or a `Product` "
                "of such."
            )
        self._prior = problem.prior_on(self.device)
        draws = problem.sample_prior(20 * NODES, seed=0, device=self.device)
        latents = to_latent(draws)
        self._points = normal_nodes(NODES, dim).to(self.device)
        self._draws = latents[:NODES]
        self._log_p_draws = self.log_density(self._draws)
        finite = torch.isfinite(self._log_p_draws).all() & torch.isfinite(latents).all()
        if bool(problem.prior.support.is_discrete) or not bool(finite):  # type: ignore[union-attr]
            raise ValueError(
                f"{name}, and its density at its own draws is not finite (discrete parameters have "
                "none): data cannot be combined without it."
            )
        self.precision = latents.T.cov().reshape(dim, dim).inverse()

    def log_density(self, z: torch.Tensor) -> torch.Tensor:
        """log p(z) of the latent prior at z (..., Dz), by the change of variables: shape (...)."""
        if self.exact:
            return -0.5 * (z**2).sum(-1) - 0.5 * self._dim * math.log(2 * math.pi)
        reach = self._to_latent.reach
        theta = self._to_latent.inverse(z.clamp(-reach, reach))
        log_p: torch.Tensor = self._prior.log_prob(theta) - self._to_latent.log_abs_det(theta)
        return log_p.nan_to_num(nan=-math.inf)

    def __call__(self, y: torch.Tensor, ratio: torch.Tensor | float) -> torch.Tensor:
        """E[z | y] at y (..., Dz), for one noise level r."""
        if self.exact:
            return y / (1 + torch.as_tensor(ratio).to(y) ** 2)
        rows = y.reshape(-1, self._dim).float()
        found = [self._weighted(part, ratio)[0] for part in rows.split(self._at_once())]
        return y + torch.cat(found).reshape(y.shape)

    def with_covariance(
        self, y: torch.Tensor, ratio: torch.Tensor | float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """E[z | y] (..., Dz) and Cov[z | y] (..., Dz, Dz) at y (..., Dz), for one noise level r."""
        if self.exact:
            r2 = torch.as_tensor(ratio).to(y) ** 2
            eye = torch.eye(self._dim).to(y)
            return self(y, ratio), (r2 / (1 + r2) * eye).expand(*y.shape, self._dim)
        means, covariances = [], []
        for part in y.reshape(-1, self._dim).float().split(self._at_once()):
            mean, offset, weights = self._weighted(part, ratio)
            spread = offset - mean[:, None]
            means.append(mean)
            covariances.append((weights[..., None] * spread).mT @ spread)
        covariance = torch.cat(covariances).reshape(*y.shape, self._dim)
        return y + torch.cat(means).reshape(y.shape), covariance

    def _at_once(self) -> int:
        return max(1, ROWS_AT_ONCE // (2 * NODES))

    def _weighted(
        self, y: torch.Tensor, ratio: torch.Tensor | float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For rows y (R, Dz): E[z − y | y] (R, Dz), the nodes z − y (R, K, Dz), weights (R, K)."""
        r = torch.as_tensor(ratio).to(y)
        offset = torch.cat(
            [
                self._draws - y[:, None],
                (r * self._points).expand(len(y), *self._points.shape),
            ],
            1,
        )
        log_phi = -0.5 * (offset / r).square().sum(-1)
        log_phi = log_phi - self._dim * (r.log() + 0.5 * math.log(2 * math.pi))
        near = self.log_density(y[:, None] + offset[:, NODES:])
        log_p = torch.cat([self._log_p_draws.expand(len(y), -1), near], 1)
        log_c = TRUST * torch.log(r / (1 + r))
        own = torch.cat([log_p[:, :NODES] + 2 * log_c, log_phi[:, NODES:]], 1)
        shared = torch.logaddexp(2 * (log_p + log_c), 2 * log_phi)
        weights = torch.softmax(log_p + log_phi + own - shared, -1)
        return (weights[:, None] @ offset)[:, 0], offset, weights
