"""A posterior known on a grid, and draws laid over it (`landscape`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import EXACT, LEARNED, SERIES, SMALL, axis_names, in_figure, rows

SHADES = LinearSegmentedColormap.from_list("exact", ["white", EXACT])


def landscape(
    axis: torch.Tensor,
    density: torch.Tensor,
    samples: Mapping[str, torch.Tensor] | None = None,
    *,
    level: float | None = None,
    names: Sequence[str] = (),
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """An exact density of two parameters, shaded, and a panel more for each set of draws.

    Args:
        axis: midpoints (n,) of a square grid, the same along both axes.
        density: (n, n), the first axis that of the first parameter.
        samples: name → draws (m, 2), each drawn over the outline of the exact density.
        level: density at which to draw the outline; half of the largest if None.
        names: labels of the two axes.
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        TypeError, ValueError: shapes that do not match, values that are not finite.

    Example:
        >>> axis = torch.linspace(-1, 1, 20)
        >>> density = torch.exp(-4 * (axis[:, None] ** 2 + axis**2))
        >>> len(landscape(axis, density, {"nothing learnt": torch.randn(50, 2)}).axes)
        2
    """
    table = rows("density", density)
    edges = rows("axis", axis, 1)[:, 0]
    if table.shape != (len(edges), len(edges)):
        raise ValueError(
            f"a density on {len(edges)} midpoints has shape ({len(edges)}, {len(edges)}), got "
            f"{tuple(density.shape)}."
        )
    clouds = {name: rows(name, draws, 2) for name, draws in (samples or {}).items()}
    names = axis_names(names, 2)
    figure, axes = in_figure(figure, 1 + len(clouds), 3.4 * (1 + len(clouds)), 3.5)
    height = float(table.max()) / 2 if level is None else level
    half = (edges[1] - edges[0]) / 2
    span = (edges[0] - half, edges[-1] + half)
    axes[0].imshow(
        table.T, origin="lower", extent=(*span, *span), cmap=SHADES, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    for i, (ax, name) in enumerate(zip(axes, ["exact density", *clouds], strict=True)):
        ax.contour(edges, edges, table.T, levels=[height], colors=[EXACT], linewidths=0.8)
        if i:
            cloud = clouds[name]
            alpha = float(np.clip(900 / len(cloud), 0.08, 0.6))
            color = (LEARNED, *SERIES[3:])[(i - 1) % 4]
            ax.plot(*cloud.T, "o", ms=2.2, mec="none", alpha=alpha, color=color)
        ax.set(xlim=span, ylim=span)
        ax.set_title(name, fontsize=SMALL + 1)
        ax.set_xlabel(names[0], fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1)
    axes[0].set_ylabel(names[1], fontsize=SMALL)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure
