"""Figures of a statistic beside what it would be if nothing were wrong."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import LEARNED, PRIOR, SMALL, in_figure, rows

BINS = 30


def null_histogram(
    null: torch.Tensor,
    statistic: float,
    *,
    xlabel: str = "statistic",
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """A histogram of a test's statistic under its null hypothesis, and a line where it was found.

    Args:
        null: values under the null (K,).
        statistic: the value found.
        xlabel: what it is.
        title: of the panel.
        figure: an earlier such figure to draw upon.

    Raises:
        TypeError, ValueError: null is not a finite tensor of at least one value.

    Example:
        >>> null_histogram(torch.linspace(0, 1, 20), 1.5, xlabel="MMD²").axes[0].get_xlabel()
        'MMD²'
    """
    values = rows("null", null, 1)[:, 0]
    figure, (ax,) = in_figure(figure, 1, 4.6, 2.8)
    ax.hist(values, bins=BINS, color=PRIOR, alpha=0.7, label="if nothing is wrong")
    ax.axvline(statistic, color=LEARNED, linewidth=2, label="found")
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel("values", fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    ax.legend(fontsize=SMALL - 1, frameon=False)
    return figure


def differences(
    values: torch.Tensor, *, xlabel: str, title: str = "", figure: Figure | None = None
) -> Figure:
    """A histogram of one number for each data set, a line at 0 and one at their mean.

    Args:
        values: (n,), finite.
        xlabel: what they are, with units.
        title: of the panel.
        figure: an earlier such figure to draw upon.

    Raises:
        TypeError, ValueError: values is not a finite tensor of at least one value.

    Example:
        >>> differences(torch.zeros(3), xlabel="log p − log q (nats)").axes[0].get_ylabel()
        'data sets'
    """
    found = rows("values", values, 1)[:, 0]
    figure, (ax,) = in_figure(figure, 1, 4.6, 2.8)
    ax.hist(found, bins=BINS, color=LEARNED, alpha=0.7)
    ax.axvline(0.0, color="black", linestyle="dotted", linewidth=1)
    ax.axvline(float(found.mean()), color=LEARNED, linewidth=2, label=f"mean {found.mean():.3g}")
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel("data sets", fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    ax.legend(fontsize=SMALL - 1, frameon=False)
    return figure
