"""The picture of `StabilityRace`: three posteriors, and below them how they came about."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diffsbi_edu.widgets.canvas import EXACT, GREY, LEARNED, SMALL, Canvas

COLOURS = (LEARNED, "#cc79a7")  # the two lanes; vermilion stays the exact posterior's
POINTS, BINS, CURVE_POINTS = 1000, 40, 300


@dataclass(frozen=True)
class Lane:
    """What the picture shows of one racer.

    Args:
        theta: posterior draws (n, D); None if it can give no finite ones.
        seconds, losses, grad_norms: one for each step.
        diverged: whether to say so.
    """

    theta: torch.Tensor | None
    seconds: Sequence[float]
    losses: Sequence[float]
    grad_norms: Sequence[float]
    diverged: bool


class RacePicture:
    """Six panels. Above: exact, first and second lane. Below: a marginal, losses, gradient norms.

    Args:
        theta_names: of the parameters; the first two are shown.
        names: of the two lanes.

    Example:
        >>> picture = RacePicture(["a", "b"], ["left", "right"])
        >>> picture.canvas.image().size
        (960, 480)
    """

    def __init__(self, theta_names: Sequence[str], names: Sequence[str]) -> None:
        self._theta_names, self._names = theta_names, names
        self.canvas = Canvas((9.6, 4.8))
        self._build()

    def new_film(self) -> None:
        """Forget the axis limits of an earlier race."""
        for axes in (*self._loss_axes, self._norms):
            axes.set_ylim(0.9, 1.1)
        self.canvas.still_changed()

    def _build(self) -> None:
        figure = self.canvas.figure
        grid = figure.subplots(2, 3)
        self._planes = list(grid[0])
        self._marginal, losses, self._norms = grid[1]
        self._loss_axes = [losses, losses.twinx()]
        for axes in (*grid.flat, self._loss_axes[1]):
            axes.tick_params(labelsize=SMALL - 1, length=2)
        titles = ["exact posterior", *self._names]
        dots: dict[str, Any] = {"marker": ".", "linestyle": "", "markeredgewidth": 0, "alpha": 0.6}
        self._dots: list[Any] = []
        for axes, title, colour in zip(self._planes, titles, (EXACT, *COLOURS), strict=True):
            axes.set_title(title, fontsize=SMALL + 1, color=colour)
            axes.set_xlabel(self._theta_names[0], fontsize=SMALL)
            second = self._theta_names[1] if len(self._theta_names) > 1 else "(jitter)"
            axes.set_ylabel(second, fontsize=SMALL)
            self._dots.append(*axes.plot([], [], color=colour, ms=4, **dots))
        for line in self._dots[1:]:
            self.canvas.moving(line)
        self._words = [self._text(axes) for axes in self._planes]
        for text in self._words[1:]:
            self.canvas.moving(text)
        self._build_lower()

    def _text(self, axes: Any) -> Any:
        return axes.text(
            0.5, 0.5, "", fontsize=SMALL + 1, color=GREY, ha="center", va="center",
            transform=axes.transAxes,
        )  # fmt: skip

    def _build_lower(self) -> None:
        self._marginal.set_title(f"{self._theta_names[0]}: density", fontsize=SMALL + 1)
        self._marginal.set_yticks([])
        self._steps = [
            self._marginal.step([], [], where="mid", color=colour, lw=1.4)[0]
            for colour in (EXACT, *COLOURS)
        ]
        self._loss_axes[0].set_title("training loss, each in its own units", fontsize=SMALL + 1)
        self._norms.set_title("gradient norm before clipping", fontsize=SMALL + 1)
        self._norms.set_yscale("log")
        self._losses, self._grads = [], []
        for axes, colour in zip(self._loss_axes, COLOURS, strict=True):
            axes.tick_params(axis="y", colors=colour)
            axes.set_xlabel("training time (s)", fontsize=SMALL)
            (line,) = axes.plot([], [], color=colour, lw=1.1)
            self._losses.append(self.canvas.moving(line))
            (line,) = self._norms.plot([], [], color=colour, lw=1.0)
            self._grads.append(self.canvas.moving(line))
        self._norms.set_xlabel("training time (s)", fontsize=SMALL)
        for line in self._steps[1:]:
            self.canvas.moving(line)

    def set_exact(self, exact: torch.Tensor | None, why_not: str, prior: torch.Tensor) -> None:
        """Draws (n, D) of the exact posterior, or why there are none; the prior's set limits."""
        reference = prior if exact is None else exact
        self._words[0].set_text("\n".join(textwrap.wrap(why_not, 30)[:9]))
        self._dots[0].set_data(*self._project(exact))
        for axes in self._planes:
            for column, set_limits in ((0, axes.set_xlim), (1, axes.set_ylim)):
                set_limits(*_limits(_column(prior, column), 0.0, 1.0, 0.05))
        low, high = _limits(_column(reference, 0), 0.1, 0.9, 1.0)
        self._edges = np.linspace(low, high, BINS + 1)
        self._marginal.set_xlim(low, high)
        self._set_step(self._steps[0], exact)
        heights = self._steps[0].get_ydata()
        self._marginal.set_ylim(0, 1.4 * max(float(np.max(heights, initial=0.0)), 1e-9))
        self.canvas.still_changed()

    def draw(self, lanes: Sequence[Lane], seconds: float) -> bytes:
        """The picture of this moment, as PNG.

        Args:
            lanes: both racers.
            seconds: length of the race.
        """
        for i, lane in enumerate(lanes):
            self._dots[i + 1].set_data(*self._project(lane.theta))
            self._set_step(self._steps[i + 1], lane.theta)
            lost = "no finite samples" if lane.theta is None and lane.seconds else ""
            self._words[i + 1].set_text("diverged" if lane.diverged and not lost else lost)
            self._losses[i].set_data(*_thinned(lane.seconds, lane.losses))
            self._grads[i].set_data(*_thinned(lane.seconds, lane.grad_norms))
        end = max([seconds, *(lane.seconds[-1] for lane in lanes if lane.seconds)])
        for axes in (self._loss_axes[0], self._norms):
            if axes.get_xlim()[1] != end:
                axes.set_xlim(0, end)
                self.canvas.still_changed()
        for axes, line in zip(self._loss_axes, self._losses, strict=True):
            self._fit(axes, line.get_ydata(), log=False)
        self._fit(self._norms, np.concatenate([g.get_ydata() for g in self._grads]), log=True)
        return self.canvas.png()

    def _fit(self, axes: Any, values: np.ndarray, *, log: bool) -> None:
        """Widen an axis when the curve has left it, by so much that it happens rarely."""
        values = values[np.isfinite(values) & ((values > 0) | (not log))]
        if not values.size:
            return
        bottom, top = float(values.min()), float(values.max())
        low, high = axes.get_ylim()
        fresh = (low, high) == (0.9, 1.1) or (low, high) == (0.0, 1.0)
        if not fresh and low <= bottom and top <= high:
            return
        if log:
            new = (10 ** np.floor(np.log10(bottom)), 10 ** np.ceil(np.log10(top)))
        else:
            room = 0.25 * max(top - bottom, 0.1)
            new = (bottom - room, top + room)
        if not fresh:
            new = (min(low, new[0]), max(high, new[1]))
        axes.set_ylim(*new)
        self.canvas.still_changed()

    def _set_step(self, line: Any, theta: torch.Tensor | None) -> None:
        values = np.empty(0) if theta is None else _column(theta, 0)
        width = self._edges[1] - self._edges[0]
        counts, _ = np.histogram(values, self._edges)
        heights = counts / max(1, len(values)) / width
        line.set_data((self._edges[1:] + self._edges[:-1]) / 2, heights)

    def _project(self, theta: torch.Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        if theta is None:
            return np.empty(0), np.empty(0)
        shown = theta[:POINTS]
        return _column(shown, 0), _column(shown, 1)


def _column(theta: torch.Tensor, column: int) -> np.ndarray:
    """A column as an array; a parameter that does not exist is made up of even noise."""
    if column >= theta.shape[1]:
        return np.random.default_rng(0).uniform(-1, 1, len(theta))
    values: np.ndarray = theta[:, column].numpy()
    return values


def _limits(values: np.ndarray, low: float, high: float, room: float) -> tuple[float, float]:
    first, last = np.quantile(values, [low, high])
    margin = room * max(last - first, 1e-9)
    return float(first - margin), float(last + margin)


def _thinned(seconds: Sequence[float], values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Means over equal numbers of steps, at the time of the last: (seconds, means)."""
    stretch = 1
    while len(values) > CURVE_POINTS * stretch:
        stretch *= 2
    whole = len(values) // stretch
    means = np.asarray(values[: whole * stretch], dtype=float).reshape(whole, stretch).mean(1)
    times = np.asarray(seconds[stretch - 1 : whole * stretch : stretch], dtype=float)
    return times, means
