"""Expected coverage: does a 90 % highest-density region hold the truth 90 % of the time?"""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.bands import level_band
from diffsbi_edu.diagnostics.draws import simulate_and_draw
from diffsbi_edu.diagnostics.ranked import RankedResult
from diffsbi_edu.diagnostics.sbc import rank
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, make_generator


class CoverageResult(RankedResult):
    """Ranks of the truths' densities: how many draws have a *higher* density than the truth."""

    @property
    def nominal(self) -> torch.Tensor:
        """Probabilities of the regions, (n_samples + 2,), from 0 to 1."""
        return self.levels

    @property
    def empirical(self) -> torch.Tensor:
        """Share of the truths inside, (n_samples + 2,): below `nominal` if over-confident."""
        return self.share_below

    def summary(self) -> dict[str, Any]:
        """Plain numbers: the coverage of the 50 %, 90 % and 95 % regions, and the p-value."""
        at = {
            f"coverage of the {level:.0%} region": float(
                self.empirical[round(level * (self.n_samples + 1))]
            )
            for level in (0.5, 0.9, 0.95)
        }
        return {**self.sizes(), **at, "p_value": self.p_value}

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """Empirical against nominal coverage, in the band that an exact posterior stays inside."""
        band = level_band(len(self.ranks), self.n_samples)
        return plots.coverage(
            self.nominal, self.empirical, band, about_diagonal=True, figure=figure,
            xlabel="probability of the highest-density region", **settings,
        )  # fmt: skip


def expected_coverage(
    model: Any,
    problem: Problem,
    n_sims: int = 500,
    n_samples: int = 50,
    *,
    seed: Seed = None,
    progress: bool = False,
) -> CoverageResult:
    """Expected coverage of highest-density regions, from the ranks of log q(theta | x).

    The region that just excludes the truth holds the draws of higher density; their share is
    uniform if the posterior is exact. Needs `log_prob`, which is cheap for a flow and takes an ODE
    solve for each draw of a diffusion model.

    Args:
        model: with ``sample`` as everywhere, and ``log_prob(theta (..., B, D), x (B, N, F))``.
        problem: where truths and data come from.
        n_sims: joint simulations.
        n_samples: posterior draws for each.
        seed: of simulations and draws; None for fresh ones.
        progress: whether to show a progress bar.

    Raises:
        TypeError: the model has no log_prob.
        ValueError: as in `sbc`.

    Source: Hermans et al. (2022), arXiv 2110.06581, section 3; Hyndman (1996).

    Example:
        >>> from diffsbi_edu import ConditionalFlow, problems
        >>> problem = problems.Gaussian2D()
        >>> flow = ConditionalFlow(problem, flow="maf", width=16, depth=2, device="cpu", seed=0)
        >>> expected_coverage(flow, problem, n_sims=20, n_samples=9, seed=1).empirical.shape
        torch.Size([11])
    """
    if not callable(getattr(model, "log_prob", None)):
        raise TypeError(
            "expected coverage needs model.log_prob(theta, x); without a density, use tarp."
        )
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    ranks, dropped = [], 0
    batches = simulate_and_draw(
        model, problem, n_sims, n_samples, seed=generator, progress=progress
    )
    for batch in batches:
        every = torch.cat([batch.theta[None], batch.samples])
        log_q = model.log_prob(every, batch.x)
        finite = ~torch.isnan(log_q).any(0)
        log_q = log_q[:, finite]
        # Ranking minus the density counts the draws of higher density than the truth.
        ranks.append(rank(-log_q[0], -log_q[1:], generator))
        dropped += batch.dropped + int((~finite).sum())
    return CoverageResult(torch.cat(ranks), n_samples, dropped)
