"""The expected log score, and the KL divergence where the exact posterior is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.draws import too_many_lost
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, make_generator

AT_ONCE = 200  # data sets whose densities are computed together


@dataclass(frozen=True)
class ScoreResult:
    """log q(theta | x) at true pairs.

    Attributes:
        log_q: (n_sims,), nats; −inf where the model excludes the truth.
        log_p: of the exact posterior, (n_sims,); None where none is known.
        dropped: simulations left out because they, or their densities, are NaN or infinite.
    """

    log_q: torch.Tensor
    log_p: torch.Tensor | None = None
    dropped: int = 0

    @property
    def log_score(self) -> float:
        """Mean of log q(theta | x): higher is better, and the exact posterior has the highest."""
        return float(self.log_q.mean())

    @property
    def kl(self) -> float:
        """E_x KL(p ‖ q) in nats, the mean of log p − log q; NaN if p is unknown."""
        return math.nan if self.log_p is None else float((self.log_p - self.log_q).mean())

    @property
    def standard_error(self) -> float:
        """Of `kl` where it is known, else of `log_score`."""
        values = self.log_q if self.log_p is None else self.log_p - self.log_q
        return float(values.std() / math.sqrt(len(values)))

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "n_sims": len(self.log_q),
            "dropped": self.dropped,
            "log_score": self.log_score,
            "kl": self.kl,
            "standard_error": self.standard_error,
        }

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """Each data set's log p − log q where p is known, else its log q."""
        if self.log_p is None:
            values, xlabel = self.log_q, "log q (nats)"
        else:
            values, xlabel = self.log_p - self.log_q, "log p − log q (nats)"
        finite = values[torch.isfinite(values)]
        return plots.differences(finite, xlabel=xlabel, figure=figure, **settings)


def log_score(
    model: Any,
    problem: Problem,
    n_sims: int = 500,
    *,
    seed: Seed = None,
    progress: bool = False,
) -> ScoreResult:
    """Expected log score of a model with a density, and its KL divergence from the exact posterior.

    E log q(theta | x) over the joint distribution is largest for the exact posterior (it is a
    *strictly proper* score), so unlike calibration checks it cannot be passed by the prior. The
    shortfall is E_x KL(p ‖ q).

    Args:
        model: anything with ``log_prob(theta (B, D), x (B, N, F))``.
        problem: where truths and data come from; its exact posterior is used where there is one.
        n_sims: joint simulations.
        seed: of the simulations; None for fresh ones.
        progress: whether to show a progress bar.

    Raises:
        ValueError: n_sims below 2, or more than 5 % of the simulations lost to NaN.
        TypeError: the model has no log_prob.

    Source: Gneiting & Raftery (2007), Journal of the American Statistical Association 102.

    Example:
        >>> from diffsbi_edu import ConditionalFlow, problems
        >>> problem = problems.Gaussian2D()
        >>> flow = ConditionalFlow(problem, flow="maf", width=16, depth=2, device="cpu", seed=0)
        >>> log_score(flow, problem, n_sims=20, seed=0).kl > 0
        True
    """
    if n_sims < 2:
        raise ValueError(f"n_sims must be at least 2, got {n_sims}.")
    if not callable(getattr(model, "log_prob", None)):
        raise TypeError("the log score needs model.log_prob(theta, x).")
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    log_q, log_p, known, dropped = [], [], True, 0
    with tqdm(total=n_sims, disable=not progress, unit="data set", mininterval=0.5) as bar:
        for first in range(0, n_sims, AT_ONCE):
            size = min(AT_ONCE, n_sims - first)
            theta, x = problem.sample(size, seed=generator, device=device, check_finite=False)
            finite = torch.isfinite(theta).all(1) & torch.isfinite(x).flatten(1).all(1)
            theta, x = theta[finite], x[finite]
            found = model.log_prob(theta, x).cpu()
            finite = ~torch.isnan(found)
            dropped += size - int(finite.sum())
            too_many_lost(dropped, first + size, n_sims)
            theta, x = theta[finite.to(device)], x[finite.to(device)]
            log_q.append(found[finite])
            try:
                exact = [problem.posterior(row).log_prob(t[None]) for t, row in zip(theta, x)]
                log_p += [e.cpu() for e in exact]
            except NoExactPosterior:
                known = False
            bar.update(size)
    return ScoreResult(torch.cat(log_q), torch.cat(log_p) if known else None, dropped)
