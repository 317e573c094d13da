"""A problem in four panels: its data, two parameters, the first by itself, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffsbi_edu.plots.base import (
    EXACT,
    METHODS,
    PRIOR,
    SMALL,
    TRUTH,
    axis_names,
    limits,
    new_figure,
    rows,
)
from diffsbi_edu.plots.calibration import Band, ecdf_difference
from diffsbi_edu.plots.data_sets import data_set

DOTS = 400


@dataclass(frozen=True)
class Ranks:
    """What SBC found, for the panel that shows it.

    Attributes:
        uniform: (K,), the distribution function of exact ranks.
        gaps: method → (K, D), the ECDF of its ranks minus `uniform`.
        band: (low, high), (K,) each, relative to `uniform`.
    """

    uniform: torch.Tensor
    gaps: Mapping[str, torch.Tensor]
    band: Band | None = None


def overview(
    x: torch.Tensor,
    prior: torch.Tensor,
    learned: Mapping[str, torch.Tensor] | None = None,
    exact: torch.Tensor | None = None,
    *,
    truth: torch.Tensor | None = None,
    ranks: Ranks | None = None,
    pair: tuple[int, int] = (0, 1),
    theta_names: Sequence[str] = (),
    x_names: Sequence[str] = (),
    kind: str | None = None,
    among: torch.Tensor | None = None,
    missing: str = "no SBC yet",
    figure: Figure | None = None,
) -> Figure:
    """A problem in four panels: its data, two parameters, the first by itself, and SBC.

    Args:
        x: the data (N, F).
        prior: draws (k, D) of the prior.
        learned: method → draws (n, D) of its posterior; none for an untrained gallery.
        exact: draws (m, D) of the exact posterior, if there is one.
        truth: the theta (D,) that made the data.
        ranks: what SBC found.
        pair: the two parameters on show; of the first also the marginal is drawn, and of both SBC.
        theta_names, x_names: of parameters and features.
        kind, among: see `data_set`.
        missing: what the SBC panel says where there are no ranks.
        figure: an empty figure to draw on.

    Raises:
        TypeError, ValueError: not finite tensors of matching widths, or a `pair` that does not
            exist.

    Example:
        >>> x, prior, draws = torch.zeros(1, 3), torch.randn(50, 2), torch.rand(9, 2)
        >>> figure = overview(x, prior, {"diffusion": draws})
        >>> [ax.get_title() for ax in figure.axes]
        ['data', 'two parameters', 'the first of them', 'SBC: ranks minus uniform']
    """
    grey = rows("prior", prior)
    dim = grey.shape[1]
    i, j = pair
    if not (0 <= i < dim and 0 <= j < dim):
        raise ValueError(f"the pair {pair} does not exist among {dim} parameters.")
    drawn = {name: rows(name, draws, dim) for name, draws in (learned or {}).items()}
    known = None if exact is None else rows("exact", exact, dim)
    point = None if truth is None else rows("truth", truth.reshape(1, -1), dim)[0]
    names = axis_names(theta_names, dim)
    figure = figure or new_figure(9.6, 5.6)
    data, plane, marginal, sbc = cast(Any, figure).subfigures(2, 2, width_ratios=(1.2, 1)).flat
    data_set(x, names=x_names, kind=kind, among=among, ax=data.subplots())
    layers = _layers(grey, drawn, known)
    spans = limits(*([s for s, _, what in layers if what != "prior"] or [grey]), mass=0.99)
    _plane(plane.subplots(), layers, point, (i, j), names, spans)
    _marginal(marginal.subplots(), layers, point, i, names, spans)
    _sbc(sbc, ranks, (i, j), names, missing)
    return figure


def _label(ax: Any, xlabel: str, ylabel: str) -> None:
    ax.set_xlabel(xlabel, fontsize=SMALL)
    ax.set_ylabel(ylabel, fontsize=SMALL)


def _layers(
    prior: np.ndarray, drawn: Mapping[str, np.ndarray], exact: np.ndarray | None
) -> list[tuple[np.ndarray, str, str]]:
    layers = [(prior, PRIOR, "prior")]
    if exact is not None:
        layers.append((exact, EXACT, "exact"))
    for place, (name, draws) in enumerate(drawn.items()):
        layers.append((draws, METHODS[place % len(METHODS)], name))
    return layers


def _plane(
    ax: Any,
    layers: Sequence[tuple[np.ndarray, str, str]],
    point: np.ndarray | None,
    pair: tuple[int, int],
    names: Sequence[str],
    spans: Sequence[tuple[float, float]],
) -> None:
    i, j = pair
    for values, color, name in layers:
        some = values[:DOTS]
        faint = 0.25 if name == "prior" else 0.6
        ax.plot(some[:, i], some[:, j], ".", ms=4, mec="none", alpha=faint, color=color, label=name)
    if point is not None:
        ax.plot(point[i], point[j], "+", ms=11, mew=1.8, color=TRUTH, label="truth")
    ax.set(xlim=spans[i], ylim=spans[j])
    ax.set_title("two parameters", fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    _label(ax, names[i], names[j])


def _marginal(
    ax: Any,
    layers: Sequence[tuple[np.ndarray, str, str]],
    point: np.ndarray | None,
    i: int,
    names: Sequence[str],
    spans: Sequence[tuple[float, float]],
) -> None:
    bins = np.linspace(*spans[i], 36)
    for values, color, name in layers:
        # As shares of all draws, also of those outside the frame.
        heights = np.histogram(values[:, i], bins)[0] / len(values) / np.diff(bins)
        if name == "prior":
            ax.stairs(heights, bins, color=color, fill=True, alpha=0.4, label=name)
        else:
            style = "dashed" if name == "exact" else "solid"
            ax.stairs(heights, bins, color=color, linestyle=style, lw=1.4, label=name)
    if point is not None:
        ax.axvline(point[i], color=TRUTH, lw=0.8, label="truth")
    ax.set_xlim(spans[i])
    ax.set_title("the first of them", fontsize=SMALL + 1)
    ax.tick_params(labelsize=SMALL - 1)
    ax.legend(fontsize=SMALL - 1, frameon=False)
    _label(ax, names[i], "density")


def _sbc(
    part: Any,
    ranks: Ranks | None,
    pair: tuple[int, int],
    names: Sequence[str],
    missing: str,
) -> None:
    """ECDF differences of all methods, the second parameter's dashed."""
    columns = list(dict.fromkeys(pair))
    if ranks is None or not ranks.gaps:
        ax = part.subplots()
        ax.text(0.5, 0.5, missing, ha="center", va="center", fontsize=SMALL, color=PRIOR)
        ax.set(xticks=[], yticks=[])
    else:
        gaps = torch.cat([g[:, columns] for g in ranks.gaps.values()], 1)
        labels = [f"{method}, {names[k]}" for method in ranks.gaps for k in columns]
        ecdf_difference(ranks.uniform, gaps, ranks.band, names=labels, figure=part)
        ax = part.axes[0]
        for place, line in enumerate(ax.lines[-len(labels) :]):
            method, which = divmod(place, len(columns))
            line.set(color=METHODS[method % len(METHODS)], linestyle="--" if which else "-")
        # Colours are the methods', as in the panel beside; only the styles need to be told.
        styles = [
            Line2D([], [], color=TRUTH, lw=1, ls="--" if which else "-", label=names[k])
            for which, k in enumerate(columns)
        ]
        ax.legend(handles=[*ax.collections, *styles], fontsize=SMALL - 1, frameon=False)
        ax.set_ylabel("share, minus expected", fontsize=SMALL)
    ax.set_title("SBC: ranks minus uniform", fontsize=SMALL + 1)
