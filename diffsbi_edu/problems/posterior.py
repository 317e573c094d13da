"""Exact posteriors: what a learned posterior is judged against."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch.distributions import Distribution, MultivariateNormal

from diffsbi_edu.runtime import Seed, make_generator, randomness_from


class ExactPosterior(ABC):
    """A posterior p(theta | x_obs) known exactly: draws and normalised log density."""

    @abstractmethod
    def _draw(self, n: int) -> torch.Tensor:
        """n draws (n, D); random torch operations are already seeded here."""

    @abstractmethod
    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        """Normalised log density at theta (..., D): shape (...), −inf outside the support."""

    def sample(self, shape: tuple[int, ...], *, seed: Seed = None) -> torch.Tensor:
        """Independent draws of shape (*shape, D).

        Raises:
            ValueError: `shape` has an entry below 1.
        """
        n = int(torch.Size(shape).numel())
        if n < 1:
            raise ValueError(f"the sample shape must have positive entries, got {tuple(shape)}.")
        with torch.no_grad(), randomness_from(make_generator(seed)):
            return self._draw(n).float().reshape(*shape, -1)


class GaussianPosterior(ExactPosterior):
    """A multivariate normal posterior with `mean` (D,) and `covariance` (D, D)."""

    def __init__(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        self.mean, self.covariance = mean, covariance
        self._normal = MultivariateNormal(mean, covariance)

    def _draw(self, n: int) -> torch.Tensor:
        return self._normal.sample((n,))

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        return self._normal.log_prob(theta.to(self.mean)).float()


class ConjugatePosterior(ExactPosterior):
    """A posterior that is itself a torch distribution `law`, with parameters in float64."""

    def __init__(self, law: Distribution) -> None:
        self.law = law

    def _draw(self, n: int) -> torch.Tensor:
        draws: torch.Tensor = self.law.sample(torch.Size([n]))
        return draws

    def log_prob(self, theta: torch.Tensor) -> torch.Tensor:
        log_density: torch.Tensor = self.law.log_prob(theta.double().cpu())
        return log_density.float()
