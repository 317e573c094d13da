"""A data set, drawn in a way that suits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import (
    NOISE,
    PRIOR,
    SERIES,
    SMALL,
    TRUTH,
    axis_names,
    limits,
    on_axes,
    rows,
)

BARS = 40  # entries of a vector up to which each has a name below its bar
DOTS = 400


def data_set(
    x: torch.Tensor,
    *,
    names: Sequence[str] = (),
    kind: str | None = None,
    among: torch.Tensor | None = None,
    title: str = "data",
    ax: Axes | None = None,
) -> Figure:
    """One data set, drawn in a way that suits it.

    A series becomes lines over time; a vector (N = 1) bars, or a point if it has two entries, or a
    line at its value if it has one; a set of numbers a histogram above a rug, a set of points of
    the plane a scatter, a set of longer vectors a histogram for each feature.

    Args:
        x: data (N, F).
        names: of the features; `problem.x_names`.
        kind: what the order of the observations means; `problem.data_kind`.
        among: other data sets (B, N, F), drawn in grey where x is a single number or point.
        title: of the panel.
        ax: axes to draw on, instead of new ones.

    Raises:
        TypeError: not a tensor.
        ValueError: not (N, F), not finite, or another number of names.

    Example:
        >>> counts = torch.tensor([[3.0, 0.0, 2.0, 5.0]])
        >>> len(data_set(counts).axes[0].patches), data_set(counts.T).axes[0].get_ylabel()
        (4, 'numbers')
    """
    values = rows("x", x)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (N, F), got {tuple(x.shape)}.")
    n, features = values.shape
    names = axis_names(names, features, "x")
    others = None
    if among is not None and n == 1:
        others = rows("among", among.reshape(-1, among.shape[-1]), features)
    figure, ax = on_axes(ax, 3.6, 2.8)
    if kind == "sequence":
        _series(ax, values, names)
    elif features == 2:
        _points(ax, values, names, others)
    elif n > 1:
        _histograms(ax, values, names)
    elif features == 1:
        _one_number(ax, float(values[0, 0]), names[0], others)
    else:
        _bars(ax, values[0], names)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    return cast(Figure, figure)


def _label(ax: Any, xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel(ylabel, fontsize=SMALL)


def _series(ax: Any, values: np.ndarray, names: Sequence[str]) -> None:
    colors = (NOISE, *SERIES[3:], *SERIES[:2])
    for column, name in enumerate(names):
        color = colors[column % len(colors)]
        ax.plot(values[:, column], color=color, lw=0.9, label=name)
    if len(names) > 1:
        ax.legend(fontsize=SMALL - 2, frameon=False, ncols=3, loc="best")
    _label(ax, "time step", names[0] if len(names) == 1 else "")


def _points(ax: Any, values: np.ndarray, names: Sequence[str], others: np.ndarray | None) -> None:
    if others is not None:
        ax.plot(*others[:DOTS].T, ".", ms=3, mec="none", alpha=0.6, color=PRIOR, label="other data")
    few = len(values) < 20
    size, faint = (9, 1.0) if few else (3, 0.5)
    ax.plot(*values.T, "o", ms=size, mec="none", alpha=faint, color=NOISE, label="x")
    if others is None:
        ax.margins(0.4 if few else 0.05)
    _label(ax, names[0], names[1])


def _one_number(ax: Any, value: float, name: str, others: np.ndarray | None) -> None:
    if others is None:
        ax.set(xlim=(value - 3, value + 3), yticks=[])
    else:
        ax.hist(others[:, 0], 30, color=PRIOR, alpha=0.4, density=True, label="other data")
    ax.axvline(value, color=NOISE, lw=2, label="x")
    _label(ax, f"{name} (here {value:.3g})", "" if others is None else "density")


def _histograms(ax: Any, values: np.ndarray, names: Sequence[str]) -> None:
    n = len(values)
    bins = np.linspace(*limits(values.reshape(-1, 1), mass=1.0)[0], min(40, 5 + n // 8))
    if len(names) == 1:
        ax.hist(values[:, 0], bins, color=NOISE, alpha=0.5)
        ax.plot(values[:, 0], np.zeros(n), "|", color=NOISE, ms=7, clip_on=False)
    else:
        for column, name in enumerate(names):
            color = (NOISE, *SERIES[3:], *SERIES[:2])[column % 6]
            ax.hist(values[:, column], bins, histtype="step", color=color, label=name)
        ax.legend(fontsize=SMALL - 2, frameon=False)
    _label(ax, names[0] if len(names) == 1 else "value", "numbers")


def _bars(ax: Any, values: np.ndarray, names: Sequence[str]) -> None:
    places = np.arange(len(values))
    ax.bar(places, values, color=NOISE, width=0.8)
    ax.axhline(0, color=TRUTH, lw=0.6)
    if len(values) <= BARS:
        short = [name if len(values) < 6 else name.split()[-1] for name in names]
        ax.set_xticks(places, short)
    stem = names[0].rsplit(" ", 1)[0]
    _label(ax, "" if len(values) < 6 else "entry", stem if len(values) >= 6 else "")
