"""The law of a sampler by its first two moments: for the reverse SDE, and for the ODE beside it.

`log_prob` follows the probability-flow ODE. The law of the reverse *SDE* of the same denoiser is
another one, and has no density formula. Its mean and covariance do have equations, exact wherever
D_q is affine in y and otherwise linearised at the mean (as in an extended Kalman filter). With
λ = ln r, J = ∂D_q/∂y at the mean m, and k = 1 for the ODE or 2 for the SDE,

    dm/dλ = k (m − D_q(m)),   dP/dλ = A P + P Aᵀ − [SDE] 2 r² I,   A = k (I − J)

run down from the sampler's start, m = D_q(0, r_max) and P = r_max² I, to r_min.

Source: Song et al. (2021), arXiv 2011.13456, equations 6 and 13 (the processes); Särkkä & Solin,
*Applied Stochastic Differential Equations*, section 9.1 (the moments, linearised).
"""

from __future__ import annotations

import math

import torch

from diffsbi_edu.samplers import Denoise

State = tuple[torch.Tensor, torch.Tensor]


def linearised_law(
    denoise: Denoise,
    like: torch.Tensor,
    sigma_min: float,
    sigma_max: float,
    *,
    sde: bool,
    steps: int = 32,
) -> State:
    """Mean (B, Dz) and covariance (B, Dz, Dz) of q(y | x) at r = sigma_min, in float64.

    Args:
        denoise: (y, r) → D_q, for a batch y (B, Dz) of one state for each data set.
        like: a tensor (B, Dz) on the device, and of the dtype, that `denoise` expects.
        sigma_min, sigma_max: range of noise-to-signal ratios r.
        sde: the reverse SDE's law (True) or the probability-flow ODE's (False).
        steps: Runge–Kutta steps, of 4 evaluations and Dz backward passes each.

    Example:
        >>> normal = lambda y, r: y / (1 + r**2)  # the denoiser of z ~ N(0, 1)
        >>> mean, covariance = linearised_law(
        ...     normal, torch.zeros(1, 1), 0.001, 50.0, sde=True, steps=64
        ... )
        >>> round(float(covariance), 3)
        1.0
    """
    pull, noise = (2.0, 2.0) if sde else (1.0, 0.0)
    unit = torch.eye(like.shape[-1], dtype=torch.float64)

    def slope(state: State, log_r: float) -> State:
        m, p = state
        guess, jacobian = _linearised(denoise, m.to(like), math.exp(log_r))
        a = pull * (unit - jacobian)
        return pull * (m - guess), a @ p + p @ a.mT - noise * math.exp(2 * log_r) * unit

    def ahead(state: State, by: float, rate: State) -> State:
        return state[0] + by * rate[0], state[1] + by * rate[1]

    with torch.no_grad():
        centre = denoise(torch.zeros_like(like), torch.tensor(sigma_max).to(like))
    state = (centre.cpu().double(), sigma_max**2 * unit.expand(len(like), -1, -1))
    low, high = math.log(sigma_min), math.log(sigma_max)
    h = (low - high) / steps
    for i in range(steps):
        at = high + i * h
        k1 = slope(state, at)
        k2 = slope(ahead(state, 0.5 * h, k1), at + 0.5 * h)
        k3 = slope(ahead(state, 0.5 * h, k2), at + 0.5 * h)
        k4 = slope(ahead(state, h, k3), at + h)
        for by, rate in ((h / 6, k1), (h / 3, k2), (h / 3, k3), (h / 6, k4)):
            state = ahead(state, by, rate)
    return state


def _linearised(denoise: Denoise, m: torch.Tensor, r: float) -> State:
    """D_q (B, Dz) and its Jacobian (B, Dz, Dz) at m, in float64 on the CPU."""
    with torch.enable_grad():
        m = m.detach().requires_grad_()
        guess = denoise(m, torch.tensor(r).to(m))
        rows = [
            torch.autograd.grad(guess[:, i].sum(), m, retain_graph=True)[0]
            for i in range(m.shape[-1])
        ]
    return guess.detach().cpu().double(), torch.stack(rows, 1).cpu().double()


def gaussian_kl(p: State, q: State) -> torch.Tensor:
    """KL(N(mean, covariance) ‖ N(mean, covariance)) for each data set: (B,), nats.

    Example:
        >>> one = torch.zeros(1, 1).double(), torch.eye(1).double()[None]
        >>> gaussian_kl(one, (one[0] + 1, one[1]))
        tensor([0.5000], dtype=torch.float64)
    """
    (mean, covariance), (mean_q, covariance_q) = p, q
    off = (mean_q - mean)[..., None]
    spread = torch.linalg.solve(covariance_q, covariance).diagonal(dim1=-2, dim2=-1).sum(-1)
    distance = (off * torch.linalg.solve(covariance_q, off)).sum((-2, -1))
    logs = torch.logdet(covariance_q) - torch.logdet(covariance)
    kl: torch.Tensor = 0.5 * (spread + distance - mean.shape[-1] + logs)
    return kl
