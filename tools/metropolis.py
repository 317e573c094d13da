"""Random-walk Metropolis for tools/references.py, with R-hat and effective sample sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DRAWS, CHAINS, WARM_UP, THIN = 1000, 20, 4, 60
Array = np.ndarray


def metropolis(
    log_density: Callable[[Array], Array], start: Array, rng: np.random.Generator
) -> Array:
    """Random-walk Metropolis of all chains side by side: (kept steps, chains, D) after warm-up."""
    u, dim = start.copy(), start.shape[1]
    now = log_density(u)
    factor = np.linalg.cholesky(np.cov(start.T)) * 0.3
    for stage in range(WARM_UP + 1):
        steps = 600 if stage < WARM_UP else DRAWS // CHAINS * THIN
        path = np.empty((steps, *u.shape))
        for step in range(steps):
            proposal = u + rng.normal(size=u.shape) @ factor.T
            new = log_density(proposal)
            accept = np.log(rng.uniform(size=len(u))) < new - now
            u, now = np.where(accept[:, None], proposal, u), np.where(accept, new, now)
            path[step] = u
        factor = np.linalg.cholesky(np.cov(path[steps // 2 :].reshape(-1, dim).T))
        factor *= 2.38 / dim**0.5
    return path


def split_rhat(path: Array) -> Array:
    """Split R-hat (Gelman et al. 2013, section 11.4) of chains (steps, chains, D)."""
    half = len(path) // 2
    halves = np.concatenate([path[:half], path[half : 2 * half]], 1)
    within = halves.var(0, ddof=1).mean(0)
    between = halves.mean(0).var(0, ddof=1)
    return np.sqrt((half - 1) / half + between / within)


def effective_size(path: Array) -> Array:
    """Effective sample size by Geyer's initial positive sequence, chains (steps, chains, D)."""
    steps, chains, dim = path.shape
    centred = path - path.mean((0, 1))
    spectrum = np.abs(np.fft.rfft(centred, 2 * steps, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[:steps].mean(1)
    rho = covariance / covariance[0]
    sizes = []
    for d in range(dim):
        pairs = rho[: steps // 2 * 2, d].reshape(-1, 2).sum(1)
        ends = np.flatnonzero(pairs <= 0)
        sizes.append(chains * steps / (2 * pairs[: ends[0] if len(ends) else None].sum() - 1))
    return np.array(sizes)


def by_metropolis(
    log_density: Callable[[Array], Array], start: Array, rng: np.random.Generator
) -> tuple[Array, dict[str, Array]]:
    """Thinned draws in unbounded coordinates, (1000, D), and their quality."""
    path = metropolis(log_density, start, rng)
    kept = path[THIN - 1 :: THIN]
    ess = np.minimum(effective_size(path), effective_size(kept))
    return kept.reshape(DRAWS, -1), {"ess": ess, "rhat": split_rhat(path)}
