"""Posterior samples: all pairs of parameters (`corner`), or two of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import corner as corner_package
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffsbi_edu.plots.base import (
    DPI,
    EXACT,
    LEARNED,
    NOISE,
    PRIOR,
    SMALL,
    TRUTH,
    Picture,
    axis_names,
    in_figure,
    limits,
    rows,
)


def corner(
    samples: torch.Tensor,
    exact: torch.Tensor | None = None,
    *,
    prior: torch.Tensor | None = None,
    truth: torch.Tensor | None = None,
    names: Sequence[str] = (),
    title: str = "",
    label: str = "learned",
    color: str = LEARNED,
    figure: Figure | None = None,
) -> Figure:
    """Histograms of every parameter and contours of every pair: learned in blue, exact in orange.

    Contours hold 50 % and 90 % of the draws.

    Args:
        samples: draws (n, D) of the learned posterior.
        exact: draws (m, D) of the exact one.
        prior: draws (k, D) of the prior.
        truth: the theta (D,) that made the data.
        names: axis labels, with units; `problem.theta_names`.
        title, label, color: of the figure, and of `samples` in its legend.
        figure: an earlier corner plot to draw upon.

    Raises:
        TypeError, ValueError: not tensors of n > D rows and equal D, or not finite.

    Example:
        >>> corner(torch.randn(200, 2)).axes[2].get_xlabel()
        'theta 1'
    """
    drawn = rows("samples", samples)
    dim = drawn.shape[1]
    sets: list[tuple[np.ndarray, str, str, str]] = []
    if prior is not None:
        sets.append((rows("prior", prior, dim), PRIOR, "prior", "dotted"))
    sets.append((drawn, color, label, "solid"))
    if exact is not None:
        sets.append((rows("exact", exact, dim), EXACT, "exact", "dashed"))
    for values, _, what, _ in sets:
        if len(values) <= dim:
            raise ValueError(
                f"{what} needs more than {dim} rows for {dim} columns, got {len(values)}."
            )
    point = None if truth is None else rows("truth", truth.reshape(1, -1), dim)
    # Draws of the posterior set the frame; a wide prior may leave it.
    span = limits(*(s for s, _, what, _ in sets if what != "prior"), point)
    size = 2.0 if dim <= 5 else 10.0 / dim
    old = figure is not None and bool(figure.axes)
    if old:
        assert figure is not None
        if len(figure.axes) != dim**2:
            raise ValueError(f"figure is not a corner plot of {dim} parameters.")
        before = [figure.axes[i * (dim + 1)].get_xlim() for i in range(dim)]
        span = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(span, before, strict=True)]
    figure = figure or Picture(figsize=(size * dim + 1.2,) * 2 if dim > 1 else (4.0, 3.2), dpi=DPI)
    names = axis_names(names, dim)
    for values, shade, what, line in sets:
        _overlay(figure, values, span, names, shade, line, points=what == label)
    _finish(figure, dim, span, point)
    _legend(figure, sets, title, old)
    return figure


def _overlay(
    figure: Figure,
    values: np.ndarray,
    span: list[tuple[float, float]],
    names: Sequence[str],
    color: str,
    line: str,
    points: bool,
) -> None:
    """One sample in all panels, by the `corner` package."""
    # With a constant column there is nothing to draw contours of.
    spread = bool((np.ptp(values, axis=0) > 0).all())
    corner_package.corner(
        values,
        bins=40,
        range=span,
        smooth=1.0,
        color=color,
        labels=list(names),
        label_kwargs={"fontsize": SMALL + 1},
        labelpad=-0.06,
        fig=figure,
        quiet=True,
        levels=(0.5, 0.9),
        plot_density=False,
        plot_contours=spread and color != PRIOR,
        plot_datapoints=points or not spread,
        no_fill_contours=True,
        data_kwargs={"alpha": min(0.3, 300 / len(values))},
        contour_kwargs={"linestyles": line, "linewidths": 1.3},
        hist_kwargs={"density": True, "linestyle": line, "linewidth": 1.3},
    )


def _finish(
    figure: Figure, dim: int, span: list[tuple[float, float]], truth: np.ndarray | None
) -> None:
    """Heights that fit all histograms, small ticks, and the true theta as lines."""
    for place, ax in enumerate(figure.axes):
        row, column = divmod(place, dim)
        if column > row:
            continue
        ax.tick_params(labelsize=SMALL - 1)
        if truth is not None:
            ax.axvline(truth[0, column], color=TRUTH, linewidth=0.8)
            if row != column:
                ax.axhline(truth[0, row], color=TRUTH, linewidth=0.8)
        ax.set_xlim(span[column])
        if row == column:
            tops = [patch.get_path().get_extents().y1 for patch in ax.patches]
            ax.set_ylim(0, 1.1 * max(tops))
            if dim == 1:
                ax.set_ylabel("density", fontsize=SMALL + 1)
        else:
            ax.set_ylim(span[row])


def _legend(
    figure: Figure, sets: list[tuple[np.ndarray, str, str, str]], title: str, old: bool
) -> None:
    handles: list[Any] = list(figure.legends[0].legend_handles) if old and figure.legends else []
    while figure.legends:
        figure.legends[0].remove()
    handles += [Line2D([], [], color=c, ls=line, label=what) for _, c, what, line in sets]
    many = len(figure.axes) > 1
    where: dict[str, Any] = {"loc": "upper right", "bbox_to_anchor": (0.95, 0.95)}
    if not many:  # no empty corner: above the panel
        where = {"loc": "lower center", "bbox_to_anchor": (0.55, 0.9), "ncols": len(handles)}
    figure.legend(handles=handles, frameon=False, fontsize=SMALL, **where)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2, y=0.99 if many else 1.03)


def joint(
    theta: torch.Tensor,
    x: torch.Tensor,
    x_obs: torch.Tensor | None = None,
    near: torch.Tensor | None = None,
    *,
    theta_names: Sequence[str] = (),
    x_names: Sequence[str] = (),
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Prior and simulator: theta's first two parameters (left), x's first two features (right).

    Args:
        theta: parameters (B, D), D ≥ 2.
        x: their data (B, N, F) or (B, F), F ≥ 2; of several observations the first is drawn.
        x_obs: observed data (N, F), marked by a cross.
        near: which pairs to highlight, bool (B,): such as those whose x is near x_obs.
        theta_names, x_names: axis labels, with units.
        title: of the figure.
        figure: an earlier figure of two panels to draw upon.

    Raises:
        TypeError, ValueError: not tensors of those shapes, or not finite.
    """
    parameters = rows("theta", theta)
    data = rows("x", x[:, 0] if x.ndim == 3 else x)
    if len(parameters) != len(data) or parameters.shape[1] < 2 or data.shape[1] < 2:
        raise ValueError(
            f"theta and x need equal numbers of rows and at least two columns each, got "
            f"{tuple(theta.shape)} and {tuple(x.shape)}."
        )
    chosen = np.zeros(len(data), bool) if near is None else near.cpu().numpy().astype(bool)
    figure, axes = in_figure(figure, 2, 7.0, 3.5)
    names = [axis_names(theta_names, parameters.shape[1]), axis_names(x_names, data.shape[1], "x")]
    alpha = float(np.clip(1000 / len(data), 0.1, 0.6))
    for ax, values, color, label in zip(
        axes, (parameters, data), (PRIOR, NOISE), names, strict=True
    ):
        ax.plot(*values[~chosen, :2].T, "o", ms=2, mec="none", alpha=alpha, color=color)
        ax.plot(*values[chosen, :2].T, "o", ms=3, mec="none", color=EXACT)
        ax.set_xlabel(label[0], fontsize=SMALL)
        ax.set_ylabel(label[1], fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1)
    axes[0].set_title("parameters theta, drawn from the prior", fontsize=SMALL + 1)
    axes[1].set_title("data x, simulated from each theta", fontsize=SMALL + 1)
    if x_obs is not None:
        axes[1].plot(*rows("x_obs", x_obs)[0, :2], "+", ms=12, mew=2, color=TRUTH)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def scatter_pair(
    samples: torch.Tensor,
    exact: torch.Tensor,
    *,
    dims: tuple[int, int] = (0, 1),
    truth: torch.Tensor | None = None,
    names: Sequence[str] = (),
    title: str = "",
    titles: tuple[str, str] = ("learned", "exact"),
    figure: Figure | None = None,
) -> Figure:
    """Two parameters' draws, learned (left) beside exact (right), on the same axes.

    Args:
        samples: draws (n, D) of the learned posterior, D ≥ 2.
        exact: draws (m, D) of the exact one.
        dims: which two parameters.
        truth: the theta (D,) that made the data.
        names: axis labels of all D parameters, with units.
        title, titles: of the figure and of its panels.
        figure: an earlier figure of two panels to draw upon.

    Raises:
        TypeError, ValueError: not tensors of equal D ≥ 2, or `dims` that do not exist.
    """
    learned = rows("samples", samples)
    known = rows("exact", exact, learned.shape[1])
    i, j = dims
    if not 0 <= i < learned.shape[1] or not 0 <= j < learned.shape[1]:
        raise ValueError(f"dims {dims} do not exist in samples of shape {tuple(samples.shape)}.")
    point = None if truth is None else rows("truth", truth.reshape(1, -1), learned.shape[1])[0]
    names = axis_names(names, learned.shape[1])
    figure, axes = in_figure(figure, 2, 7.0, 3.5)
    span = limits(learned, known, mass=1.0)
    for ax, values, color, name in zip(
        axes, (learned, known), (LEARNED, EXACT), titles, strict=True
    ):
        # Small and faint enough that density shows as darkness.
        alpha = float(np.clip(600 / len(values), 0.08, 0.6))
        ax.plot(values[:, i], values[:, j], "o", ms=2.5, mec="none", alpha=alpha, color=color)
        if point is not None:
            ax.plot(point[i], point[j], "+", ms=12, mew=1.5, color=TRUTH)
        ax.set(xlim=span[i], ylim=span[j])
        ax.set_title(name, fontsize=SMALL + 1)
        ax.set_xlabel(names[i], fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1)
    axes[0].set_ylabel(names[j], fontsize=SMALL)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure
