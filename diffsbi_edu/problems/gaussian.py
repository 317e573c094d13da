"""Gaussian2D: the problem on which everything about diffusion can be written down exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import MultivariateNormal

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.posterior import GaussianPosterior


class Gaussian2D(Problem):
    """Correlated normal prior, correlated normal noise: a conjugate posterior for any N.

    theta ~ N(0, Lambda) and x_1 … x_N | theta ~ N(theta, Sigma), independently. The posterior is
    normal with precision P = Lambda⁻¹ + N Sigma⁻¹ and mean P⁻¹ Sigma⁻¹ Σ x_i.

    Args:
        n_obs: number of observations N, or a range (low, high).
        prior_sd: sd of each parameter, in theta's units.
        prior_correlation: correlation of the two parameters, in (−1, 1).
        noise_sd: sd of each feature of x given theta, in the same units.
        noise_correlation: correlation of the two features' noise, in (−1, 1).

    Raises:
        ValueError: an sd is not positive, or a correlation not inside (−1, 1).

    Source: conjugate normal model, e.g. Gelman et al., *Bayesian Data Analysis*, section 3.5.

    Example:
        >>> problem = Gaussian2D()
        >>> theta, x = problem.sample(3, seed=0)
        >>> problem.posterior(x[0]).sample((5,), seed=1).shape
        torch.Size([5, 2])
    """

    theta_names = ("theta 1", "theta 2")
    x_names = ("x 1", "x 2")

    def __init__(
        self,
        n_obs: int | tuple[int, int] = 1,
        *,
        prior_sd: float = 1.0,
        prior_correlation: float = 0.5,
        noise_sd: float = 0.5,
        noise_correlation: float = -0.5,
    ) -> None:
        self._config = {
            "n_obs": n_obs,
            "prior_sd": prior_sd,
            "prior_correlation": prior_correlation,
            "noise_sd": noise_sd,
            "noise_correlation": noise_correlation,
        }
        self.prior_covariance = _covariance("prior", prior_sd, prior_correlation)
        self.noise_covariance = _covariance("noise", noise_sd, noise_correlation)
        self._noise_factor = torch.linalg.cholesky(self.noise_covariance)
        prior = MultivariateNormal(torch.zeros(2), self.prior_covariance)
        super().__init__(prior, self._simulator, n_obs=n_obs, name="gaussian_2d")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        eps = torch.randn(len(theta), n_obs, 2, device=theta.device)
        return theta[:, None, :] + eps @ self._noise_factor.T.to(theta.device)

    def posterior(self, x_obs: torch.Tensor) -> GaussianPosterior:
        """The conjugate normal posterior given x_obs (N, 2)."""
        x = one_data_set(x_obs, features=2)
        noise_precision = self.noise_covariance.double().inverse()
        precision = self.prior_covariance.double().inverse() + len(x) * noise_precision
        covariance = precision.inverse()
        mean = covariance @ (noise_precision @ x.double().sum(0))
        return GaussianPosterior(mean, 0.5 * (covariance + covariance.T))

    def config(self) -> dict[str, Any]:
        return dict(self._config)


def _covariance(what: str, sd: float, correlation: float) -> torch.Tensor:
    if sd <= 0 or not -1 < correlation < 1:
        raise ValueError(
            f"{what} sd must be positive and {what} correlation inside (−1, 1), "
            f"got {sd} and {correlation}."
        )
    return sd**2 * torch.tensor([[1.0, correlation], [correlation, 1.0]])
