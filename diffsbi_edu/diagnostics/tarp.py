"""TARP: coverage of balls about reference points, without any density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.draws import check_draws, own_generator, simulate_and_draw
from diffsbi_edu.diagnostics.ranked import RankedResult
from diffsbi_edu.diagnostics.sbc import rank
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

#: A rule that centres the balls: x (B, N, F) → (B, D).
References = Callable[[torch.Tensor], torch.Tensor]
PILOT = 1000  # prior draws that set the units of distance and the box of random references


class TARPResult(RankedResult):
    """How often the truth lies in balls of given posterior probability about reference points.

    A rank counts the draws that are nearer to the reference than the truth is.
    """

    @classmethod
    def from_draws(
        cls,
        theta: torch.Tensor,
        samples: torch.Tensor,
        references: torch.Tensor | None = None,
        *,
        seed: Seed = 0,
    ) -> TARPResult:
        """From truths theta (n_sims, D) and posterior draws samples (n, n_sims, D).

        Args:
            references: (n_sims, D); None for random points, uniform on the box of the truths.
                Distances are Euclidean, each coordinate divided by the range of the truths.
            seed: of the random references.

        Raises:
            TypeError, ValueError: shapes that do not match, fewer than 2 of either, constant
                truths, or NaN entries.
        """
        check_draws(theta, samples)
        if min(samples.shape[:2]) < 2:
            raise ValueError(f"needs at least 2 draws and 2 truths, got {tuple(samples.shape)}.")
        if not (torch.isfinite(theta).all() and torch.isfinite(samples).all()):
            raise ValueError("truths or draws have NaN or infinite entries; drop those data sets.")
        low, span = theta.amin(0), theta.amax(0) - theta.amin(0)
        if not bool((span > 0).all()):
            raise ValueError("a parameter has the same value in all truths: no unit of distance.")
        generator = own_generator(seed, theta.device)
        if references is None:
            u = torch.rand(theta.shape, generator=generator, device=theta.device)
            references = low + span * u
        if references.shape != theta.shape:
            raise ValueError(
                f"references must be one point for each truth, {tuple(theta.shape)}, got "
                f"{tuple(references.shape)}."
            )
        return cls(tarp_ranks(theta, samples, references, span, generator), len(samples))

    @property
    def alpha(self) -> torch.Tensor:
        """Nominal coverages (n_samples + 2,), from 0 to 1."""
        return self.levels

    @property
    def ecp(self) -> torch.Tensor:
        """Expected coverage probability at each `alpha`, (n_samples + 2,): equal to it if exact."""
        return self.share_below

    @property
    def area(self) -> float:
        """∫ |ecp − alpha| d alpha: 0 is perfect, 0.5 the worst."""
        return float(torch.trapezoid((self.ecp - self.alpha).abs(), self.alpha))

    @property
    def signed_area(self) -> float:
        """∫ (ecp − alpha) d alpha, which is ½ minus the mean coverage level of the truth."""
        return float(torch.trapezoid(self.ecp - self.alpha, self.alpha))

    def band(
        self, level: float = 0.95, *, repeats: int = 200, seed: Seed = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pointwise bootstrap band of `ecp`, over data sets: (low, high), (n_samples + 2,) each."""
        generator = own_generator(seed)
        n = len(self.ranks)
        counts = torch.bincount(self.ranks, minlength=self.n_samples + 1).double()
        # Resampling data sets with replacement is drawing ranks from their own frequencies.
        picks = torch.multinomial(
            counts.expand(repeats, -1), n, replacement=True, generator=generator
        )
        hits = torch.zeros(repeats, self.n_samples + 1, dtype=torch.float64)
        hits.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float64))
        curves = torch.cat([hits.new_zeros(repeats, 1), hits.cumsum(1) / n], 1)
        tail = (1 - level) / 2
        return curves.quantile(tail, 0), curves.quantile(1 - tail, 0)

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            **self.sizes(),
            "area": self.area,
            "signed_area": self.signed_area,
            "p_value": self.p_value,
        }

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """Expected coverage against nominal, with its bootstrap band."""
        return plots.coverage(self.alpha, self.ecp, self.band(), figure=figure, **settings)


def prior_box(problem: Problem, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower corner (D,) and sides (D,) of the box of 1,000 prior draws."""
    pilot = problem.sample_prior(PILOT, seed=fresh_seed(generator), device=generator.device)
    low, high = pilot.amin(0), pilot.amax(0)
    return low, torch.where(high > low, high - low, 1.0)


def tarp_ranks(
    theta: torch.Tensor,
    samples: torch.Tensor,
    references: torch.Tensor,
    unit: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """How many draws (n, B, D) are nearer to the reference (B, D) than the truth (B, D) is."""
    to_truth = ((theta - references) / unit).square().sum(-1)
    to_draws = ((samples - references) / unit).square().sum(-1)
    return rank(to_truth, to_draws, generator)


def tarp(
    model: Any,
    problem: Problem,
    n_sims: int = 1000,
    n_samples: int = 200,
    *,
    references: References | None = None,
    seed: Seed = None,
    progress: bool = False,
) -> TARPResult:
    """Tests of accuracy with random points.

    About a reference point, draw the ball that reaches to the truth; the share of the posterior
    inside it is uniform on (0, 1) if the posterior is exact. If this holds for *every* rule that
    puts references by the data, the posterior is exact; for references that ignore the data it is
    necessary only, and draws from the prior pass.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from.
        n_sims: joint simulations.
        n_samples: posterior draws for each.
        references: x (B, N, F) → (B, D), points chosen by the data; None for random ones, uniform
            on the box of 1,000 prior draws. Such a rule must not see the truths.
        seed: of simulations, draws and references; None for fresh ones.
        progress: whether to show a progress bar.

    Raises:
        ValueError: n_sims or n_samples below 2, draws or references of a wrong shape, or more than
            5 % of the simulations lost to NaN draws.

    Source: Lemos et al. (2023), arXiv 2302.03026, algorithm 2 and theorem 3.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> model = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> result = tarp(model, problem, n_sims=20, n_samples=9, seed=1)
        >>> result.ecp.shape, float(result.ecp[-1]), float(result.alpha[-1])
        (torch.Size([11]), 1.0, 1.0)
    """
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    low, span = prior_box(problem, generator)
    ranks, dropped = [], 0
    batches = simulate_and_draw(
        model, problem, n_sims, n_samples, seed=generator, progress=progress
    )
    for batch in batches:
        if references is None:
            u = torch.rand(batch.theta.shape, generator=generator, device=device)
            centres = low + span * u
        else:
            centres = references(batch.x).to(batch.theta)
            if centres.shape != batch.theta.shape:
                raise ValueError(
                    f"references(x) must return {tuple(batch.theta.shape)}, got "
                    f"{tuple(centres.shape)}."
                )
        ranks.append(tarp_ranks(batch.theta, batch.samples, centres, span, generator))
        dropped += batch.dropped
    return TARPResult(torch.cat(ranks), n_samples, dropped)
