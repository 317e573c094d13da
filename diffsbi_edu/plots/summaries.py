"""The space of summaries: what a summary network keeps of the data, seen in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import MARKERS, SERIES, SMALL, limits, on_axes, rows


def summary_space(
    s: torch.Tensor,
    colour: torch.Tensor,
    *,
    label: str = "",
    points: Mapping[str, torch.Tensor] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Summaries on their two leading principal components, one dot a data set.

    Coloured by a statistic of the data, they show whether the network has found it: a smooth run of
    colours in one direction means that the statistic can be read off the summary. Frame and colours
    leave 1 % of the data sets at either end to the margin, so that a few extreme ones do not make
    all others a single dot of a single colour.

    Args:
        s: summaries (M, S) of M ≥ 3 data sets, S ≥ 2; `model.summarise(x)`.
        colour: a number (M,) for each data set.
        label: what that number is, with its unit; at the colour bar.
        points: name → summaries (k, S) to mark on top, such as one data set in several orders.
        title: of the panel.
        ax: axes to draw on.

    Raises:
        TypeError: not tensors.
        ValueError: shapes that do not match, fewer than 3 data sets or 2 numbers a summary, or NaN
            or infinite entries.

    Example:
        >>> s = torch.arange(12.0).reshape(4, 3)
        >>> summary_space(s, s[:, 0], label="mean").axes[1].get_ylabel()
        'mean'
    """
    values = rows("s", s)
    if len(values) < 3 or values.shape[1] < 2:
        raise ValueError(
            f"s needs at least 3 data sets and 2 numbers a summary, (M, S), got {tuple(s.shape)}."
        )
    shade = rows("colour", colour, 1)[:, 0]
    if len(shade) != len(values):
        raise ValueError(
            f"colour must have one number for each of the {len(values)} summaries, got "
            f"{len(shade)}."
        )
    marked = {
        name: rows(f"points[{name!r}]", these, values.shape[1])
        for name, these in (points or {}).items()
    }
    centre, axes, shares = principal_axes(values)
    figure, ax = on_axes(ax, 4.4, 3.2)
    flat = (values - centre) @ axes
    low, high = np.quantile(shade, [0.01, 0.99])
    dots = ax.scatter(
        flat[:, 0], flat[:, 1], c=shade, s=7, cmap="viridis", vmin=low, vmax=high, linewidths=0
    )
    bar = figure.colorbar(dots, ax=ax, extend="both")
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL - 1)
    placed = {name: (these - centre) @ axes for name, these in marked.items()}
    for i, (name, these) in enumerate(placed.items()):
        ax.plot(
            *these.T, MARKERS[i % len(MARKERS)], ms=7, mec="black", mew=0.8,
            color=SERIES[(i + 1) % len(SERIES)], label=name,
        )  # fmt: skip
    if marked:
        ax.legend(fontsize=SMALL - 1, frameon=False)
    frame = np.array(limits(flat, mass=0.98)).T  # (2 ends, 2 axes)
    spare = 0.05 * (frame[1] - frame[0])
    for these in placed.values():
        frame[0] = np.minimum(frame[0], these.min(0) - spare)
        frame[1] = np.maximum(frame[1], these.max(0) + spare)
    ax.set_xlim(*frame[:, 0])
    ax.set_ylim(*frame[:, 1])
    ax.set_xlabel(f"first principal component ({shares[0]:.0%})", fontsize=SMALL)
    ax.set_ylabel(f"second principal component ({shares[1]:.0%})", fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    return figure


def principal_axes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (S,), the two directions (S, 2) of largest variance, and their shares of it (2,).

    A direction's sign is arbitrary; here its largest entry is positive, so that a picture drawn
    again does not flip.
    """
    centre = values.mean(0)
    _, sizes, directions = np.linalg.svd(values - centre, full_matrices=False)
    axes = directions[:2].T
    axes = axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    variances = sizes**2
    return centre, axes, variances[:2] / max(float(variances.sum()), np.finfo(float).tiny)
