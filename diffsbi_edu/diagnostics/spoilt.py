"""Exact posteriors with a known error: what a diagnostic must see, and how large it must be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator


@dataclass(frozen=True)
class Error:
    """What is wrong with a posterior. As it stands, nothing.

    Args:
        shift: of every coordinate, in posterior sds.
        scale: factor on the distance of every draw from the posterior mean.
        drop: share of the draws on the far side of the mean (where the coordinates' sum is larger)
            that are replaced by draws from the near side. 1 drops a mode where there are two.
        ignore: share of the draws replaced by draws from the prior.
        flip: mirror every draw at the centre of the prior.
        decorrelate: shuffle every coordinate by itself: right marginals, no dependence.

    Raises:
        ValueError: scale not positive, a share outside [0, 1], or a shift that is not finite.

    Example:
        >>> Error(shift=0.3)
        Error(shift=0.3, scale=1.0, drop=0.0, ignore=0.0, flip=False, decorrelate=False)
    """

    shift: float = 0.0
    scale: float = 1.0
    drop: float = 0.0
    ignore: float = 0.0
    flip: bool = False
    decorrelate: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf or not math.isfinite(self.shift):
            raise ValueError(f"scale must be > 0, shift finite; got {self.scale}, {self.shift}.")
        for name in ("drop", "ignore"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share, from 0 to 1; got {getattr(self, name)}.")

    def applied(
        self, samples: torch.Tensor, prior: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Exact draws (n, B, D) with this error; `ignore` takes from prior draws (m, D)."""
        spoilt = samples
        if self.drop:
            spoilt = _dropped(spoilt, self.drop, generator)
        if self.decorrelate:
            keys = torch.rand(spoilt.shape, generator=generator, device=spoilt.device)
            spoilt = spoilt.gather(0, keys.argsort(0))
        if self.scale != 1:
            mean = spoilt.mean(0)
            spoilt = mean + self.scale * (spoilt - mean)
        if self.shift:
            spoilt = spoilt + self.shift * samples.std(0)
        if self.flip:
            spoilt = 2 * prior.mean(0) - spoilt
        if self.ignore:
            shape = spoilt.shape[:2]
            u = torch.rand(shape, generator=generator, device=spoilt.device)
            index = torch.randint(len(prior), shape, generator=generator, device=spoilt.device)
            spoilt = torch.where((u < self.ignore)[..., None], prior[index], spoilt)
        return spoilt


def _dropped(samples: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Draws (n, B, D), some of those on the far side of the mean replaced by near ones."""
    n = len(samples)
    far = (samples - samples.mean(0)).sum(-1) > 0  # (n, B)
    u, v = torch.rand(2, *far.shape, generator=generator, device=samples.device)
    nearest_first = samples.gather(
        0, far.long().argsort(dim=0, stable=True)[..., None].expand_as(samples)
    )
    near = (n - far.sum(0)).clamp_min(1)
    index = (v * near).long()[..., None].expand_as(samples)
    substitute = nearest_first.gather(0, index)
    return torch.where((far & (u < share))[..., None], substitute, samples)


class Spoilt:
    """An exact posterior with an `Error`, behind the estimators' `sample`.

    Args:
        problem: one with an exact posterior.
        error: what is wrong; None for nothing.

    Raises:
        NoExactPosterior: on sampling, where none is known.

    Example:
        >>> from diffsbi_edu import problems
        >>> problem = problems.TwoMoons()
        >>> _, x = problem.sample(3, seed=0, device="cpu")
        >>> Spoilt(problem, Error(scale=0.8)).sample(x, 10, seed=1).shape
        torch.Size([10, 3, 2])
    """

    device = torch.device("cpu")

    def __init__(self, problem: Problem, error: Error | None = None) -> None:
        self.problem = problem
        self.error = Error() if error is None else error

    def sample(self, x_obs: torch.Tensor, n: int, *, seed: Seed = None) -> torch.Tensor:
        """Draws (n, D) for x_obs (N, F), (n, B, D) for x_obs (B, N, F)."""
        generator = make_generator(seed)
        batched = x_obs.ndim == 3
        x = x_obs if batched else x_obs[None]
        exact = [self.problem.posterior(row).sample((n,), seed=fresh_seed(generator)) for row in x]
        prior = self.problem.sample_prior(10_000, seed=fresh_seed(generator), device="cpu")
        draws = self.error.applied(torch.stack(exact, 1), prior, generator)
        return draws if batched else draws[:, 0]
