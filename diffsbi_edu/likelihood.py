"""The density of what a sampler draws, by following the probability-flow ODE back into noise."""

from __future__ import annotations

import math

import torch

from diffsbi_edu.samplers import Denoise


def flow_log_prob(
    denoise: Denoise,
    z: torch.Tensor,
    sigma_min: float,
    sigma_max: float,
    *,
    steps: int,
    probe: torch.Tensor | None = None,
) -> torch.Tensor:
    """log q(z), in nats per unit of z, for latents z (..., Dz): shape (...).

    With λ = ln r the flow is dy/dλ = y − D(y, r), and log q falls along it at the rate of its
    divergence, so that log q(z) = log N(y_end; D(0), sigma_max²) + ∫ div dλ. Both integrals by the
    classical Runge–Kutta method, from sigma_min, where y = z, to sigma_max.

    Args:
        denoise: (y, r) → E[z | y], differentiable in y.
        z: where to evaluate the density.
        sigma_min, sigma_max: range of noise-to-signal ratios r.
        steps: Runge–Kutta steps, of 4 evaluations each.
        probe: random signs of z's shape for Hutchinson's estimate of the divergence (one backward
            pass, unbiased); None for the exact one (Dz backward passes).

    Source: Chen et al. (2018), arXiv 1806.07366; Song et al. (2021), arXiv 2011.13456, section 4.3;
    Grathwohl et al. (2019), arXiv 1810.01367, for the random divergence.

    Example:
        >>> normal = lambda y, r: y / (1 + r**2)  # the denoiser of z ~ N(0, 1)
        >>> flow_log_prob(normal, torch.zeros(1, 1), 0.001, 50.0, steps=64).exp().round(decimals=3)
        tensor([0.3990])
    """

    def slope(y: torch.Tensor, log_r: float) -> tuple[torch.Tensor, torch.Tensor]:
        """dy/dλ and its divergence."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            dy = y - denoise(y, torch.tensor(math.exp(log_r)).to(y))
            if probe is None:
                terms = [
                    torch.autograd.grad(dy[..., i].sum(), y, retain_graph=True)[0][..., i]
                    for i in range(y.shape[-1])
                ]
                return dy.detach(), torch.stack(terms).sum(0)
            (product,) = torch.autograd.grad((dy * probe).sum(), y)
            return dy.detach(), (product * probe).sum(-1)

    low, high = math.log(sigma_min), math.log(sigma_max)
    h = (high - low) / steps
    y, log_q = z, torch.zeros(z.shape[:-1]).to(z)
    for i in range(steps):
        at = low + i * h
        k1, d1 = slope(y, at)
        k2, d2 = slope(y + 0.5 * h * k1, at + 0.5 * h)
        k3, d3 = slope(y + 0.5 * h * k2, at + 0.5 * h)
        k4, d4 = slope(y + h * k3, at + h)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        log_q = log_q + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
    with torch.no_grad():  # where sampling starts: see samplers.reverse_process
        centre = denoise(torch.zeros_like(y), torch.tensor(sigma_max).to(y))
        start = torch.distributions.Normal(centre, sigma_max)
        log_start: torch.Tensor = start.log_prob(y).sum(-1)
    return (log_q + log_start).detach()
