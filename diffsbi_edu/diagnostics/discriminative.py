"""Learned tests: a classifier looks for whatever sets truths apart from posterior draws."""

from __future__ import annotations

from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.bands import level_band
from diffsbi_edu.diagnostics.classifier import Classifiers, PairFeatures, describe
from diffsbi_edu.diagnostics.draws import Batch, simulate_and_draw
from diffsbi_edu.diagnostics.ranked import RankedResult
from diffsbi_edu.diagnostics.sbc import rank
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

NETWORKS = 5  # averaged
ROWS_AT_ONCE = 2**16  # scored at a time: bounds memory, not results
DRAWS_SHOWN = 4  # posterior draws of each data set that the classifier is trained on


class DiscriminativeResult(RankedResult):
    """Ranks of the truth's classifier score, for data sets that no classifier was trained on."""

    @property
    def accuracy(self) -> float:
        """How often the classifier prefers the truth to a posterior draw: ½ if calibrated."""
        return float(self.ranks.double().mean() / self.n_samples)

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            **self.sizes(),
            "accuracy": self.accuracy,
            "p_value": self.p_value,
        }

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """Share of the truths below each rank, in the band that an exact posterior stays inside."""
        return plots.coverage(
            self.levels, self.share_below, level_band(len(self.ranks), self.n_samples),
            about_diagonal=True, figure=figure,
            **{"xlabel": "rank of the truth's score, as a share", "ylabel": "share of lower ranks"}
            | settings,
        )  # fmt: skip


def discriminative_calibration(
    model: Any,
    problem: Problem,
    n_sims: int = 1000,
    n_samples: int = 100,
    *,
    seed: Seed = None,
    progress: bool = False,
) -> DiscriminativeResult:
    """SBC of a learned quantity of theta *and x*: it also sees a posterior that ignores the data.

    Half of the simulations train classifiers to tell true pairs (theta, x) from pairs (draw, x).
    In the other half, the truth's score is ranked among those of its posterior draws. Whatever the
    classifiers have learnt, the rank is uniform for the exact posterior: the test's false-alarm
    rate does not depend on them, only its power does.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from.
        n_sims: joint simulations, half of them to train on.
        n_samples: posterior draws for each.
        seed: of simulations, draws and classifiers; None for fresh ones.
        progress: whether to show a progress bar.

    Raises:
        ValueError: n_sims below 100, or as in `sbc`.

    Source: Yao & Domke (2023), arXiv 2305.14593, and Modrák et al. (2022), arXiv 2211.02383, whose
    data-dependent test quantities are here learned.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> prior_only = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> discriminative_calibration(prior_only, problem, 200, 20, seed=1).p_value < 0.01
        True
    """
    if n_sims < 100:
        raise ValueError(f"a classifier needs n_sims of at least 100 to learn from, got {n_sims}.")
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    half = n_sims // 2
    shown = list(simulate_and_draw(model, problem, half, DRAWS_SHOWN, seed=generator))
    test = DiscriminativeTest(shown, fresh_seed(generator))
    ranks, dropped = [], sum(batch.dropped for batch in shown)
    batches = simulate_and_draw(
        model, problem, n_sims - half, n_samples, seed=generator, progress=progress
    )
    for batch in batches:
        ranks.append(test.ranks(batch, generator))
        dropped += batch.dropped
    return DiscriminativeResult(torch.cat(ranks), n_samples, dropped)


class DiscriminativeTest:
    """Classifiers trained on some batches, to rank the truths of others by.

    Args:
        batches: with at least `DRAWS_SHOWN` draws each.
        seed: of weights and training.
    """

    def __init__(self, batches: list[Batch], seed: int) -> None:
        theta = torch.cat([batch.theta for batch in batches])
        # Batches may differ in N; their descriptions do not differ in length.
        self.features = PairFeatures(theta, torch.cat([describe(batch.x) for batch in batches]))
        rows, labels = [], []
        for batch in batches:
            draws = batch.samples[:DRAWS_SHOWN]
            true = self.features(batch.theta.expand_as(draws), batch.x).flatten(0, 1)
            drawn = self.features(draws, batch.x).flatten(0, 1)
            rows += [true, drawn]
            labels += [torch.ones(len(true)), torch.zeros(len(drawn))]
        inputs = torch.cat(rows)
        targets = torch.cat(labels).to(inputs).expand(NETWORKS, -1)
        networks = Classifiers(NETWORKS, inputs.shape[1], seed).to(theta.device)
        self.networks = networks.fit(inputs, targets, seed=seed)

    def ranks(self, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Ranks (B,) of the truths' scores among those of their draws."""
        every = torch.cat([batch.theta[None], batch.samples])
        with torch.no_grad():
            parts = [
                self.networks(self.features(part, batch.x).flatten(0, 1))
                .mean(0)
                .view(len(part), -1)
                for part in every.split(max(1, ROWS_AT_ONCE // max(1, len(batch.theta))))
            ]
        scores = torch.cat(parts)
        return rank(scores[0], scores[1:], generator)
