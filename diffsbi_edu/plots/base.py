"""What all figures share: colours, a figure that shows itself, and checks of what is drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette, told apart by every kind of colour vision, and by lightness in grey.
LEARNED = "#0072B2"  # blue: what the network learnt
EXACT = "#D55E00"  # vermilion: what is known exactly
PRIOR = "#8C8C8C"  # grey: the prior, before any data
NOISE = "#009E73"  # green: noised things, and the data
TRUTH = "#000000"  # black: the theta behind the data
SERIES = (LEARNED, EXACT, NOISE, "#CC79A7", "#E69F00", "#56B4E9")  # things of equal standing
METHODS = (LEARNED, "#CC79A7", NOISE, "#E69F00", "#56B4E9")  # of them, ways to learn a posterior
MARKERS = "os^Dv*"

DPI = 80
SMALL = 9


class Picture(Figure):
    """A matplotlib `Figure` that a notebook shows without pyplot, from any thread."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
        # 256 colours are enough for a figure, and make a page of them a third as large.
        small = io.BytesIO()
        Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
            small, format="png", optimize=True
        )
        return small.getvalue()


def new_figure(width: float, height: float) -> Picture:
    """An empty figure, its size in inches."""
    return Picture(figsize=(width, height), dpi=DPI, layout="constrained")


def on_axes(ax: Axes | None, width: float = 5.0, height: float = 3.5) -> tuple[Any, Axes]:
    """(figure, axes): those given, or new ones."""
    if ax is None:
        figure = new_figure(width, height)
        return figure, figure.subplots()
    return ax.figure.figure, ax


def in_figure(
    figure: Figure | None, panels: int, width: float, height: float
) -> tuple[Any, list[Axes]]:
    """(figure, its panels in a row): those of the figure given, or new ones.

    Raises:
        ValueError: the figure has another number of panels.
    """
    if figure is None or not figure.axes:
        figure = new_figure(width, height) if figure is None else figure
        axes = figure.subplots(1, panels, squeeze=False)
        return figure, list(axes[0])
    if len(figure.axes) != panels:
        raise ValueError(
            f"this figure needs {panels} panels, the one given has {len(figure.axes)}."
        )
    return figure, list(figure.axes)


def rows(what: str, values: torch.Tensor, columns: int | None = None) -> np.ndarray:
    """`values` (n, D) as float64 NumPy; a vector (n,) counts as one column.

    Raises:
        TypeError: not a tensor.
        ValueError: another shape, no rows, or NaN or infinite entries.
    """
    if not isinstance(values, torch.Tensor):
        raise TypeError(f"{what} must be a torch tensor, got {type(values)}.")
    array = values.detach().cpu().double().numpy()
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0 or columns not in (None, array.shape[1]):
        raise ValueError(
            f"{what} must have shape (n, {columns or 'D'}), got {tuple(values.shape)}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{what} has NaN or infinite entries.")
    return array


def axis_names(names: Sequence[str], dim: int, symbol: str = "theta") -> list[str]:
    """Axis labels: those given, or ``theta 1``, ``theta 2``, …

    Raises:
        ValueError: not as many names as dimensions.
    """
    if names and len(names) != dim:
        raise ValueError(f"{dim} dimensions need {dim} names, got {list(names)}.")
    return list(names) or [f"{symbol} {i + 1}" for i in range(dim)]


def limits(*samples: np.ndarray | None, mass: float = 0.998) -> list[tuple[float, float]]:
    """For each column a range that holds `mass` of every sample, and is never empty."""
    given = [s for s in samples if s is not None]
    tail = (1 - mass) / 2
    low = np.min([np.quantile(s, tail, axis=0) for s in given], axis=0)
    high = np.max([np.quantile(s, 1 - tail, axis=0) for s in given], axis=0)
    width = high - low
    # A constant column gets a range about its value.
    spare = np.where(
        width > 1e-9 * (1 + np.abs(low)), 0.08 * width, 0.5 * np.maximum(1, np.abs(low))
    )
    return [(float(a), float(b)) for a, b in zip(low - spare, high + spare, strict=True)]
