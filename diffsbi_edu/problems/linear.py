"""LinearGaussian: as many dimensions as you like, and every law still in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions import MultivariateNormal

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import GaussianPosterior

Matrix = torch.Tensor | Sequence[Sequence[float]]


class LinearGaussian(Problem):
    """theta ~ N(0, Lambda), x = A theta + noise with noise ~ N(0, noise_sd² I): a vector, N = 1.

    The posterior is normal with precision P = Lambda⁻¹ + AᵀA / noise_sd², the same for every x, and
    mean G x, G = P⁻¹Aᵀ / noise_sd². By default A is a blur, a row of F sensors along a chain of D
    parameters: A_ij = correlation^|p_i − j| with sensor i at p_i, spread evenly from parameter 1 to
    parameter D. No seed is involved, so A is the same on every machine. Its singular values differ
    by a factor of up to ((1 + c)/(1 − c))², 9 for c = 0.5: smooth combinations of parameters are
    known well and neighbours' differences badly, hence posteriors with strong correlations.

    Args:
        dim: D, number of parameters.
        features: F, number of features of x; None for as many as parameters.
        noise_sd: sd of each feature of x given theta.
        correlation: c, how much a sensor sees of a parameter one place away, in [0, 1).
        matrix: A (F, D) instead of the blur; it then sets the number of features.
        prior_covariance: Lambda (D, D); None for the identity.

    Raises:
        ValueError: an impossible size, sd or correlation; a matrix of another shape or not finite;
            a covariance that is not symmetric and positive definite.

    Source: Bayesian linear regression, e.g. Bishop, *Pattern Recognition and Machine Learning*,
    equations 2.113–2.117.

    Example:
        >>> problem = LinearGaussian(dim=3, features=5)
        >>> theta, x = problem.sample(4, seed=0)
        >>> theta.shape, x.shape
        (torch.Size([4, 3]), torch.Size([4, 1, 5]))
        >>> LinearGaussian(dim=3).matrix
        tensor([[1.0000, 0.5000, 0.2500],
                [0.5000, 1.0000, 0.5000],
                [0.2500, 0.5000, 1.0000]])
    """

    def __init__(
        self,
        dim: int = 10,
        features: int | None = None,
        *,
        noise_sd: float = 0.5,
        correlation: float = 0.5,
        matrix: Matrix | None = None,
        prior_covariance: Matrix | None = None,
    ) -> None:
        for name, size in (("dim", dim), ("features", 1 if features is None else features)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}.")
        if not 0 < noise_sd < math.inf:
            raise ValueError(f"noise_sd must be positive, got {noise_sd}.")
        if not 0 <= correlation < 1:
            raise ValueError(f"correlation must be in [0, 1), got {correlation}.")
        if matrix is None:
            self.matrix = _blur(dim, features or dim, correlation)
        else:
            self.matrix = _given("matrix", matrix, (features, dim))
        self.noise_sd = float(noise_sd)
        self.prior_covariance = _covariance(prior_covariance, dim)
        self._config = {
            "dim": dim,
            "features": len(self.matrix),
            "noise_sd": noise_sd,
            "correlation": correlation,
            "matrix": None if matrix is None else self.matrix.tolist(),
            "prior_covariance": (
                None if prior_covariance is None else self.prior_covariance.tolist()
            ),
        }
        a, prior = self.matrix.double(), self.prior_covariance.double()
        precision = prior.inverse() + a.T @ a / self.noise_sd**2
        #: Covariance of the posterior (D, D), whatever x is, in float64.
        self.posterior_covariance = torch.cholesky_inverse(torch.linalg.cholesky(precision))
        #: G (D, F): the posterior mean is G x; in float64.
        self.gain = self.posterior_covariance @ a.T / self.noise_sd**2
        law = MultivariateNormal(torch.zeros(dim), self.prior_covariance)
        super().__init__(law, self._simulator, name="linear_gaussian")

    def _simulator(self, theta: torch.Tensor) -> torch.Tensor:
        clean = theta @ self.matrix.T.to(theta)
        return clean + self.noise_sd * torch.randn_like(clean)

    def posterior(self, x_obs: torch.Tensor) -> GaussianPosterior:
        """The normal posterior given x_obs (1, F), or a plain vector (F,)."""
        x = one_data_set(x_obs, features=len(self.matrix), n_obs=1)
        return GaussianPosterior(self.gain @ x[0].double(), self.posterior_covariance)

    def config(self) -> dict[str, Any]:
        return dict(self._config)


def _blur(dim: int, features: int, correlation: float) -> torch.Tensor:
    """A (F, D), A_ij = correlation^|p_i − j|; a single sensor stands in the middle."""
    last = dim - 1.0
    sensors = torch.linspace(0, last, features) if features > 1 else torch.tensor([last / 2])
    distance = (sensors[:, None] - torch.arange(dim)).abs()
    # 0⁰ = 1: without correlation a sensor sees the parameter it stands on, and nothing else.
    return correlation**distance


def _given(name: str, values: Matrix, shape: tuple[int | None, int]) -> torch.Tensor:
    """A matrix (F, D) as float32; F is free if None."""
    matrix = torch.as_tensor(values).detach().cpu().float().clone()
    wanted = f"({shape[0] or 'F'}, {shape[1]})"
    fits = matrix.ndim == 2 and matrix.shape[1] == shape[1] and len(matrix) > 0
    if not fits or shape[0] not in (None, len(matrix)):
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(matrix.shape)}.")
    if not torch.isfinite(matrix).all():
        raise ValueError(f"{name} has NaN or infinite entries.")
    return matrix


def _covariance(values: Matrix | None, dim: int) -> torch.Tensor:
    if values is None:
        return torch.eye(dim)
    covariance = _given("prior_covariance", values, (dim, dim))
    symmetric = torch.allclose(covariance, covariance.T)
    if not symmetric or int(torch.linalg.cholesky_ex(covariance).info):
        raise ValueError("prior_covariance must be symmetric and positive definite.")
    return covariance
