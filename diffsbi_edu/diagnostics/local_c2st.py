"""Local C2ST: is the posterior right at *this* observation? Without a reference posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.classifier import Classifiers, PairFeatures, describe
from diffsbi_edu.diagnostics.draws import simulate_and_draw
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator


@dataclass(frozen=True)
class LocalC2STResult:
    """What the classifiers found at one observation.

    Attributes:
        statistic: mean of (d − ½)² over posterior draws at x_obs, d the classifier's probability
            that a draw is a true parameter; 0 if the classifier cannot tell.
        null: the same for classifiers trained on relabelled pairs, (n_null,).
        probabilities: d at each draw (n,).
        samples: the draws (n, D) themselves: where d > ½ the posterior has too little mass.
    """

    statistic: float
    null: torch.Tensor
    probabilities: torch.Tensor
    samples: torch.Tensor

    @property
    def p_value(self) -> float:
        """(1 + #{null ≥ statistic})/(1 + n_null)."""
        return (1 + int((self.null >= self.statistic).sum())) / (1 + len(self.null))

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "statistic": self.statistic,
            "mean under the null": float(self.null.mean()),
            "p_value": self.p_value,
        }

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """The statistic beside those of the classifiers trained on relabelled pairs."""
        return plots.null_histogram(
            self.null, self.statistic, xlabel="mean of (d − ½)²", figure=figure, **settings
        )


def local_c2st(
    model: Any,
    problem: Problem,
    x_obs: torch.Tensor,
    n_sims: int = 2000,
    *,
    n: int = 1000,
    n_null: int = 100,
    seed: Seed = None,
    progress: bool = False,
) -> LocalC2STResult:
    """Local classifier two-sample test at one observation.

    A classifier learns, over *all* data sets, to tell pairs (theta, x) with the true theta from
    pairs with a posterior draw; then it is asked about draws at x_obs only. For the null, the two
    labels of each data set are swapped at random, which changes nothing if the posterior is exact
    everywhere; n_null such classifiers are trained, all at once.

    The null is that the posterior is exact for every x; if it is wrong elsewhere and right at
    x_obs, the false-alarm rate is no longer exactly as stated.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from; the number N of observations must be fixed, or
            vary about that of x_obs.
        x_obs: the observation (N, F).
        n_sims: joint simulations to train on.
        n: posterior draws at x_obs.
        n_null: classifiers under the null; at least 19 for p-values of 0.05.
        seed: of everything; None for fresh seeds.
        progress: whether to show a progress bar over simulations.

    Raises:
        ValueError: n_sims below 100, n below 2, n_null below 1, or as in `sbc`.

    Source: Linhart, Gramfort & Rodrigues (2023), arXiv 2306.03580, algorithms 1 and 2.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> prior_only = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> x_obs = torch.tensor([[1.0, 1.0]])
        >>> local_c2st(prior_only, problem, x_obs, 500, n=100, n_null=19, seed=0).p_value
        0.05
    """
    if n_sims < 100 or n < 2 or n_null < 1:
        raise ValueError(
            f"local_c2st needs n_sims ≥ 100, n ≥ 2 and n_null ≥ 1; got {n_sims}, {n}, {n_null}."
        )
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    batches = list(simulate_and_draw(model, problem, n_sims, 2, seed=generator, progress=progress))
    truths = torch.cat([batch.theta for batch in batches])
    features = PairFeatures(truths, torch.cat([describe(batch.x) for batch in batches]))
    true = torch.cat([features(batch.theta, batch.x) for batch in batches])
    drawn = torch.cat([features(batch.samples[0], batch.x) for batch in batches])
    swap = torch.rand(n_null, len(true), generator=generator, device=device) < 0.5
    swap = torch.cat([torch.zeros_like(swap[:1]), swap])
    labels = torch.cat([~swap, swap], 1).to(true)
    networks = Classifiers(1 + n_null, true.shape[1], fresh_seed(generator)).to(device)
    networks.fit(torch.cat([true, drawn]), labels, seed=fresh_seed(generator))
    observed = torch.as_tensor(x_obs, dtype=torch.float32, device=device)
    observed = observed[None] if observed.ndim == 1 else observed
    samples = model.sample(observed, n, seed=fresh_seed(generator))
    with torch.no_grad():
        rows = features(samples, observed[None].expand(n, *observed.shape))
        probabilities = torch.sigmoid(networks(rows)).cpu()
    values = (probabilities - 0.5).square().mean(1)
    return LocalC2STResult(float(values[0]), values[1:], probabilities[0], samples.cpu())
