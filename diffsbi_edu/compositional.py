"""`Compositional`: a posterior given N observations, composed of N posteriors given one each."""

from __future__ import annotations

from typing import Any

import torch

from diffsbi_edu import composed_denoiser
from diffsbi_edu.composed_denoiser import ComposedDenoiser, spans
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.noised_prior import NoisedPrior
from diffsbi_edu.problems import Problem
from diffsbi_edu.problems.base import as_observation
from diffsbi_edu.runtime import Seed, make_generator
from diffsbi_edu.samplers import get_sampler, reverse_process
from diffsbi_edu.schedules import NoiseSchedule, as_schedule

METHODS = ("gauss", "jacobian", "naive")
NARROWEST = 0.02  # sd of a single-observation posterior, in latent units, at least


class Compositional:
    """The posterior given N independent observations, from a model trained on one at a time.

    Since p(theta | x_1 … x_N) ∝ p(theta)^(1−N) Π p(theta | x_i), a model of p(theta | x_i) is
    enough for any N, and N can grow without retraining. A summary network learns how observations
    combine; this class computes it. At noise level r, with y = z + r·eps, the same identity holds
    for the *backward kernels* p(z | y, x_i) and p(z | y):

        p(z | y, x_1 … x_N) ∝ p(z | y)^(1−N) Π p(z | y, x_i).

    The model gives the mean of each kernel, D_i = E[z | y, x_i]; with covariances C_i, and kernels
    taken to be normal, the mean of the product is

        D = Λ⁻¹ [Σ C_i⁻¹ D_i + (1−N) C_0⁻¹ D_0],   Λ = Σ C_i⁻¹ + (1−N) C_0⁻¹,

    with D_0, C_0 those of the prior (`NoisedPrior`). This is exact for normal posteriors, and for
    all in the limit of small noise, where every C is r²I. The methods differ in the C's:

        - ``"gauss"``: C_i⁻¹ = S_i⁻¹ + r⁻² I, with S_i the covariance of p(z | x_i), computed once
          from 128 draws of it.
        - ``"jacobian"``: C_i = r² dD_i/dy (Tweedie's formula of second order), at every step.
        - ``"naive"``: every C = r²I at all noise levels, so D = Σ D_i + (1−N) D_0: the sum of the
          scores. It is *not* the score of the noised posterior, and an ODE that follows it ends
          elsewhere; Geffner et al. correct it by Langevin steps at every noise level, which we
          leave out. Here to be learnt from.

    Λ is positive definite if the C's are right, and need not be if they are estimated: its
    eigenvalues are raised to those that the prior alone would give, at least.

    Each error of the model counts N times: where the summary network's error stays the same share
    of the posterior's width, this one's grows with N.

    Args:
        model: a trained `ConditionalDiffusion` of one observation: the problem's `n_obs` is 1, or
            a range that starts at 1.
        method: one of the above.
        narrowest: sd in some direction, as a share of the prior's, below which the covariance of a
            single-observation posterior is not believed.

    Raises:
        TypeError: the model is no ConditionalDiffusion.
        ValueError: it was trained on several observations at a time, or on a sequence; an unknown
            method; a latent prior that is not N(0, I) beyond 4 dimensions (see `NoisedPrior`).

    Source: Geffner, Papamakarios & Mnih (2023), arXiv 2209.14249, section 3 (the composition, and
    "naive"); Linhart et al. (2024), arXiv 2404.07593, section 3 ("gauss" and "jacobian").

    Example:
        >>> from diffsbi_edu import fit, problems
        >>> model = ConditionalDiffusion(
        ...     problems.Gaussian2D(n_obs=1), width=32, depth=1, device="cpu", seed=0
        ... )
        >>> _ = fit(model, steps=20, seed=0, progress=False)
        >>> theta, x = model.problem.sample(1, seed=1, n_obs=10, device="cpu")
        >>> Compositional(model).sample(x[0], 5, seed=2).shape
        torch.Size([5, 2])
    """

    def __init__(
        self, model: ConditionalDiffusion, *, method: str = "gauss", narrowest: float = NARROWEST
    ) -> None:
        if not isinstance(model, ConditionalDiffusion):
            raise TypeError(
                f"model must be a ConditionalDiffusion, whose score can be composed, got "
                f"{type(model)}."
            )
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        if not 0 < narrowest < 1:
            raise ValueError(f"narrowest must be between 0 and 1, got {narrowest}.")
        _check_one_at_a_time(model.problem)
        self.model = model
        self.method = method
        self.narrowest = float(narrowest)
        model._ensure_units()
        self._prior = NoisedPrior(model.problem, model.to_latent)

    @property
    def problem(self) -> Problem:
        """The problem that the model was trained on."""
        return self.model.problem

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    def sample(
        self,
        x_obs: torch.Tensor,
        n: int,
        *,
        seed: Seed = None,
        sampler: str = "dpm_solver_2m",
        steps: int = 28,
        schedule: NoiseSchedule | str | None = None,
    ) -> torch.Tensor:
        """Posterior draws: (n, D) for x_obs (N, F), (n, B, D) for x_obs (B, N, F); any N.

        Takes N times as long as the model's own `sample`; memory does not grow with N. The order of
        the observations makes no difference beyond rounding.

        Args:
            x_obs: observed data, in the user's units.
            n: number of draws for each data set.
            seed: int, generator on the model's device, or None.
            sampler, steps, schedule: as in `ConditionalDiffusion.sample`.

        Raises:
            TypeError, ValueError: a bad x_obs (also N = 0), n < 1, steps < 1, unknown sampler or
                schedule.
        """
        if n < 1:
            raise ValueError(f"n, the number of posterior samples, must be at least 1, got {n}.")
        get_sampler(sampler)
        chosen = self.model.schedule if schedule is None else as_schedule(schedule)
        grid = chosen.solver_grid(steps)
        x, batched = as_observation(x_obs, self.model.features, self.device)
        generator = make_generator(seed, self.device)
        draws = []
        with torch.no_grad():
            # N precisions are added up: their solver's error had better be a quarter of ours.
            composed = self._composed(x, chosen.solver_grid(2 * steps))
            for first, end in spans(n, max(1, composed_denoiser.ROWS_AT_ONCE // len(x))):
                shape = (end - first, len(x), self.model.latent_dim)
                *_, last = reverse_process(
                    composed, grid.to(self.device), shape, sampler=sampler, generator=generator
                )
                draws.append(self.model.to_latent.inverse(last.y))
        theta = torch.cat(draws)
        return theta if batched else theta[:, 0]

    def denoise(
        self, y: torch.Tensor, ratio: torch.Tensor | float, x_obs: torch.Tensor
    ) -> torch.Tensor:
        """The composed E[z | y, x_1 … x_N] at y = z_noisy/alpha (..., Dz), x_obs (N, F), one r."""
        x, _ = as_observation(x_obs, self.model.features, self.device)
        if len(x) != 1:
            raise ValueError(f"denoise is for one data set x_obs (N, F), got {tuple(x.shape)}.")
        with torch.no_grad():
            y = y.to(self.device)
            guess = self._composed(x, self.model.schedule.solver_grid(56))(
                y.reshape(-1, 1, y.shape[-1]), torch.as_tensor(ratio).to(y)
            )
        return guess.reshape(y.shape)

    def _composed(self, x: torch.Tensor, grid: torch.Tensor) -> ComposedDenoiser:
        batch, n_obs, features = x.shape
        # One row for each observation: to the model each is a data set of its own.
        s = self.model.summarise(x.reshape(-1, 1, features)).reshape(batch, n_obs, -1)
        return ComposedDenoiser(
            self.model.denoiser,
            s,
            self._prior,
            reach=self.model.to_latent.reach,
            method=self.method,
            narrowest=self.narrowest,
            grid=grid,
        )


def _check_one_at_a_time(problem: Any) -> None:
    """Raise ValueError unless a model of this problem knows data sets of one observation."""
    n_obs = problem.n_obs
    if n_obs is None:
        _, x = problem.sample(1, seed=0, device="cpu")
        n_obs = x.shape[1]
    lowest = n_obs[0] if isinstance(n_obs, tuple) else n_obs
    if lowest != 1:
        raise ValueError(
            f"the model was trained on data sets of {n_obs} observations, and composing needs one "
            "of single observations: train it on the same problem with n_obs = 1."
        )
    if problem.data_kind == "sequence":
        raise ValueError(
            f"the data of {problem.name!r} are a sequence, whose steps depend on one another; only "
            "independent observations can be composed."
        )
