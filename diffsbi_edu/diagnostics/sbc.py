"""Simulation-based calibration: does the truth rank among posterior draws like one of them?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.bands import ecdf_band
from diffsbi_edu.diagnostics.draws import check_draws, own_generator, simulate_and_draw
from diffsbi_edu.diagnostics.uniformity import combined, holm, jittered, neyman
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, make_generator

#: Mean of the largest gap of a Brownian bridge: of √n times a KS distance from the truth.
KS_MEAN = math.sqrt(math.pi / 2) * math.log(2)


@cache
def exact_ks(n_sims: int, n_samples: int, repeats: int = 4000) -> float:
    """What SBC's KS distance is of an exact posterior, on average.

    By simulation, with a fixed seed and a standard error below 1 %. The more draws, the more places
    where the largest gap can be: 0.75/√n_sims with 25 of them, 0.81/√n_sims with 100, and with
    endlessly many √(π/2)·ln 2/√n_sims = 0.87/√n_sims.

    Args:
        n_sims: data sets, at least 1.
        n_samples: posterior draws for each, at least 1.
        repeats: SBCs that are simulated.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> round(exact_ks(10_000, 25), 4), round(exact_ks(1000, 100), 3)
        (0.0075, 0.026)
    """
    if min(n_sims, n_samples, repeats) < 1:
        got = f"{n_sims}, {n_samples}, {repeats}"
        raise ValueError(f"n_sims, n_samples and repeats must be at least 1, got {got}.")
    even = np.arange(1, n_samples + 2) / (n_samples + 1)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n_sims, np.full(n_samples + 1, 1 / (n_samples + 1)), size=repeats)
    return float(np.abs(counts.cumsum(1) / n_sims - even).max(1).mean())


@dataclass(frozen=True)
class SBCResult:
    """Ranks of the true parameters among posterior draws, and what they say.

    Attributes:
        ranks: (n_sims, D), integers from 0 to `n_samples`; uniform if the posterior is calibrated.
        n_samples: posterior draws that each truth was ranked among.
        dropped: simulations left out because of NaN or infinite numbers.
        names: of the parameters.
    """

    ranks: torch.Tensor
    n_samples: int
    dropped: int = 0
    names: tuple[str, ...] = ()

    @classmethod
    def from_draws(cls, theta: torch.Tensor, samples: torch.Tensor, *, seed: Seed = 0) -> SBCResult:
        """Rank truths theta (n_sims, D) among posterior draws samples (n, n_sims, D).

        Raises:
            TypeError, ValueError: shapes that do not match, fewer than 2 of either, or NaN entries.
        """
        check_draws(theta, samples)
        if min(samples.shape[:2]) < 2:
            raise ValueError(f"needs at least 2 draws and 2 truths, got {tuple(samples.shape)}.")
        if not (torch.isfinite(theta).all() and torch.isfinite(samples).all()):
            raise ValueError("truths or draws have NaN or infinite entries; drop those data sets.")
        generator = own_generator(seed, theta.device)
        return cls(rank(theta, samples, generator), len(samples))

    # --- distances of the ranks' distribution from uniform, for each coordinate, (D,) ---

    @cached_property
    def frequencies(self) -> torch.Tensor:
        """Share of the data sets in which each rank 0 … n_samples was found, (n_samples + 1, D)."""
        columns = [torch.bincount(c, minlength=self.n_samples + 1) for c in self.ranks.T]
        return torch.stack(columns, -1).double() / len(self.ranks)

    @property
    def ecdf(self) -> torch.Tensor:
        """Share of the data sets with a rank of at most 0 … n_samples, (n_samples + 1, D)."""
        return self.frequencies.cumsum(0)

    @property
    def uniform(self) -> torch.Tensor:
        """What `ecdf` should be: (r + 1)/(n_samples + 1) at rank r."""
        return torch.arange(1, self.n_samples + 2).double() / (self.n_samples + 1)

    @property
    def ks(self) -> torch.Tensor:
        """Kolmogorov–Smirnov distance: the largest gap between `ecdf` and `uniform`, (D,).

        Of exact posteriors it is about 0.8/√n_sims on average, 0.026 at 1,000 simulations with 100
        draws each; see `exact_ks`.
        """
        return (self.ecdf - self.uniform[:, None]).abs().amax(0)

    @property
    def total_variation(self) -> torch.Tensor:
        """½ Σ |frequency − 1/(n_samples + 1)| over all ranks, (D,).

        With few simulations a rank this is mostly noise: see `expected`.
        """
        return 0.5 * (self.frequencies - 1 / (self.n_samples + 1)).abs().sum(0)

    @property
    def hellinger(self) -> torch.Tensor:
        """√(½ Σ (√frequency − √(1/(n_samples + 1)))²), (D,)."""
        root = (1 / (self.n_samples + 1)) ** 0.5
        return (0.5 * (self.frequencies.sqrt() - root).square().sum(0)).sqrt()

    @property
    def wasserstein(self) -> torch.Tensor:
        """Wasserstein-1 distance, ranks divided by n_samples + 1: mean |ecdf − uniform|, (D,)."""
        return (self.ecdf - self.uniform[:, None]).abs().mean(0)

    def expected(self, seed: Seed = 0, repeats: int = 200) -> dict[str, float]:
        """The mean of each distance for an *exact* posterior, at this number of simulations.

        Not 0: a thousand ranks of a perfect posterior are not perfectly uniform either.
        """
        generator = own_generator(seed)
        shape = (len(self.ranks), repeats)
        ranks = torch.randint(0, self.n_samples + 1, shape, generator=generator)
        perfect = SBCResult(ranks, self.n_samples)
        return {name: float(getattr(perfect, name).mean()) for name in DISTANCES}

    # --- tests ---

    @property
    def p_values(self) -> torch.Tensor:
        """p-value of each coordinate's ranks under uniformity, (D,); not corrected for D.

        Neyman's smooth test on ranks made continuous (see `uniformity`).
        """
        return neyman(jittered(self.ranks, self.n_samples))

    @property
    def p_value(self) -> float:
        """One p-value for all coordinates together (Cauchy combination): below 0.05 by chance in
        5 % of exact posteriors, whatever the number of parameters.
        """
        return combined(self.p_values)

    def summary(self) -> dict[str, Any]:
        """Plain numbers: distances averaged over coordinates, their expectation, and p-values."""
        return {
            "n_sims": len(self.ranks),
            "n_samples": self.n_samples,
            "dropped": self.dropped,
            **{name: float(getattr(self, name).mean()) for name in DISTANCES},
            "expected if exact": self.expected(),
            "p_value": self.p_value,
            "p_values, Holm": holm(self.p_values).tolist(),
        }

    def plot(self, kind: str = "ecdf", figure: Figure | None = None, **settings: Any) -> Figure:
        """The ranks: "ecdf" (difference from uniform, in its simultaneous 95 % band) or
        "histogram" (with a pointwise band).
        """
        names = self.names or tuple(f"theta {i + 1}" for i in range(self.ranks.shape[1]))
        if kind == "ecdf":
            low, high = ecdf_band(len(self.ranks), self.n_samples + 1)
            gaps = self.ecdf - self.uniform[:, None]
            band = (low - self.uniform, high - self.uniform)
            return plots.ecdf_difference(
                self.uniform, gaps, band, names=names, figure=figure, **settings
            )
        if kind == "histogram":
            return plots.rank_histogram(
                self.ranks, self.n_samples, names=names, figure=figure, **settings
            )
        raise ValueError(f"kind must be 'ecdf' or 'histogram', got {kind!r}.")


DISTANCES = ("ks", "total_variation", "hellinger", "wasserstein")


def rank(theta: torch.Tensor, samples: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Ranks (...) of truths theta (...) among samples (n, ...): draws below, ties at random."""
    below, ties = (samples < theta).sum(0), (samples == theta).sum(0)
    if not bool(ties.any()):
        return below.cpu()
    u = torch.rand(theta.shape, generator=generator, device=theta.device)
    return (below + (u * (ties + 1)).long()).cpu()


def sbc(
    model: Any,
    problem: Problem,
    n_sims: int = 1000,
    n_samples: int = 100,
    *,
    seed: Seed = None,
    progress: bool = False,
) -> SBCResult:
    """Rank each of `n_sims` true parameters among `n_samples` posterior draws given its data.

    If theta comes from the prior and x from theta, then theta and draws from the exact posterior
    given x are exchangeable, so theta's rank among them is uniform, coordinate by coordinate. A
    posterior too narrow piles ranks up at both ends, one too wide in the middle, a shifted one at
    one end. The reverse does not hold: draws from the *prior* pass too.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from.
        n_sims: joint simulations.
        n_samples: posterior draws for each.
        seed: of simulations and draws; None for fresh ones.
        progress: whether to show a progress bar.

    Raises:
        ValueError: n_sims or n_samples below 2, draws of a wrong shape, or more than 5 % of the
            simulations lost to NaN draws.

    Source: Talts et al. (2018), arXiv 1804.06788, algorithm 1. Ties, which only discrete
    parameters have, are broken at random.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> problem = problems.Gaussian2D()
        >>> model = ConditionalDiffusion(problem, width=16, depth=1, device="cpu", seed=0)
        >>> result = sbc(model, problem, n_sims=20, n_samples=9, seed=1)
        >>> result.ranks.shape, result.ks.shape
        (torch.Size([20, 2]), torch.Size([2]))
    """
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    ranks, dropped = [], 0
    batches = simulate_and_draw(
        model, problem, n_sims, n_samples, seed=generator, progress=progress
    )
    for batch in batches:
        ranks.append(rank(batch.theta, batch.samples, generator))
        dropped += batch.dropped
    return SBCResult(torch.cat(ranks), n_samples, dropped, tuple(problem.theta_names))


def compare_ranks(found: Mapping[str, SBCResult]) -> plots.Ranks:
    """The ECDF differences of several methods on one problem, for `plots.overview`.

    Args:
        found: method → its SBC; all of one number of simulations and of draws.

    Raises:
        ValueError: nothing to compare, or results of different sizes.

    Example:
        >>> ranks = torch.randint(0, 10, (50, 2))
        >>> both = compare_ranks({"one": SBCResult(ranks, 9), "two": SBCResult(9 - ranks, 9)})
        >>> both.gaps["two"].shape
        torch.Size([10, 2])
    """
    sizes = {(each.ranks.shape, each.n_samples) for each in found.values()}
    if len(sizes) != 1:
        raise ValueError(f"SBC of one size is compared, got {len(sizes)} sizes: {sorted(sizes)}.")
    first = next(iter(found.values()))
    low, high = ecdf_band(len(first.ranks), first.n_samples + 1)
    gaps = {name: each.ecdf - each.uniform[:, None] for name, each in found.items()}
    return plots.Ranks(first.uniform, gaps, (low - first.uniform, high - first.uniform))
