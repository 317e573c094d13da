"""Posteriors whose calibration is known, made with nothing of the library under test."""

from __future__ import annotations

import math

import torch
from torch.distributions import MultivariateNormal

from diffsbi_edu import Problem

NOISE = 0.5


def normal_problem(dim: int = 2) -> Problem:
    """Prior N(0, I), x = theta + 0.5 noise: the posterior is N(0.8 x, 0.2 I)."""
    prior = MultivariateNormal(torch.zeros(dim), torch.eye(dim))
    return Problem(prior, lambda theta: theta + NOISE * torch.randn_like(theta), name="normal")


class Normal:
    """Its posterior with a known error; `error` is one of the names below."""

    device = torch.device("cpu")

    def __init__(self, error: str = "none", size: float = 1.0) -> None:
        self.error, self.size = error, size

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        if x.ndim == 2:
            return self.sample(x[None], n, seed)[:, 0]
        dim = x.shape[-1]
        noise = torch.randn(n, len(x), dim, generator=torch.Generator().manual_seed(seed))
        mean, sd = 0.8 * x[:, 0], math.sqrt(0.2)
        if self.error == "prior":
            return noise
        if self.error == "scale":
            noise = self.size * noise
        if self.error == "shift":
            noise = noise + self.size
        if self.error == "flip":
            mean = -mean
        return mean + sd * noise

    def log_prob(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        scale = self.size if self.error == "scale" else 1.0
        mean = torch.zeros_like(x[:, 0]) if self.error == "prior" else 0.8 * x[:, 0]
        sd = 1.0 if self.error == "prior" else math.sqrt(0.2) * scale
        return torch.distributions.Normal(mean, sd).log_prob(theta).sum(-1)


def joint(n_sims: int, n_samples: int, error: str = "none", size: float = 1.0, seed: int = 0):
    """Truths (n_sims, 2), data, and draws (n_samples, n_sims, 2)."""
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(n_sims, 2, generator=generator)
    x = theta + NOISE * torch.randn(n_sims, 2, generator=generator)
    draws = Normal(error, size).sample(x[:, None], n_samples, seed + 1)
    return theta, x[:, None], draws
