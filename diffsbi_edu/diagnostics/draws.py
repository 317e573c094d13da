"""Joint simulations and posterior draws for each: what every calibration check is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tqdm.auto import tqdm

from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator

FLOATS_AT_ONCE = 2**24  # numbers drawn at a time (64 MiB): bounds memory, hardly changes the speed
MOST_AT_ONCE = 500  # data sets of one batch
BATCHES = 50  # at least, where the number of observations is random: it is drawn once a batch
DROPPED_AT_MOST = 0.05  # share of simulations that may be lost to NaN before that is an error


@dataclass(frozen=True)
class Batch:
    """Some data sets, the truths behind them, and posterior draws given each.

    Attributes:
        theta: the truths (B, D).
        x: their data (B, N, F).
        samples: posterior draws (n, B, D).
        dropped: simulations left out of this batch, because they or their draws were not finite.
    """

    theta: torch.Tensor
    x: torch.Tensor
    samples: torch.Tensor
    dropped: int = 0


def simulate_and_draw(
    model: Any,
    problem: Problem,
    n_sims: int,
    n_samples: int,
    *,
    seed: Seed = None,
    progress: bool = False,
    split_at: int | None = None,
) -> Iterator[Batch]:
    """Batches of joint simulations with posterior draws, `n_sims` data sets in all.

    Nothing is kept between batches, so memory does not grow with `n_sims`.

    Args:
        model: anything with ``sample(x (B, N, F), n, seed=...)`` → (n, B, D).
        problem: where truths and data come from.
        n_sims: data sets.
        n_samples: posterior draws for each.
        seed: of simulations and draws; None for fresh ones.
        progress: whether to show a progress bar.
        split_at: a number of data sets that no batch crosses.

    Raises:
        ValueError: fewer than 2 data sets or draws, draws of a wrong shape, or more than 5 % of the
            simulations lost to NaN or infinite numbers.
    """
    if n_sims < 2 or n_samples < 2:
        raise ValueError(
            f"calibration needs at least 2 data sets and 2 posterior draws for each, got "
            f"n_sims = {n_sims} and n_samples = {n_samples}."
        )
    device = getattr(model, "device", torch.device("cpu"))
    generator = make_generator(seed, device)
    at_once = max(1, min(MOST_AT_ONCE, FLOATS_AT_ONCE // (n_samples * problem.dim)))
    if not problem.fixed_n_obs:
        at_once = max(1, min(at_once, n_sims // BATCHES))
    done = dropped = 0
    with tqdm(total=n_sims, disable=not progress, unit="data set", mininterval=0.5) as bar:
        while done < n_sims:
            end = split_at if split_at is not None and done < split_at else n_sims
            size = min(at_once, end - done)
            batch = _batch(model, problem, size, n_samples, generator, device)
            done, dropped = done + size, dropped + batch.dropped
            bar.update(size)
            too_many_lost(dropped, done, n_sims)
            yield batch


def too_many_lost(dropped: int, done: int, n_sims: int) -> None:
    """Raise `ValueError` if more than 5 % of n_sims simulations have been dropped."""
    if dropped > DROPPED_AT_MOST * n_sims:
        raise ValueError(
            f"{dropped} of {done} simulations, or what the model made of them, have NaN or "
            f"infinite entries. A few are dropped and counted; more than {DROPPED_AT_MOST:.0%} of "
            f"{n_sims} would no longer be the problem that was asked about: make the simulator "
            "finite, or train the model again."
        )


def _batch(
    model: Any,
    problem: Problem,
    size: int,
    n_samples: int,
    generator: torch.Generator,
    device: torch.device,
) -> Batch:
    theta, x = problem.sample(size, seed=generator, device=device, check_finite=False)
    finite = torch.isfinite(theta).all(1) & torch.isfinite(x).flatten(1).all(1)
    theta, x = theta[finite], x[finite]
    seed = fresh_seed(generator)
    if len(theta) == 0:
        return Batch(theta, x, theta.new_zeros(n_samples, 0, problem.dim), size)
    samples = model.sample(x, n_samples, seed=seed)
    check_draws(theta, samples, n_samples)
    kept = torch.isfinite(samples).all(-1).all(0)
    if not bool(kept.all()):
        theta, x, samples = theta[kept], x[kept], samples[:, kept]
    return Batch(theta, x, samples, size - len(theta))


def own_generator(seed: Seed, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator that shares no stream with the one of data made with the same small seed.

    theta = randn(seed 0) and references = rand(seed 0) are the same random bits twice: truths and
    references would hang together, and an exact posterior would look wrong.
    """
    if isinstance(seed, int):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**63
    return make_generator(seed, device)


def check_draws(theta: torch.Tensor, samples: torch.Tensor, n_samples: int | None = None) -> None:
    """Check that samples are (n, B, D) for truths (B, D).

    Raises:
        TypeError: not floating-point tensors.
        ValueError: wrong shapes; where two axes have been swapped, the message names them.
    """
    for what, values in (("theta", theta), ("samples", samples)):
        if not isinstance(values, torch.Tensor) or not values.is_floating_point():
            raise TypeError(f"{what} must be a floating-point tensor, got {type(values)}.")
    if theta.ndim != 2:
        raise ValueError(f"theta, the truths, must be (B, D), got {tuple(theta.shape)}.")
    n = n_samples if n_samples is not None else (samples.shape[0] if samples.ndim == 3 else 0)
    expected = (n, *theta.shape)
    if samples.shape == expected:
        return
    message = (
        f"posterior draws must be (n, B, D), draws first, for truths (B, D) = "
        f"{tuple(theta.shape)}; got {tuple(samples.shape)}"
    )
    if samples.ndim == 3 and n_samples is not None:
        message += f" where {expected} was expected"
    if samples.ndim == 3 and samples.shape[0] == len(theta) and samples.shape[2] == theta.shape[1]:
        message += ". The first two axes look swapped: try samples.transpose(0, 1)"
    elif samples.ndim == 3 and samples.shape[1] == theta.shape[1]:
        message += ". The last two axes look swapped: try samples.transpose(1, 2)"
    raise ValueError(message + ".")
