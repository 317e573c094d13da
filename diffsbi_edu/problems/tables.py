"""Draws from tables of probabilities: the last step of exact posteriors made by quadrature."""

from __future__ import annotations

import torch


def draw_cells(log_mass: torch.Tensor, n: int) -> torch.Tensor:
    """n independent cells of a table of log masses of any shape, as flat indices (n,)."""
    flat = log_mass.flatten()
    return draw_one_each((flat - flat.max()).exp().expand(n, -1))


def draw_one_each(mass: torch.Tensor) -> torch.Tensor:
    """One cell for each row of masses (..., K), which need not sum to 1: indices (...)."""
    if mass.ndim == 2 and mass.stride(0) == 0:  # the same row again and again: sum it once
        total = mass[0].cumsum(0)
        u = torch.rand(len(mass), dtype=mass.dtype) * total[-1]
        return torch.searchsorted(total, u, right=True).clamp(max=len(total) - 1)
    total = mass.cumsum(-1)
    u = torch.rand(*mass.shape[:-1], 1, dtype=mass.dtype) * total[..., -1:]
    return torch.searchsorted(total, u, right=True)[..., 0].clamp(max=mass.shape[-1] - 1)


def spread(points: torch.Tensor, step: float | torch.Tensor) -> torch.Tensor:
    """Points of a regular grid, each moved to a place in its cell, uniformly."""
    return points + step * (torch.rand_like(points) - 0.5)
