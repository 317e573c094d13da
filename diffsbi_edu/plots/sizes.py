"""Figures of one model at many sample sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import EXACT, LEARNED, PRIOR, SMALL, axis_names, in_figure, rows


def posterior_width_by_size(
    sizes: Sequence[int],
    learned: torch.Tensor,
    exact: torch.Tensor | None = None,
    *,
    trained: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    label: str = "learned",
    color: str = LEARNED,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Posterior sd against the number of observations, both logarithmic, a panel a parameter.

    The dashed line falls as 1/√N, through the exact (else the learned) sd at the largest N.

    Args:
        sizes: numbers of observations (K,).
        learned: posterior sds (K, D), drawn as points; one that is 0 has no place and is left out.
        exact: the exact posterior's (K, D), drawn as a line.
        trained: (smallest, largest) N trained on, shaded.
        names: of the parameters.
        label: of the points in the legend.
        color: of the points; another one for a second model in the same figure.
        title: of the figure.
        figure: an earlier figure of D panels to draw upon; what is given here is added.

    Raises:
        TypeError: not tensors.
        ValueError: sizes below 1, shapes that do not match, or NaN or infinite entries.

    Example:
        >>> sd = torch.tensor([[1.0], [0.3]])
        >>> posterior_width_by_size([1, 10], sd, sd, trained=(1, 5)).axes[0].get_xscale()
        'log'
    """
    heights = rows("learned", learned)
    line = None if exact is None else rows("exact", exact)
    across = np.asarray(sizes, dtype=float)
    if across.ndim != 1 or len(across) != len(heights) or (across < 1).any():
        raise ValueError(f"{len(heights)} rows need as many sizes of at least 1, got {sizes!r}.")
    if line is not None and line.shape != heights.shape:
        raise ValueError(f"learned and exact differ in shape: {heights.shape}, {line.shape}.")
    names = axis_names(names, heights.shape[1])
    figure, axes = in_figure(figure, len(names), max(2.9 * len(names), 3.6), 2.8)
    last = int(across.argmax())
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        if trained is not None:
            # A single size gets a band as wide as a marker.
            low, high = trained[0] / 1.08, trained[1] * 1.08
            ax.axvspan(low, high, color=PRIOR, alpha=0.2, lw=0, label="trained on")
        anchor = float((heights if line is None else line)[last, i])
        if anchor > 0:
            root = anchor * np.sqrt(across[last] / across)
            ax.plot(across, root, color="black", linestyle="dashed", linewidth=0.9, label="1/√N")
        if line is not None:
            ax.plot(across, line[:, i], color=EXACT, linewidth=1.5, label="exact")
        seen = heights[:, i] > 0
        ax.plot(across[seen], heights[seen, i], "o", ms=4.5, color=color, label=label)
        ax.set(xscale="log", yscale="log")
        ax.set_title(name, fontsize=SMALL + 1)
        ax.set_xlabel("observations N", fontsize=SMALL)
        ax.set_ylabel("posterior sd" if i == 0 else "", fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1, which="both")
    axes[0].legend(fontsize=SMALL - 1, frameon=False)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure
