"""Posterior contraction and z-scores: how much was learnt, and whether it is where the truth is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.draws import simulate_and_draw
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

PRIOR_DRAWS = 10_000


@dataclass(frozen=True)
class ContractionResult:
    """For every data set and coordinate, (n_sims, D) each.

    Attributes:
        contraction: 1 − posterior variance/prior variance: 0 if nothing was learnt, 1 if all.
        z_scores: (posterior mean − truth)/posterior sd; of mean square about 1 if calibrated.
        dropped: simulations left out because of NaN or infinite numbers.
        names: of the parameters.
    """

    contraction: torch.Tensor
    z_scores: torch.Tensor
    dropped: int = 0
    names: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Plain numbers, one for each coordinate: mean contraction, mean and rms z-score."""
        return {
            "n_sims": len(self.z_scores),
            "dropped": self.dropped,
            "contraction": self.contraction.mean(0).tolist(),
            "mean z-score": self.z_scores.mean(0).tolist(),
            "rms z-score": self.z_scores.square().mean(0).sqrt().tolist(),
        }

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """A dot for each data set, a panel for each coordinate. Good: on the right, about 0."""
        return plots.contraction(
            self.contraction, self.z_scores, names=self.names, figure=figure, **settings
        )


def contraction(
    model: Any,
    problem: Problem,
    n_sims: int = 1000,
    n_samples: int = 100,
    *,
    seed: Seed = None,
    progress: bool = False,
) -> ContractionResult:
    """How far the data narrow the prior, and how far the truth lies from the posterior mean.

    Calibration checks cannot tell the exact posterior from the prior; contraction can. It is no
    test: how much *should* be learnt depends on the problem.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from.
        n_sims: joint simulations.
        n_samples: posterior draws for each.
        seed: of simulations and draws; None for fresh ones.
        progress: whether to show a progress bar.

    Raises:
        ValueError: as in `sbc`.

    Source: Schad, Betancourt & Vasishth (2021), arXiv 1904.12765, section 3.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> model = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> contraction(model, problem, n_sims=20, n_samples=9, seed=1).z_scores.shape
        torch.Size([20, 2])
    """
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    prior = problem.sample_prior(PRIOR_DRAWS, seed=fresh_seed(generator), device=device).var(0)
    shares, scores, dropped = [], [], 0
    batches = simulate_and_draw(
        model, problem, n_sims, n_samples, seed=generator, progress=progress
    )
    for batch in batches:
        variance = batch.samples.var(0)
        shares.append((1 - variance / prior).cpu())
        error = batch.samples.mean(0) - batch.theta
        # Draws that are all equal have no width: a z-score of ±inf unless they hit the truth.
        scores.append(
            (error / variance.sqrt()).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).cpu()
        )
        dropped += batch.dropped
    return ContractionResult(
        torch.cat(shares), torch.cat(scores), dropped, tuple(problem.theta_names)
    )
