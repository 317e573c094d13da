"""Noising and denoising: noisy latents, arrows of the score, paths of samples, schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import (
    EXACT,
    LEARNED,
    NOISE,
    SERIES,
    SMALL,
    axis_names,
    in_figure,
    limits,
    new_figure,
    on_axes,
    rows,
)
from diffsbi_edu.schedules import NoiseSchedule


def marginals(
    z_noisy: torch.Tensor,
    density: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    *,
    names: Sequence[str] = (),
    title: str = "",
    label: str = "noised draws",
    figure: Figure | None = None,
) -> Figure:
    """Histograms of each coordinate of z_noisy, under its exact density where that is known.

    Args:
        z_noisy: noised latents (n, Dz) at one noise level.
        density: ``density(values, i)`` → the exact density of coordinate i at `values` (m,).
        names: axis labels; "z_noisy 1, latent units" and so on if not given.
        title, label: of the figure, and of the histogram in its legend.
        figure: an earlier figure of Dz panels to draw upon.

    Raises:
        TypeError, ValueError: z_noisy is not a finite tensor (n, Dz).
    """
    values = rows("z_noisy", z_noisy)
    dim = values.shape[1]
    names = names or [f"z_noisy {i + 1}, latent units" for i in range(dim)]
    names = axis_names(names, dim)
    figure, axes = in_figure(figure, dim, 3.2 * dim, 2.6)
    for i, (ax, (low, high)) in enumerate(zip(axes, limits(values), strict=True)):
        bins = np.linspace(low, high, 41).tolist()
        ax.hist(values[:, i], bins, density=True, color=NOISE, alpha=0.45, label=label)
        if density is not None:
            grid = torch.linspace(low, high, 200)
            ax.plot(grid, density(grid, i).detach().cpu(), color=EXACT, label="exact")
        ax.set_ylim(0, 1.25 * ax.dataLim.y1)  # room for the legend
        ax.set_xlabel(names[i], fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1)
    axes[0].set_ylabel("density", fontsize=SMALL)
    axes[-1].legend(frameon=False, fontsize=SMALL - 1)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def grid_points(low: float = -3.0, high: float = 3.0, n: int = 12) -> torch.Tensor:
    """Points (n², 2) of a square lattice, to draw `arrows` at.

    Example:
        >>> grid_points(-1, 1, 2).tolist()
        [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    """
    side = torch.linspace(low, high, n)
    return torch.cartesian_prod(side, side)


def arrows(
    points: torch.Tensor,
    learned: torch.Tensor | None = None,
    exact: torch.Tensor | None = None,
    *,
    to_scale: bool = False,
    names: Sequence[str] = ("y 1, latent units", "y 2, latent units"),
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """A vector field in the plane, such as a score: learned in blue over exact in orange.

    Args:
        points: where the arrows start (m, 2).
        learned, exact: the arrows (m, 2); at least one of them.
        to_scale: draw arrows in the axes' own units, so that they end where they point to (as for
            denoise(y) − y); otherwise all are shrunk alike, to fit.
        names: axis labels, with units.
        title: of the panel.
        ax: axes to draw on.

    Raises:
        TypeError, ValueError: no arrows, or shapes other than (m, 2).
    """
    start = rows("points", points, 2)
    fields = [("exact", exact, EXACT, 0.008), ("learned", learned, LEARNED, 0.0035)]
    given = [(name, rows(name, f, 2), c, w) for name, f, c, w in fields if f is not None]
    if not given or any(len(f) != len(start) for _, f, _, _ in given):
        raise ValueError("give learned or exact arrows (or both), one for each point.")
    figure, ax = on_axes(ax, 4.2, 4.2)
    scale: Any = 1.0
    if not to_scale:
        longest = max(float(np.hypot(*f.T).max()) for _, f, _, _ in given)
        scale = longest / (0.1 * max(np.ptp(start, axis=0).max(), 1e-12)) or 1.0
    for name, f, color, width in given:
        ax.quiver(
            *start.T,
            *f.T,
            angles="xy",
            scale_units="xy",
            scale=scale,
            color=color,
            width=width,
            label=name,
        )
    ax.set_aspect("equal")
    ax.set_xlabel(names[0], fontsize=SMALL)
    ax.set_ylabel(names[1], fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    if len(given) > 1:
        ax.legend(fontsize=SMALL - 1, loc="upper right", framealpha=0.9)
    return figure


def trajectories(
    path: torch.Tensor,
    ratios: torch.Tensor | None = None,
    *,
    names: Sequence[str] = (),
    title: str = "",
    color: str = LEARNED,
    ax: Axes | None = None,
) -> Figure:
    """The way of samples from noise to posterior.

    With `ratios`, the first coordinate against the noise-to-signal ratio, noisy on the left;
    without, both coordinates in the plane, from green starts to blue ends.

    Args:
        path: states (T, n, Dz), noisiest first.
        ratios: their noise-to-signal ratios (T,); a last 0 is drawn beside the smallest.
        names: axis labels of the coordinates, with units.
        title, color: of the panel and of its lines.
        ax: axes to draw on.

    Raises:
        TypeError, ValueError: shapes that do not match.
    """
    if not isinstance(path, torch.Tensor) or path.ndim != 3 or len(path) < 2:
        raise ValueError(f"path must be (T, n, Dz) with T ≥ 2, got {getattr(path, 'shape', path)}.")
    rows("path", path.flatten(1))
    states = path.detach().cpu().numpy()
    names = names or [f"z_noisy {i + 1}, latent units" for i in range(states.shape[2])]
    names = axis_names(names, states.shape[2])
    figure, ax = on_axes(ax, 5.0, 3.2)
    faint = {"color": color, "linewidth": 0.8, "alpha": 0.5}
    if ratios is not None:
        level = rows("ratios", ratios, 1)[:, 0]
        if len(level) != len(states):
            raise ValueError(f"{len(states)} states need as many ratios, got {len(level)}.")
        level = np.where(level > 0, level, level[level > 0].min() / 2)
        ax.plot(level, states[:, :, 0], **faint)  # type: ignore[arg-type]
        ax.set_xscale("log")
        ax.set_xlim(level.max(), level.min())
        labels = ["noise-to-signal ratio r, noise → clean", names[0]]
    elif states.shape[2] >= 2:
        ax.plot(states[:, :, 0], states[:, :, 1], **faint)  # type: ignore[arg-type]
        ax.plot(*states[0, :, :2].T, "o", ms=3, mec="none", color=NOISE, label="start: noise")
        ax.plot(*states[-1, :, :2].T, "o", ms=3, mec="none", color=color, label="end: sample")
        ax.legend(fontsize=SMALL - 1, framealpha=0.9)
        labels = list(names[:2])
    else:
        raise ValueError("one-dimensional paths need ratios, for the other axis.")
    ax.set_xlabel(labels[0], fontsize=SMALL)
    ax.set_ylabel(labels[1], fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    return figure


def schedules(
    schedules: NoiseSchedule | Mapping[str, NoiseSchedule],
    *,
    steps: int = 20,
    figure: Figure | None = None,
) -> Figure:
    """Four panels: alpha and sigma against t, log-SNR, the training density, the solver's grid.

    Args:
        schedules: one, or several by name.
        steps: of the solver's grid.
        figure: an earlier figure of these panels to draw upon.

    Raises:
        TypeError: not a schedule.
    """
    if isinstance(schedules, NoiseSchedule):
        schedules = {type(schedules).__name__: schedules}
    if not schedules or not all(isinstance(s, NoiseSchedule) for s in schedules.values()):
        raise TypeError(f"schedules must be a NoiseSchedule or a dict of them, got {schedules!r}.")
    if figure is None or not figure.axes:
        figure = new_figure(8.0, 5.2) if figure is None else figure
        figure.subplots(2, 2)
    scales, snr, training, grid = figure.axes
    for color, (name, schedule) in zip(SERIES * 9, schedules.items(), strict=False):
        t = torch.linspace(*schedule.time_limits(), 300, dtype=torch.float64)
        scales.plot(t, schedule.alpha(t), color=color, label=name)
        scales.plot(t, schedule.sigma(t), color=color, linestyle="dashed")
        snr.plot(t, schedule.log_snr(t), color=color, label=name)
        log_r = torch.linspace(-8, 5, 500, dtype=torch.float64)
        training.plot(log_r, schedule.training_density(log_r), color=color, label=name)
        ratios = schedule.solver_grid(steps)[:-1]
        grid.plot(range(steps), ratios, ".-", color=color, label=name, linewidth=0.8)
    scales.set(yscale="log", ylim=(1e-3, None), xlabel="time t", ylabel="scale, latent units")
    scales.set_title("signal alpha (solid), noise sigma (dashed)", fontsize=SMALL + 1)
    snr.set(xlabel="time t", ylabel="log-SNR = −2 ln r, nats")
    snr.set_title("what counts: signal-to-noise", fontsize=SMALL + 1)
    training.set(xlabel="ln r  (r = sigma/alpha)", ylabel="density", ylim=(0, None))
    training.set_title("noise levels trained on", fontsize=SMALL + 1)
    grid.set(yscale="log", xlabel="solver step", ylabel="r, latent units")
    grid.set_title("noise levels a sampler visits", fontsize=SMALL + 1)
    for panel in figure.axes:
        panel.xaxis.label.set_fontsize(SMALL)
        panel.yaxis.label.set_fontsize(SMALL)
        panel.tick_params(labelsize=SMALL - 1)
    grid.legend(fontsize=SMALL - 1, frameon=False)
    return figure
