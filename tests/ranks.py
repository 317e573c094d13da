"""Simulation-based calibration of exact posteriors, written without the library's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

from diffsbi_edu.problems import ExactPosterior, Problem

Quantity = Callable[[torch.Tensor], torch.Tensor]


def p_values(
    problem: Problem,
    n_sims: int,
    n_draws: int = 19,
    *,
    posterior: Callable[[torch.Tensor], ExactPosterior] | None = None,
    also: tuple[Quantity, ...] = (),
    density: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """χ² p-values that the ranks of truths among exact draws are uniform.

    One for each parameter, each further quantity of theta in `also`, and, if `density`, for the log
    posterior density itself, which sees what the parameters one by one do not.
    """
    theta, x = problem.sample(n_sims, seed=seed, device="cpu")
    jitter = np.random.default_rng(seed)
    ranks = []
    for i in range(n_sims):
        exact = (posterior or problem.posterior)(x[i])
        both = torch.cat([theta[i : i + 1], exact.sample((n_draws,), seed=i)])
        values = [*both.T, *(quantity(both) for quantity in also)]
        if density:
            values.append(exact.log_prob(both))
        columns = torch.stack(values, 1)
        below, ties = (columns[1:] < columns[0]).sum(0), (columns[1:] == columns[0]).sum(0)
        ranks.append(below.numpy() + jitter.integers(0, ties.numpy() + 1))
    table = np.stack(ranks)
    assert (n_draws + 1) % 10 == 0
    bins = [np.bincount(10 * column // (n_draws + 1), minlength=10) for column in table.T]
    return np.array([stats.chisquare(counts).pvalue for counts in bins])


def calibrated(p: np.ndarray, alpha: float = 1e-3) -> bool:
    """Whether no p-value is below alpha, corrected for their number (Bonferroni)."""
    return bool(p.min() > alpha / len(p))
