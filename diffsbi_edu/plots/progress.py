"""How training goes (`loss_curve`), what accuracy costs (`tradeoff`), and plain `curves`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffsbi_edu.plots.base import EXACT, LEARNED, MARKERS, SERIES, SMALL, in_figure, on_axes


def loss_curve(
    losses: Sequence[float],
    grad_norms: Sequence[float] = (),
    *,
    smooth: int = 50,
    label: str = "running mean",
    color: str = LEARNED,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Training loss against step, and beside it the gradient norm if given.

    Args:
        losses: one a step; `history.losses`.
        grad_norms: one a step; `history.grad_norms`.
        smooth: steps of the running mean drawn over the single losses.
        label, color: of the running mean.
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        ValueError: no losses, or another number of gradient norms.
    """
    if len(losses) == 0 or len(grad_norms) not in (0, len(losses)):
        raise ValueError(
            f"needs at least one loss and as many gradient norms (or none), got {len(losses)} and "
            f"{len(grad_norms)}."
        )
    panels = [("training loss (mean squared error)", losses)]
    if len(grad_norms):
        panels.append(("gradient norm, before clipping", grad_norms))
    figure, axes = in_figure(figure, len(panels), 4.0 * len(panels), 2.8)
    for ax, (name, series) in zip(axes, panels, strict=True):
        values = np.asarray(series, dtype=float)
        steps = np.arange(1, len(values) + 1)
        window = max(1, min(smooth, len(values)))
        mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
        ax.plot(steps, values, color=color, alpha=0.2, linewidth=0.6)
        ax.plot(steps[window - 1 :], mean, color=color, linewidth=1.4, label=label)
        if mean.min() > 0 and mean.max() > 5 * mean.min() and values.min() > 0:
            ax.set_yscale("log")
        ax.set_xlabel("training step", fontsize=SMALL)
        ax.set_ylabel(name, fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1, which="both")
    axes[0].legend(fontsize=SMALL - 1, frameon=False)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def tradeoff(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str = "network calls",
    ylabel: str = "C2ST (0.5 is perfect)",
    best: float | None = 0.5,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Error against cost, one line for each method; cost on a logarithmic axis.

    Args:
        series: name → (costs, errors), of equal lengths.
        xlabel, ylabel: axis labels, with units.
        best: the value that no method can beat, drawn as a dotted line; None for none.
        title: of the panel.
        ax: axes to draw on.

    Raises:
        ValueError: nothing to draw, or lengths that differ.

    Example:
        >>> tradeoff({"euler": ([5, 10], [0.9, 0.6])}).axes[0].get_xlabel()
        'network calls'
    """
    if not series or any(len(x) == 0 or len(x) != len(y) for x, y in series.values()):
        raise ValueError("needs at least one series, each of as many costs as errors.")
    figure, ax = on_axes(ax, 5.5, 3.4)
    if best is not None:
        ax.axhline(best, color="black", linestyle="dotted", linewidth=1, label="best possible")
    for i, (name, (x, y)) in enumerate(series.items()):
        color, marker = SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]
        ax.plot(x, y, marker + "-", color=color, label=name, ms=6)
    ticks = sorted({float(v) for x, _ in series.values() for v in x})
    ax.set_xscale("log")
    if len(ticks) <= 12:
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel(ylabel, fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    ax.legend(fontsize=SMALL - 1, frameon=False)
    return figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    exact: tuple[Sequence[float], Sequence[float]] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Lines, one for each name, and the exact answer under them where there is one.

    Args:
        series: name → (x, y), of equal lengths.
        exact: (x, y) of what is known exactly, drawn broad.
        xlabel, ylabel: axis labels, with units.
        title: of the panel.
        ax: axes to draw on.

    Raises:
        ValueError: nothing to draw, or lengths that differ.

    Example:
        >>> curves({"learned": ([0, 1], [0.1, 0.9])}, ylabel="share").axes[0].get_ylabel()
        'share'
    """
    every = [*series.values(), *([] if exact is None else [exact])]
    if not every or any(len(x) == 0 or len(x) != len(y) for x, y in every):
        raise ValueError("needs at least one line, each of as many x as y.")
    figure, ax = on_axes(ax, 5.5, 3.4)
    if exact is not None:
        ax.plot(*exact, color=EXACT, linewidth=4, alpha=0.4, label="exact")
    colours = [LEARNED, *SERIES[3:]]
    for i, (name, (x, y)) in enumerate(series.items()):
        ax.plot(x, y, color=colours[i % len(colours)], linewidth=1.4, label=name)
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel(ylabel, fontsize=SMALL)
    ax.set_title(title, fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    ax.legend(fontsize=SMALL - 1, frameon=False)
    return figure
