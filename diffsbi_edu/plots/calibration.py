"""Figures of calibration: ranks, coverage, contraction, predictive checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats

from diffsbi_edu.plots.base import (
    EXACT,
    LEARNED,
    PRIOR,
    SERIES,
    SMALL,
    TRUTH,
    axis_names,
    in_figure,
    rows,
)

Band = tuple[torch.Tensor, torch.Tensor]


def ecdf_difference(
    uniform: torch.Tensor,
    gaps: torch.Tensor,
    band: Band | None = None,
    *,
    names: Sequence[str] = (),
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """ECDF of ranks minus what it should be, one line for each parameter, in a grey band.

    Args:
        uniform: (K,), the distribution function of exact ranks.
        gaps: (K, D), ECDF minus `uniform`.
        band: (low, high), (K,) each, relative to `uniform`.
        names: of the D parameters.
        title: of the panel.
        figure: an earlier such figure to draw upon.

    Raises:
        TypeError, ValueError: not finite tensors of matching lengths.

    Example:
        >>> u = torch.linspace(0.1, 1, 10)
        >>> ecdf_difference(u, torch.zeros(10, 2)).axes[0].get_xlabel()
        'rank of the truth, as a share'
    """
    values = rows("gaps", gaps)
    grid = rows("uniform", uniform, 1)[:, 0]
    if len(values) != len(grid):
        raise ValueError(f"gaps and uniform differ in length: {len(values)} and {len(grid)}.")
    names = axis_names(names, values.shape[1])
    figure, (ax,) = in_figure(figure, 1, 5.2, 3.2)
    if band is not None:
        low, high = (rows("band", end, 1)[:, 0] for end in band)
        ax.fill_between(grid, low, high, color=PRIOR, alpha=0.25, lw=0, label="95 % of exact ones")
    ax.axhline(0, color=TRUTH, linewidth=0.8)
    for i, name in enumerate(names):
        ax.plot(grid, values[:, i], color=SERIES[i % len(SERIES)], label=name)
    _finish(ax, "rank of the truth, as a share", "share of the truths, minus expected", title)
    return figure


def rank_histogram(
    ranks: torch.Tensor,
    n_samples: int,
    *,
    bins: int = 20,
    names: Sequence[str] = (),
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Histograms of ranks on 0 … n_samples, one panel for each parameter.

    The grey band holds a bar of an exact posterior 99 % of the time, bar by bar.

    Args:
        ranks: (n, D).
        n_samples: the largest possible rank.
        bins: of equal numbers of ranks, as nearly as they divide.
        names: of the parameters.
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        TypeError, ValueError: ranks outside 0 … n_samples, or not (n, D).

    Example:
        >>> len(rank_histogram(torch.randint(0, 10, (50, 2)).float(), 9).axes)
        2
    """
    values = rows("ranks", ranks.float())
    if values.min() < 0 or values.max() > n_samples:
        raise ValueError(f"ranks must lie in 0 … {n_samples}.")
    names = axis_names(names, values.shape[1])
    bins = min(bins, n_samples + 1)
    edges = np.round(np.linspace(0, n_samples + 1, bins + 1))
    expected = len(values) * np.diff(edges) / (n_samples + 1)
    share = np.diff(edges) / (n_samples + 1)
    low, high = (stats.binom.ppf(tail, len(values), share) for tail in (0.005, 0.995))
    dim = values.shape[1]
    figure, axes = in_figure(figure, dim, max(2.2 * dim, 3.0), 2.4)
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        counts, _ = np.histogram(values[:, i], edges)
        ax.stairs(
            high / expected, edges, baseline=low / expected, color=PRIOR, alpha=0.3, fill=True
        )
        ax.stairs(counts / expected, edges, color=LEARNED)
        ax.axhline(1, color=TRUTH, linewidth=0.8)
        ax.set_ylim(0, max(2.0, 1.1 * float((counts / expected).max())))
        _finish(ax, f"rank of {name}", "relative to uniform" if i == 0 else "", legend=False)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def coverage(
    nominal: torch.Tensor,
    empirical: torch.Tensor | Mapping[str, torch.Tensor],
    band: Band | None = None,
    *,
    about_diagonal: bool = False,
    xlabel: str = "credibility of the region",
    ylabel: str = "share of the truths inside",
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Empirical against nominal coverage; the diagonal is perfect.

    Args:
        nominal: (K,), from 0 to 1.
        empirical: (K,), or name → (K,).
        band: (low, high), (K,) each: of the curve, or of exact posteriors.
        about_diagonal: whether the band is that of exact posteriors.
        xlabel, ylabel, title: of the panel.
        figure: an earlier such figure to draw upon.

    Raises:
        TypeError, ValueError: not finite tensors of equal length.

    Example:
        >>> grid = torch.linspace(0, 1, 5)
        >>> coverage(grid, grid**2).axes[0].get_ylabel()
        'share of the truths inside'
    """
    series = empirical if isinstance(empirical, Mapping) else {"model": empirical}
    grid = rows("nominal", nominal, 1)[:, 0]
    lines = {name: rows(name, curve, 1)[:, 0] for name, curve in series.items()}
    if any(len(line) != len(grid) for line in lines.values()):
        raise ValueError(f"each curve must have {len(grid)} points, as many as nominal.")
    figure, (ax,) = in_figure(figure, 1, 3.9, 3.6)
    if band is not None:
        low, high = (rows("band", end, 1)[:, 0] for end in band)
        shade, label = (PRIOR, "95 % of exact ones") if about_diagonal else (LEARNED, "95 % band")
        ax.fill_between(grid, low, high, color=shade, alpha=0.25, lw=0, label=label)
    ax.plot([0, 1], [0, 1], color=TRUTH, linewidth=0.8)
    for i, (name, line) in enumerate(lines.items()):
        ax.plot(grid, line, color=SERIES[i % len(SERIES)], label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    _finish(ax, xlabel, ylabel, title)
    return figure


def contraction(
    shares: torch.Tensor,
    z_scores: torch.Tensor,
    *,
    names: Sequence[str] = (),
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Posterior z-score against contraction, a dot for each data set, a panel for each parameter.

    Args:
        shares: 1 − posterior variance/prior variance, (n, D).
        z_scores: (n, D).
        names: of the parameters.
        title: of the figure.
        figure: an earlier figure of D panels to draw upon.

    Raises:
        TypeError, ValueError: not finite tensors of one shape.

    Example:
        >>> len(contraction(torch.rand(30, 2), torch.randn(30, 2)).axes)
        2
    """
    across, up = rows("shares", shares), rows("z_scores", z_scores)
    if across.shape != up.shape:
        raise ValueError(f"shares and z_scores differ in shape: {across.shape}, {up.shape}.")
    names = axis_names(names, across.shape[1])
    figure, axes = in_figure(figure, len(names), max(2.6 * len(names), 3.4), 2.6)
    left = min(-0.1, float(np.quantile(across, 0.005)))
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        alpha = float(np.clip(150 / len(across), 0.1, 0.6))
        ax.plot(across[:, i], up[:, i], "o", ms=3, mec="none", alpha=alpha, color=LEARNED)
        for height in (-2, 2):
            ax.axhline(height, color=PRIOR, linestyle="dotted", linewidth=1)
        ax.set(xlim=(left, 1.05), ylim=(-4.5, 4.5))
        ax.set_title(name, fontsize=SMALL + 1)
        _finish(ax, "contraction", "z-score of the posterior mean" if i == 0 else "", legend=False)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def predictive(
    replicated: Mapping[str, torch.Tensor],
    observed: Mapping[str, float],
    *,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Histograms of statistics of replicated data, and a line at the observed values.

    Args:
        replicated: name → (n,).
        observed: name → the value for the data.
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        TypeError, ValueError: nothing to draw, or not finite.

    Example:
        >>> len(predictive({"mean": torch.randn(50)}, {"mean": 0.1}).axes)
        1
    """
    if not replicated or replicated.keys() != observed.keys():
        raise ValueError("needs at least one statistic, the same ones replicated and observed.")
    figure, axes = in_figure(figure, len(replicated), max(2.4 * len(replicated), 3.4), 2.4)
    for i, (ax, (name, values)) in enumerate(zip(axes, replicated.items(), strict=True)):
        ax.hist(rows(name, values, 1)[:, 0], 30, color=LEARNED, alpha=0.5, label="replicated")
        ax.axvline(observed[name], color=EXACT, label="observed")
        _finish(ax, name, "data sets" if i == 0 else "", legend=i == 0)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def _finish(ax: Any, xlabel: str, ylabel: str, title: str = "", *, legend: bool = True) -> None:
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel(ylabel, fontsize=SMALL)
    ax.tick_params(labelsize=SMALL - 1)
    if title:
        ax.set_title(title, fontsize=SMALL + 1)
    if legend:
        ax.legend(fontsize=SMALL - 1, frameon=False)
