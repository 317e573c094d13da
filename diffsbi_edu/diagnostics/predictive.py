"""Posterior predictive checks: could the posterior's parameters have made the data?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

Statistic = Callable[[torch.Tensor], torch.Tensor]

#: Statistics of data sets x (B, N, F), each (B,) for one feature.
STATISTICS: dict[str, Statistic] = {
    "mean": lambda x: x.mean(1),
    "sd": lambda x: x.std(1, correction=0),
    "smallest": lambda x: x.amin(1),
    "largest": lambda x: x.amax(1),
}


@dataclass(frozen=True)
class PredictiveResult:
    """Statistics of replicated data beside those of the data observed.

    Attributes:
        replicated: name → (n,) values for data simulated from posterior draws.
        observed: name → the value for x_obs.
    """

    replicated: dict[str, torch.Tensor]
    observed: dict[str, float]

    @property
    def p_values(self) -> dict[str, float]:
        """Twice the smaller tail beyond the observed value. *Conservative*: the data have been used
        twice, to fit and to check, so values near 0 are rarer than for an honest test.
        """
        found = {}
        for name, values in self.replicated.items():
            at = self.observed[name]
            n = len(values) + 1
            low, high = int((values <= at).sum()) + 1, int((values >= at).sum()) + 1
            found[name] = min(1.0, 2 * min(low, high) / n)
        return found

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"observed": self.observed, "p_values": self.p_values}

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """A histogram of every statistic, and a line at the observed value."""
        return plots.predictive(self.replicated, self.observed, figure=figure, **settings)


def posterior_predictive(
    model: Any,
    problem: Problem,
    x_obs: torch.Tensor,
    n: int = 1000,
    *,
    statistics: Mapping[str, Statistic] | None = None,
    seed: Seed = None,
) -> PredictiveResult:
    """Simulate data from posterior draws given x_obs and compare them with x_obs itself.

    Args:
        model: anything with ``sample(x_obs (N, F), n, seed=...)`` → (n, D).
        problem: the simulator.
        x_obs: observed data (N, F).
        n: replicated data sets.
        statistics: name → function of data sets (B, N, F), returning (B,) or (B, F); None for
            mean, sd, smallest and largest of each feature (for N = 1 the values themselves).
        seed: of draws and simulations; None for fresh ones.

    Raises:
        ValueError: n below 2, or a statistic that returns another shape.
        SimulationError: simulated data that are not finite.

    Source: Gelman, Meng & Stern (1996), Statistica Sinica 6.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> model = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> check = posterior_predictive(model, problem, torch.zeros(1, 2), n=50, seed=0)
        >>> sorted(check.observed)
        ['x 1', 'x 2']
    """
    if n < 2:
        raise ValueError(f"n, the number of replicated data sets, must be at least 2, got {n}.")
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    observed = torch.as_tensor(x_obs, dtype=torch.float32, device=device)
    observed = observed[None] if observed.ndim == 1 else observed
    theta = model.sample(observed, n, seed=fresh_seed(generator))
    n_obs = None if problem.n_obs is None else len(observed)
    x = problem.simulate(theta, seed=generator, n_obs=n_obs)
    if statistics is None:
        single = observed.shape[0] == 1
        statistics = {"": lambda x: x[:, 0]} if single else STATISTICS
    features = getattr(problem, "x_names", None) or [f"x {i + 1}" for i in range(x.shape[-1])]
    replicated: dict[str, torch.Tensor] = {}
    at: dict[str, float] = {}
    for name, statistic in statistics.items():
        values, value = statistic(x), statistic(observed[None])
        if values.ndim not in (1, 2) or len(values) != n or len(value) != 1:
            raise ValueError(
                f"the statistic {name!r} must return (B,) or (B, F) for data (B, N, F); got "
                f"{tuple(values.shape)} for B = {n}."
            )
        for i, (column, single_value) in enumerate(
            zip(values.reshape(n, -1).T, value.flatten(), strict=True)
        ):
            label = name if values.ndim == 1 else f"{name} of {features[i]}".removeprefix(" of ")
            replicated[label], at[label] = column.cpu(), float(single_value)
    return PredictiveResult(replicated, at)
