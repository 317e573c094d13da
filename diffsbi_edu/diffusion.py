"""`ConditionalDiffusion`: a posterior learnt by predicting noise (Chen, Bansal & Scott 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import nn

from diffsbi_edu.denoiser import Denoiser, ResidualNetwork
from diffsbi_edu.encoders.base import whole
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.likelihood import flow_log_prob
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, make_generator, randomness_from
from diffsbi_edu.samplers import SolverStep, get_sampler, reverse_process
from diffsbi_edu.schedules import EDM, NoiseSchedule, as_schedule, from_config
from diffsbi_edu.training_noise import noised

ROWS_AT_ONCE = 2**16  # rows through the network at a time: bounds memory, not results
EXACT_DIVERGENCE_DIM = 16


class ConditionalDiffusion(Estimator):
    """A diffusion model of theta given s(x), trained jointly with the summary network.

    Noise a parameter, z_noisy = alpha·z + sigma·eps, and predict what was added, given the data:

        loss = E_{theta, x, r, eps} ‖ network(z_noisy, r, s(x)) − target(z, eps, r) ‖²

    Its minimiser is E[z | z_noisy, s], which by Tweedie's formula is the score of the noised
    posterior; following that score from noise to r = 0 draws from q(theta | s(x)).

    Args:
        problem: prior and simulator.
        encoder: summary network (B, N, F) → (B, S); None for the data themselves.
        schedule: a `NoiseSchedule` or its name. May be replaced at any time, even during training:
            the network sees only the noise-to-signal ratio.
        prediction: "F" (Karras et al. 2022), "v", "eps" (as in the paper) or "z".
        width, depth: of the residual network.
        sigma_data: sd that the preconditioning assumes of z.
        noise_draws: times that each pair (theta, x) is noised at a step, see `noised`. Its summary
            is computed once: with a slow encoder 8 cost little, and the gradient is less noisy.
        linear_path: a linear path beside the layers, see `ResidualNetwork`: for dozens of
            parameters with nearly normal posteriors, and data without heavy tails.
        zoom: gains at that network's entrance: for posteriors much narrower than the prior.
        device: "auto", "cpu", "cuda", …
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: unknown schedule, prediction or device; see also `Estimator`.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 3 and algorithm 1;
    preconditioning of Karras et al. (2022), arXiv 2206.00364.

    Example:
        >>> from diffsbi_edu import fit, problems
        >>> problem = problems.Gaussian2D()
        >>> model = ConditionalDiffusion(problem, width=32, depth=1, device="cpu", seed=0)
        >>> _ = fit(model, steps=20, seed=0, progress=False)
        >>> theta, x = problem.sample(1, seed=1, device="cpu")
        >>> model.sample(x[0], 5, seed=2).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        problem: Problem,
        encoder: nn.Module | None = None,
        schedule: NoiseSchedule | str | None = None,
        *,
        prediction: str = "F",
        width: int = 128,
        depth: int = 3,
        sigma_data: float = 1.0,
        noise_draws: int = 1,
        linear_path: bool = False,
        zoom: bool = False,
        device: str | torch.device = "auto",
        seed: Seed = None,
    ) -> None:
        whole(noise_draws=noise_draws)
        self.noise_draws = noise_draws
        self._schedule_owner: ConditionalDiffusion | None = None
        super().__init__(problem, encoder, device=device)
        sizes = {"width": width, "depth": depth}
        self._settings: Any = {**sizes, "linear_path": linear_path, "zoom": zoom}
        self.schedule = EDM() if schedule is None else schedule
        with randomness_from(make_generator(seed)):
            network = ResidualNetwork(self.latent_dim, self.summary_dim, **self._settings)
        self.denoiser = Denoiser(network, prediction, sigma_data)
        self.to(self.device).eval()

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule; a training copy always uses its original's."""
        owner = self.__dict__.get("_schedule_owner")
        return owner.schedule if owner is not None else self._schedule

    @schedule.setter
    def schedule(self, schedule: NoiseSchedule | str) -> None:
        self._schedule = as_schedule(schedule)

    def training_copy(self) -> Self:
        twin = super().training_copy()
        twin.__dict__["_schedule_owner"] = self
        return twin

    def settings(self) -> dict[str, Any]:
        return {
            **self._settings,
            "prediction": self.denoiser.prediction,
            "sigma_data": self.denoiser.sigma_data,
            "noise_draws": self.noise_draws,
            "schedule": self.schedule.config(),
        }

    @classmethod
    def from_settings(
        cls, problem: Problem, encoder: nn.Module | None, settings: dict[str, Any], device: Any
    ) -> Self:
        settings = settings | {"schedule": from_config(settings["schedule"])}
        return cls(problem, encoder, device=device, **settings)

    def loss_given(
        self, z: torch.Tensor, s: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Mean squared error of the network's prediction: paper, equation 6.

        Args:
            z: latents (B, Dz) of the parameters, `to_latent(theta)`.
            s: summaries (B, S) of their data.
            generator: of noise levels and noise, on z's device; None for a fresh one.
        """
        if generator is None:
            generator = make_generator(None, z.device)
        z, ratio, eps = noised(z, self.schedule, self.noise_draws, generator)
        out = self.denoiser.output(z + ratio * eps, ratio, s.repeat(self.noise_draws, 1))
        return nn.functional.mse_loss(out, self.denoiser.target(z, eps, ratio))

    def denoise(
        self, y: torch.Tensor, ratio: torch.Tensor | float, x_obs: torch.Tensor
    ) -> torch.Tensor:
        """E[z | y, x_obs] at y = z_noisy/alpha (..., Dz) and noise-to-signal ratio r, one x_obs."""
        x, _ = self.check_observation(x_obs)
        with torch.no_grad():
            y = y.to(self.device)
            guess: torch.Tensor = self.denoiser(y, torch.as_tensor(ratio).to(y), self.summarise(x))
        return guess

    def score(
        self, y: torch.Tensor, ratio: torch.Tensor | float, x_obs: torch.Tensor
    ) -> torch.Tensor:
        """∇ log q(y | x_obs) = (E[z | y] − y) / r² (Tweedie's formula), at y (..., Dz)."""
        return (self.denoise(y, ratio, x_obs) - y.to(self.device)) / torch.as_tensor(ratio) ** 2

    def trajectory(
        self,
        x_obs: torch.Tensor,
        n: int,
        *,
        sampler: str = "dpm_solver_2m",
        steps: int = 28,
        schedule: NoiseSchedule | str | None = None,
        seed: Seed = None,
    ) -> Iterator[SolverStep]:
        """Every step of sampling, in latent space: y (n, B, Dz), B = 1 for a single x_obs.

        ``schedule.scales(step.ratio)`` gives (alpha, sigma); z_noisy is alpha·step.y, and
        ``model.to_latent.inverse(step.y)`` is theta, meaningful as r goes to 0.

        Raises:
            ValueError: n < 1, steps < 1, unknown sampler or schedule, or a bad x_obs.
        """
        if n < 1:
            raise ValueError(f"n, the number of posterior samples, must be at least 1, got {n}.")
        get_sampler(sampler)
        grid = (self.schedule if schedule is None else as_schedule(schedule)).solver_grid(steps)
        x, _ = self.check_observation(x_obs)
        s = self._summary(x)
        generator = make_generator(seed, self.device)

        def denoise(y: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                guess: torch.Tensor = self.denoiser(y, ratio, s)
            # Where a hasty training left the network wild (few batches see the highest noise
            # levels), guesses could feed on one another and overflow. No true one is beyond reach.
            return torch.clamp(guess, -reach, reach)

        reach = self.to_latent.reach
        return reverse_process(
            denoise, grid, (n, len(s), self.latent_dim), sampler=sampler, generator=generator
        )

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
        """Posterior draws: (n, D) for x_obs (N, F), (n, B, D) for x_obs (B, N, F).

        Args:
            x_obs: observed data, in the user's units.
            n: number of draws for each data set.
            seed: int, generator on the model's device, or None.
            sampler: one of `diffsbi_edu.samplers.SAMPLERS`.
            steps: number of noise levels visited.
            schedule: another schedule to sample with (its `grid`, `sigma_min`, `sigma_max`).

        Raises:
            TypeError, ValueError: a bad x_obs, n < 1, steps < 1, unknown sampler or schedule.
        """
        x, batched = self.check_observation(x_obs)
        generator = make_generator(seed, self.device)
        chunk = max(1, ROWS_AT_ONCE // len(x))
        draws = []
        for first in range(0, max(n, 1), chunk):
            # n < 1 goes through, to be refused with the other bad arguments.
            size = min(chunk, n - first)
            *_, last = self.trajectory(
                x, size, sampler=sampler, steps=steps, schedule=schedule, seed=generator
            )
            draws.append(self.to_latent.inverse(last.y))
        theta = torch.cat(draws)
        return theta if batched else theta[:, 0]

    def log_prob(
        self,
        theta: torch.Tensor,
        x_obs: torch.Tensor,
        *,
        steps: int = 32,
        divergence: str = "auto",
        seed: Seed = 0,
    ) -> torch.Tensor:
        """log q(theta | x_obs) by the probability-flow ODE, in nats per unit of theta.

        See `likelihood.flow_log_prob`, plus the change of variables from theta to the latent z.

        Args:
            theta: (..., D) for one x_obs (N, F); (..., B, D) for a batch x_obs (B, N, F).
            x_obs: observed data.
            steps: Runge–Kutta steps (4 network calls and divergences each).
            divergence: "exact" (Dz backward passes), "hutchinson" (one random one, unbiased;
                see there), or "auto": exact up to 16 dimensions.
            seed: of the random divergence.

        Returns:
            Tensor of theta's shape without its last axis; −inf outside the prior's support.

        Raises:
            ValueError: shapes that do not match, steps < 1, or an unknown `divergence`.
        """
        if divergence not in ("auto", "exact", "hutchinson"):
            raise ValueError(
                f"divergence must be 'auto', 'exact' or 'hutchinson', got {divergence!r}."
            )
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}.")
        if divergence == "auto":
            divergence = "exact" if self.latent_dim <= EXACT_DIVERGENCE_DIM else "hutchinson"
        x, batched = self.check_observation(x_obs)
        rows, outside = self.density_rows(theta, x, batched)
        s = self._summary(x)
        chunk = max(1, ROWS_AT_ONCE // (4 * len(x)))
        generator = make_generator(seed, self.device)
        parts = [
            self._log_prob_rows(part, s, steps, divergence == "exact", generator)
            for part in rows.split(chunk)
        ]
        return torch.cat(parts).reshape(outside.shape).masked_fill(outside, -math.inf)

    def _summary(self, x: torch.Tensor) -> torch.Tensor:
        """s (B, S) without gradients; for one data set it broadcasts against any number of rows."""
        with torch.no_grad():
            return self.summarise(x)

    def _log_prob_rows(
        self,
        theta: torch.Tensor,
        s: torch.Tensor,
        steps: int,
        exact: bool,
        generator: torch.Generator,
    ) -> torch.Tensor:
        z = self.to_latent(theta)
        signs = torch.randn(z.shape, generator=generator, device=z.device).sign()
        levels = self.schedule.sigma_min, self.schedule.sigma_max
        probe = None if exact else signs
        log_q = flow_log_prob(
            lambda y, ratio: self.denoiser(y, ratio, s), z, *levels, steps=steps, probe=probe
        )
        return log_q + self.to_latent.log_abs_det(theta)
