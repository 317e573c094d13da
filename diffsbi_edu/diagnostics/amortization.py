"""One model, many sample sizes: does its posterior narrow as the exact one does?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from diffsbi_edu import plots
from diffsbi_edu.diagnostics.draws import Batch, simulate_and_draw
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

PRIOR_DRAWS = 10_000
WIDTH_OFF = 0.1  # a posterior sd this share from the exact one is worth a word
CENTRE_OFF = 0.25  # exact sds, rms over data sets, that a posterior mean may be off without one


@dataclass(frozen=True)
class AmortizationResult:
    """Averages over data sets for each of K sample sizes and D coordinates, (K, D) each.

    Attributes:
        sizes: the numbers of observations N, increasing.
        sd: posterior sd, mean over data sets, in theta's units.
        contraction: 1 − posterior variance/prior variance, mean over data sets.
        exact_sd: the exact posterior's sd, mean over data sets; None where none is known.
        bias: (posterior mean − exact posterior mean)/exact sd, mean over data sets; None likewise.
        offset: the same, root mean square over data sets, less what finitely many draws cause.
        trained: smallest and largest N that the model was trained on; None if it does not say.
        dropped: for each size, simulations left out because of NaN or infinite numbers, (K,).
        names: of the parameters.
    """

    sizes: tuple[int, ...]
    sd: torch.Tensor
    contraction: torch.Tensor
    exact_sd: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    offset: torch.Tensor | None = None
    trained: tuple[int, int] | None = None
    dropped: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def ratio(self) -> torch.Tensor | None:
        """Learned mean sd/exact mean sd, (K, D): below 1 too sure, above 1 not sure enough."""
        return None if self.exact_sd is None else self.sd / self.exact_sd

    @property
    def slope(self) -> torch.Tensor:
        """Of log sd against log N by least squares over all sizes, (D,): −1/2 once the data count
        for much more than the prior, 0 for a model that does not see N; NaN for a single size.
        """
        return _slope(self.sizes, self.sd)

    @property
    def exact_slope(self) -> torch.Tensor | None:
        """The same of the exact posterior, (D,)."""
        return None if self.exact_sd is None else _slope(self.sizes, self.exact_sd)

    @property
    def extrapolated(self) -> tuple[bool, ...]:
        """For each size, whether it lies outside of what the model was trained on."""
        if self.trained is None:
            return (False,) * len(self.sizes)
        low, high = self.trained
        return tuple(not low <= size <= high for size in self.sizes)

    def summary(self) -> dict[str, Any]:
        """Plain numbers, coordinate by coordinate where there are D, and a verdict in words."""
        numbers: dict[str, Any] = {
            "sizes": list(self.sizes),
            "trained on": None if self.trained is None else list(self.trained),
            "dropped": list(self.dropped),
            "sd": self.sd.tolist(),
            "contraction": self.contraction.tolist(),
            "slope": self.slope.tolist(),
        }
        if self.ratio is not None and self.bias is not None and self.offset is not None:
            numbers |= {
                "exact slope": [] if self.exact_slope is None else self.exact_slope.tolist(),
                "sd / exact": self.ratio.tolist(),
                "bias (exact sds)": self.bias.tolist(),
                "offset (exact sds)": self.offset.tolist(),
            }
        return numbers | {"verdict": self.verdict}

    @property
    def verdict(self) -> str:
        """In words: at which sizes the widths and the centres are off, by how much, and why."""
        if self.ratio is None or self.offset is None:
            slopes = ", ".join(
                f"{slope:.2f} for {name}" for name, slope in zip(self._names(), self.slope.tolist())
            )
            return (
                f"No exact posterior to compare with. Slope of log sd against log N: {slopes}; "
                "−0.5 is expected where the data count for much more than the prior."
            )
        said = []
        for k, (size, beyond) in enumerate(zip(self.sizes, self.extrapolated)):
            worst = int((self.ratio[k].log().abs()).nan_to_num(torch.inf).argmax())
            ratio, offset = float(self.ratio[k, worst]), float(self.offset[k].max())
            faults = []
            if not 1 - WIDTH_OFF <= ratio <= 1 + WIDTH_OFF:
                kind = "too narrow" if ratio < 1 else "too wide"
                faults.append(f"{kind} ({self._names()[worst]}: {ratio:.2f} of the exact sd)")
            if not offset <= CENTRE_OFF:
                faults.append(f"off centre ({offset:.2f} exact sds, rms)")
            if faults:
                where = ", not trained on" if beyond else ""
                said.append(f"N = {size}{where}: {' and '.join(faults)}.")
        if not said:
            return (
                f"At every size the widths are within {WIDTH_OFF:.0%} of the exact ones and the "
                f"centres within {CENTRE_OFF} exact sds (rms)."
            )
        return " ".join(said)

    def plot(self, figure: Figure | None = None, **settings: Any) -> Figure:
        """Posterior sd against N, both logarithmic, a panel for each coordinate. Good: on the line;
        beyond the shade the model extrapolates.
        """
        return plots.posterior_width_by_size(
            self.sizes,
            self.sd,
            self.exact_sd,
            trained=self.trained,
            names=self.names,
            figure=figure,
            **settings,
        )

    def _names(self) -> tuple[str, ...]:
        return self.names or tuple(f"theta {i + 1}" for i in range(self.sd.shape[1]))


def amortization(
    model: Any,
    problem: Problem,
    sizes: Sequence[int],
    *,
    n_sims: int = 50,
    n_samples: int = 500,
    seed: Seed = None,
    progress: bool = False,
) -> AmortizationResult:
    """Posterior widths and centres at each of several sample sizes N, against the exact ones.

    An amortized posterior is one for all data sets, and, where N was random in training, for all
    N. Calibration at the sizes trained on says nothing of the others. Here fresh data sets of each
    size are simulated; the model's posterior sd should fall with N as the exact posterior's does,
    in the end as 1/√N (Bernstein and von Mises).

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D). If it has a
            ``problem``, that one's `n_obs` is the range it was trained on.
        problem: where truths and data come from; it must accept any number of observations. Its
            exact posterior is used where there is one.
        sizes: numbers of observations N, in any order.
        n_sims: data sets of each size.
        n_samples: posterior draws for each, the model's and the exact ones.
        seed: of simulations and draws; None for fresh ones.
        progress: whether to show a progress bar, one unit a size.

    Raises:
        TypeError: sizes are not whole numbers.
        ValueError: no sizes, one below 1, or one twice; a problem that sets N itself; n_sims or
            n_samples below 2; more than 5 % of the simulations lost to NaN.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, encoders, problems
        >>> problem = problems.Gaussian2D(n_obs=(1, 100))
        >>> model = ConditionalDiffusion(
        ...     problem, encoders.DeepSets(2, 8), width=16, depth=1, device="cpu", seed=0
        ... )
        >>> result = amortization(model, problem, [1, 10, 1000], n_sims=5, n_samples=20, seed=1)
        >>> result.sd.shape, result.extrapolated
        (torch.Size([3, 2]), (False, False, True))
    """
    ordered = _checked_sizes(sizes)
    if problem.n_obs is None:
        raise ValueError(
            f"the problem {problem.name!r} sets the number of observations itself (n_obs is None), "
            "so it cannot be simulated at a size of your choice; give it n_obs and a simulator "
            "that is called as simulator(theta, n_obs)."
        )
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    prior = problem.sample_prior(PRIOR_DRAWS, seed=fresh_seed(generator), device=device).var(0)
    found = []
    for size in tqdm(ordered, disable=not progress, unit="size", mininterval=0.5):
        fixed = copy.copy(problem)
        fixed.n_obs = size
        batches = simulate_and_draw(model, fixed, n_sims, n_samples, seed=generator)
        found.append(_SizeFound([_measure(batch, fixed, generator) for batch in batches]))
    sd = torch.stack([one.sd.mean(0) for one in found])
    contraction = torch.stack([(1 - one.sd**2 / prior.cpu()).mean(0) for one in found])
    shared: dict[str, Any] = {
        "trained": _trained_range(model),
        "dropped": tuple(one.dropped for one in found),
        "names": tuple(problem.theta_names),
    }
    exact = [one.exact_sd for one in found if one.exact_sd is not None]
    gaps = [one.gap for one in found if one.gap is not None]
    if len(exact) < len(found) or len(gaps) < len(found):
        return AmortizationResult(ordered, sd, contraction, **shared)
    # Of n draws the mean is off by sd/√n by chance, on both sides.
    noise = torch.stack(
        [((o.sd / e).square().mean(0) + 1) / n_samples for o, e in zip(found, exact, strict=True)]
    )
    square = torch.stack([gap.square().mean(0) for gap in gaps])
    return AmortizationResult(
        ordered,
        sd,
        contraction,
        torch.stack([e.mean(0) for e in exact]),
        torch.stack([gap.mean(0) for gap in gaps]),
        (square - noise).clamp_min(0).sqrt(),
        **shared,
    )


@dataclass(frozen=True)
class _Measured:
    """Of one batch, (B, D) each: posterior sds, exact ones, gaps of the means in exact sds."""

    sd: torch.Tensor
    exact_sd: torch.Tensor | None
    gap: torch.Tensor | None
    dropped: int


class _SizeFound:
    """The batches of one size, put together."""

    def __init__(self, parts: list[_Measured]) -> None:
        self.sd = torch.cat([part.sd for part in parts])
        exact = [part.exact_sd for part in parts if part.exact_sd is not None]
        gaps = [part.gap for part in parts if part.gap is not None]
        self.exact_sd = torch.cat(exact) if len(exact) == len(parts) else None
        self.gap = torch.cat(gaps) if len(gaps) == len(parts) else None
        self.dropped = sum(part.dropped for part in parts)


def _measure(batch: Batch, problem: Problem, generator: torch.Generator) -> _Measured:
    draws = batch.samples.cpu()
    sd, mean = draws.std(0), draws.mean(0)
    try:
        exact = [
            problem.posterior(x).sample((len(draws),), seed=fresh_seed(generator)).cpu()
            for x in batch.x
        ]
    except NoExactPosterior:
        return _Measured(sd, None, None, batch.dropped)
    stacked = torch.stack(exact, 1) if exact else draws
    exact_sd = stacked.std(0)
    return _Measured(sd, exact_sd, (mean - stacked.mean(0)) / exact_sd, batch.dropped)


def _slope(sizes: Sequence[int], sd: torch.Tensor) -> torch.Tensor:
    log_n = torch.tensor(sizes, dtype=torch.float64).log()
    log_n = log_n - log_n.mean()
    return (log_n @ sd.double().log() / log_n.square().sum()).float()


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    given = list(sizes) if isinstance(sizes, Sequence) else [sizes]
    if any(isinstance(size, bool) or not isinstance(size, int) for size in given):
        raise TypeError(f"sizes must be whole numbers of observations, got {sizes!r}.")
    if not given or min(given) < 1 or len(set(given)) < len(given):
        raise ValueError(f"sizes must be different numbers of at least 1, got {sizes!r}.")
    return tuple(sorted(given))


def _trained_range(model: Any) -> tuple[int, int] | None:
    n_obs = getattr(getattr(model, "problem", None), "n_obs", None)
    if n_obs is None:
        return None
    return n_obs if isinstance(n_obs, tuple) else (n_obs, n_obs)
