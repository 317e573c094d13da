"""The suite: all the tests that the same posterior draws allow, and one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.discriminative import (
    DRAWS_SHOWN,
    DiscriminativeResult,
    DiscriminativeTest,
)
from diffsbi_edu.diagnostics.draws import Batch, check_draws, own_generator, simulate_and_draw
from diffsbi_edu.diagnostics.sbc import SBCResult, rank
from diffsbi_edu.diagnostics.tarp import TARPResult, prior_box, tarp_ranks
from diffsbi_edu.diagnostics.uniformity import combined
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

PRIOR_DRAWS = 10_000  # that contraction is measured against


@dataclass(frozen=True)
class Calibration:
    """What the suite found.

    Attributes:
        sbc: every coordinate's ranks, all simulations.
        tarp: random references, all simulations.
        tarp_guess: references where a linear regression on the data puts theta; the half of the
            simulations that it was not fitted on.
        discriminative: ranks of a learned score, the same half.
        contraction: mean over simulations and coordinates of 1 − posterior variance/prior variance;
            near 0 if nothing has been learnt from the data.
        dropped: simulations left out because of NaN or infinite numbers.
    """

    sbc: SBCResult
    tarp: TARPResult
    tarp_guess: TARPResult
    discriminative: DiscriminativeResult
    contraction: float
    dropped: int

    @property
    def p_values(self) -> dict[str, float]:
        """Test → p-value; each is below 0.05 for 5 % of exact posteriors."""
        return {
            "sbc": self.sbc.p_value,
            "tarp, random references": self.tarp.p_value,
            "tarp, guessed references": self.tarp_guess.p_value,
            "discriminative": self.discriminative.p_value,
        }

    @property
    def p_value(self) -> float:
        """All tests together (Cauchy combination)."""
        return combined(torch.tensor(list(self.p_values.values()), dtype=torch.float64))

    def summary(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            **self.p_values,
            "p_value": self.p_value,
            "contraction": self.contraction,
            "dropped": self.dropped,
        }

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """Coverage curves of the three tests that look at all coordinates; `sbc.plot()` has the
        other one. Good: on the diagonal.
        """
        lines = {
            f"{name}, p = {self.p_values[name]:.2g}": result.share_below
            for name, result in (
                ("tarp, random references", self.tarp),
                ("tarp, guessed references", self.tarp_guess),
                ("discriminative", self.discriminative),
            )
        }
        return plots.coverage(self.tarp.levels, lines, figure=figure, **settings)


def calibrate(
    model: Any,
    problem: Problem,
    n_sims: int = 1000,
    n_samples: int = 100,
    *,
    seed: Seed = None,
    progress: bool = False,
) -> Calibration:
    """SBC, TARP (two ways), and a learned test, from one set of simulations and draws.

    The null of every test, and of all together, is that the posterior is exact for all data. The
    first two cannot tell it from the prior; the others can.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from.
        n_sims: joint simulations.
        n_samples: posterior draws for each.
        seed: of everything; None for fresh seeds.
        progress: whether to show a progress bar.

    Raises:
        ValueError: n_sims below 100 or n_samples below 4, or as in `sbc`.

    Source: see `sbc`, `tarp` and `discriminative_calibration`.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> prior_only = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> calibrate(prior_only, problem, 200, 20, seed=0).p_value < 0.01
        True
    """
    _check_sizes(n_sims, n_samples)
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    tests, half, seen = _Tests(problem, generator), n_sims // 2, 0
    batches = simulate_and_draw(
        model, problem, n_sims, n_samples, seed=generator, progress=progress, split_at=half
    )
    for batch in batches:
        tests.add(batch, to_learn_from=seen < half)
        seen += len(batch.theta) + batch.dropped
    return tests.result(n_samples)


def calibrate_draws(
    theta: torch.Tensor, x: torch.Tensor, samples: torch.Tensor, problem: Problem, seed: Seed = 0
) -> Calibration:
    """The suite on draws that there are already.

    Args:
        theta: truths (n_sims, D).
        x: their data (n_sims, N, F).
        samples: posterior draws (n, n_sims, D).
        problem: for its prior.
        seed: of references and classifiers.

    Raises:
        TypeError, ValueError: shapes that do not match, fewer than 100 data sets or 4 draws, or
            truths outside the prior's support.
    """
    check_draws(theta, samples)
    _check_sizes(len(theta), len(samples))
    support: Any = problem.prior_on(theta.device).support
    outside = ~support.check(theta)
    if bool(outside.any()):
        row = int(outside.nonzero()[0, 0])
        raise ValueError(
            f"{int(outside.sum())} of {len(theta)} truths lie outside the prior's support, for "
            f"example theta = {theta[row].tolist()}: calibration is about truths drawn from the "
            "prior. Are they in other units, or from another problem?"
        )
    tests = _Tests(problem, own_generator(seed, theta.device))
    half = len(theta) // 2
    tests.add(Batch(theta[:half], x[:half], samples[:, :half]), to_learn_from=True)
    tests.add(Batch(theta[half:], x[half:], samples[:, half:]), to_learn_from=False)
    return tests.result(len(samples))


def _check_sizes(n_sims: int, n_samples: int) -> None:
    if n_sims < 100 or n_samples < DRAWS_SHOWN:
        raise ValueError(
            f"the suite needs n_sims ≥ 100 and n_samples ≥ {DRAWS_SHOWN}, got {n_sims} and "
            f"{n_samples}."
        )


class _Tests:
    """Ranks of every test, gathered batch by batch."""

    def __init__(self, problem: Problem, generator: torch.Generator) -> None:
        self._names, self._generator = tuple(problem.theta_names), generator
        self._low, self._span = prior_box(problem, generator)
        prior = problem.sample_prior(
            PRIOR_DRAWS, seed=fresh_seed(generator), device=generator.device
        )
        self._variance = prior.var(0)
        self._shown: list[Batch] = []
        self._learned: DiscriminativeTest | None = None
        self._shares: list[torch.Tensor] = []
        self._dropped = 0
        self._ranks: dict[str, list[torch.Tensor]] = {
            "sbc": [], "tarp": [], "guess": [], "learned": [],
        }  # fmt: skip

    def add(self, batch: Batch, *, to_learn_from: bool) -> None:
        theta, samples, generator = batch.theta, batch.samples, self._generator
        self._dropped += batch.dropped
        if len(theta) == 0:
            return
        self._shares.append((1 - samples.var(0) / self._variance).mean(1).cpu())
        u = torch.rand(theta.shape, generator=generator, device=theta.device)
        centres = self._low + self._span * u
        self._ranks["sbc"].append(rank(theta, samples, generator))
        self._ranks["tarp"].append(tarp_ranks(theta, samples, centres, self._span, generator))
        if to_learn_from:
            self._shown.append(Batch(theta, batch.x, samples[:DRAWS_SHOWN].clone()))
            return
        if self._learned is None:
            self._learned = DiscriminativeTest(self._shown, fresh_seed(generator))
        guess = self._learned.features.guess(batch.x)
        self._ranks["guess"].append(tarp_ranks(theta, samples, guess, self._span, generator))
        self._ranks["learned"].append(self._learned.ranks(batch, generator))

    def result(self, n_samples: int) -> Calibration:
        ranks = {name: torch.cat(parts) for name, parts in self._ranks.items()}
        dropped = self._dropped
        return Calibration(
            SBCResult(ranks["sbc"], n_samples, dropped, self._names),
            TARPResult(ranks["tarp"], n_samples, dropped),
            TARPResult(ranks["guess"], n_samples, dropped),
            DiscriminativeResult(ranks["learned"], n_samples, dropped),
            float(torch.cat(self._shares).mean()),
            dropped,
        )
