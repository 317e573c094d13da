"""The pictures of `ScheduleExplorer`: a schedule's curves, and the reverse process it drives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes

from diffsbi_edu.problems import Problem
from diffsbi_edu.samplers import SolverStep, reverse_process
from diffsbi_edu.schedules import NoiseSchedule
from diffsbi_edu.transforms import ToLatent
from diffsbi_edu.widgets.canvas import EXACT, GREY, LEARNED, SMALL, Canvas
from diffsbi_edu.widgets.exact import Target

PARTICLES, TRAILS, SIDE = 300, 25, 11


@dataclass(frozen=True, eq=False)
class Process:
    """A reverse process solved once, so that scrubbing it costs only drawing.

    Args:
        schedule: its clock and units.
        target: the exact posterior that it leads to.
        steps: every state of the solver, the first one pure noise.
    """

    schedule: NoiseSchedule
    target: Target
    steps: list[SolverStep]

    @classmethod
    def solve(
        cls, schedule: NoiseSchedule, target: Target, sampler: str, steps: int
    ) -> Process | None:
        """Run a sampler on the ideal denoiser; None where the exact posterior is unknown."""
        if target.denoiser is None:
            return None
        states = reverse_process(
            target.denoiser, schedule.solver_grid(steps), (PARTICLES, len(target.z_mean)),
            sampler=sampler, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        return cls(schedule, target, list(states))

    def level(self, index: int) -> tuple[float, float, float]:
        """(r, alpha, sigma) at a step of the solver."""
        ratio = self.steps[index].ratio
        alpha, sigma = self.schedule.scales(ratio)
        return float(ratio), float(alpha), float(sigma)


class SchedulePicture:
    """alpha and sigma, log-SNR, and the noise levels of training and of the solver.

    Example:
        >>> from diffsbi_edu.schedules import EDM
        >>> picture = SchedulePicture()
        >>> picture.show(EDM(), steps=20, ratio=1.0)
        >>> picture.canvas.image().size
        (960, 230)
    """

    def __init__(self) -> None:
        self.canvas = Canvas((9.6, 2.3))
        self._axes: list[Axes] = list(self.canvas.figure.subplots(1, 3))
        self._marks = [self.canvas.moving(axes.axvline(0, color=GREY, lw=1)) for axes in self._axes]
        self._shown: tuple[NoiseSchedule, int] | None = None

    def show(self, schedule: NoiseSchedule, steps: int, ratio: float) -> None:
        """Put a schedule and its solver grid of `steps` on the canvas; mark the noise level r."""
        if self._shown != (schedule, steps):
            self._shown = (schedule, steps)
            self._show_schedule(schedule, schedule.solver_grid(steps)[:-1])
            self.canvas.still_changed()
        # The solver ends at r = 0, where log-SNR is infinite: mark the lowest level instead.
        level = torch.tensor(max(ratio, schedule.sigma_min))
        time = float(schedule.time(level))
        for mark, value in zip(self._marks, (time, time, float(level.log()))):
            mark.set_xdata([value, value])

    def _show_schedule(self, schedule: NoiseSchedule, grid: torch.Tensor) -> None:
        scales, snr, levels = self._axes
        for axes, mark in zip(self._axes, self._marks):
            for artist in [*axes.lines, *axes.collections]:
                if artist is not mark:
                    artist.remove()
            axes.tick_params(labelsize=SMALL - 1, length=2)
        first, last = schedule.time_limits()
        t = torch.linspace(first, last, 200, dtype=torch.float64)
        times = schedule.time(grid)
        alpha, sigma = schedule.scales(schedule.ratio(t))
        scales.plot(t, alpha, color=LEARNED, label="alpha (signal)")
        scales.plot(t, sigma, color=EXACT, label="sigma (noise)")
        scales.set_yscale("log" if float(sigma.max()) > 2 else "linear")
        snr.plot(t, schedule.log_snr(t), color=GREY)
        snr.plot(times, schedule.log_snr(times), ".", color=LEARNED, ms=5, label="solver's levels")
        low, high = math.log(schedule.sigma_min), math.log(schedule.sigma_max)
        log_ratio = torch.linspace(low - 1, high + 1, 300, dtype=torch.float64)
        density = schedule.training_density(log_ratio)
        levels.fill_between(log_ratio, density, color=GREY, alpha=0.3, lw=0, label="trained on")
        top = float(density.max())
        levels.vlines(grid.log(), 0, 0.15 * top, color=LEARNED, lw=0.8, label="solver's levels")
        levels.set_ylim(0, 1.15 * top)
        for axes, title, x in (
            (scales, "alpha and sigma", "time t"),
            (snr, "log-SNR = −2 ln r", "time t"),
            (levels, "noise levels", "ln r, r = sigma/alpha"),
        ):
            axes.relim(visible_only=True)
            axes.autoscale_view(scaley=axes is not levels)
            axes.set_title(title, fontsize=SMALL + 1)
            axes.set_xlabel(x, fontsize=SMALL)
            axes.legend(fontsize=SMALL - 1, frameon=False)
        for axes in (scales, snr):
            axes.set_xlim(first, last)
        levels.set_xlim(low - 1, high + 1)


class ProcessPicture:
    """Noised exact posterior and its score; particles on their way; what they stand for.

    Args:
        problem: names the parameters.
        to_latent: theta ↔ z.
    """

    def __init__(self, problem: Problem, to_latent: ToLatent) -> None:
        self.canvas = Canvas((9.6, 3.0))
        self._names, self._to_latent = problem.theta_names, to_latent
        self._axes: list[Axes] = list(self.canvas.figure.subplots(1, 3))

    def show(self, process: Process, index: int) -> None:
        """Put step `index` of a process on the canvas."""
        noisy, particles, guesses = self._axes
        for axes in self._axes:
            axes.clear()
            axes.tick_params(labelsize=SMALL - 1, length=2)
        ratio, alpha, sigma = process.level(index)
        limits = self._show_noisy(noisy, process, ratio, alpha)
        self._show_particles(particles, process, index, alpha)
        for axes in (noisy, particles):
            axes.set_xlim(*limits[0])
            axes.set_ylim(*limits[1])
            axes.set_xlabel("z_noisy 1", fontsize=SMALL)
        noisy.set_ylabel("z_noisy 2", fontsize=SMALL)
        noisy.set_title(f"exact p(z_noisy | x), score: r = {ratio:.3g}", fontsize=SMALL + 1)
        particles.set_title(
            f"particles: alpha = {alpha:.2g}, sigma = {sigma:.2g}", fontsize=SMALL + 1
        )
        self._show_guesses(guesses, process, index)
        self.canvas.still_changed()

    def _show_noisy(
        self, axes: Axes, process: Process, ratio: float, alpha: float
    ) -> tuple[tuple[float, float], ...]:
        target = process.target
        clean = self._latent(target)
        eps = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
        self._cloud = cloud = alpha * (clean + ratio * eps)
        axes.plot(cloud[:, 0], cloud[:, 1], ".", color=EXACT, ms=3, alpha=0.35, mew=0)
        middle, reach = alpha * target.z_mean, 2.4 * alpha * (target.z_sd**2 + ratio**2).sqrt()
        # At r = 0 the score does not exist; show the last one that does.
        level = max(ratio, process.schedule.sigma_min)
        points = target.grid(level, SIDE)
        arrows = target.displacement(points, level)
        if arrows is not None:
            longest = max(float(arrows.norm(dim=1).max()), 1e-9)
            cell = float(4 * (target.z_sd**2 + level**2).sqrt().max()) / SIDE
            at, towards = alpha * points, alpha * arrows * (1.6 * cell / longest)
            axes.quiver(
                at[:, 0], at[:, 1], towards[:, 0], towards[:, 1], color="black", width=0.004,
                angles="xy", scale_units="xy", scale=1, pivot="mid",
            )  # fmt: skip
        return tuple((float(m - h), float(m + h)) for m, h in zip(middle, reach))

    def _show_particles(self, axes: Axes, process: Process, index: int, alpha: float) -> None:
        axes.plot(self._cloud[:, 0], self._cloud[:, 1], ".", color=EXACT, ms=3, alpha=0.15, mew=0)
        # Trails in today's units, alpha·y: those in which straight lines stay straight.
        path = alpha * torch.stack([step.y[:TRAILS] for step in process.steps[: index + 1]])
        axes.plot(path[..., 0], path[..., 1], color=GREY, lw=0.6, alpha=0.6)
        now = alpha * process.steps[index].y
        axes.plot(now[:, 0], now[:, 1], ".", color=LEARNED, ms=4, alpha=0.8, mew=0)

    def _show_guesses(self, axes: Axes, process: Process, index: int) -> None:
        exact = process.target.theta
        assert exact is not None
        with torch.no_grad():
            theta = self._to_latent.inverse(process.steps[index].z_hat)
        axes.plot(exact[:, 0], exact[:, 1], ".", color=EXACT, ms=3, alpha=0.25, mew=0)
        axes.plot(theta[:, 0], theta[:, 1], ".", color=LEARNED, ms=4, alpha=0.8, mew=0)
        low, high = np.quantile(exact, [0.002, 0.998], axis=0)
        margin = 0.2 * np.maximum(high - low, 1e-9)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.set_title("their guesses E[z | z_noisy], as theta", fontsize=SMALL + 1)
        axes.set_xlabel(self._names[0], fontsize=SMALL)
        axes.set_ylabel(self._names[1], fontsize=SMALL)

    def _latent(self, target: Target) -> torch.Tensor:
        assert target.theta is not None
        with torch.no_grad():
            z: torch.Tensor = self._to_latent(target.theta)
        return z
