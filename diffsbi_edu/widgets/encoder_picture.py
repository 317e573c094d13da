"""The picture of `EncoderLab`: the data in their order, their summary, the posterior."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.patches import Rectangle

from diffsbi_edu.plots.summaries import principal_axes
from diffsbi_edu.problems import Problem
from diffsbi_edu.widgets.canvas import EXACT, GREY, LEARNED, MARK, SMALL, Canvas

DOTS = 300
STAR, LEAST_ZOOM, MOST_ZOOM = "#d62728", 3, 100
GHOST = "#9ecae1"  # the learned posterior of the original order, where it is not the present one


@dataclass(frozen=True, eq=False)
class Moment:
    """All that a picture shows, so that drawing needs no live model.

    Args:
        x: the data in their present order, (N, F).
        order: where each of them stood originally, (N,).
        label: of the order.
        extrapolating: whether N is outside what was trained on.
        theta: what the data were simulated from, (D,).
        cloud: summaries of many data sets, (M, S).
        colour: a statistic of each, (M,).
        colour_name: of that statistic.
        visited: summaries (k, S) of x in every order since the original one; the last is on show.
        before, learned: learned posterior draws (n, D) of the original and of the present order.
        exact_before, exact: the same of the exact posterior; None where it is unknown.
        why_not: why it is.
        pair: the two parameters shown.
    """

    x: torch.Tensor
    order: torch.Tensor
    label: str
    extrapolating: bool
    theta: torch.Tensor
    cloud: torch.Tensor
    colour: torch.Tensor
    colour_name: str
    visited: torch.Tensor
    before: torch.Tensor
    learned: torch.Tensor
    exact_before: torch.Tensor | None
    exact: torch.Tensor | None
    why_not: str
    pair: tuple[int, int]

    @property
    def sd_ratio(self) -> float | None:
        """Learned sds over exact ones, a mean over the parameters; 1 is right."""
        if self.exact is None:
            return None
        return float((self.learned.std(0) / self.exact.std(0)).mean())

    @property
    def moved(self) -> float:
        """How far the learned posterior's mean has moved since the original order.

        In sds, of the parameter that has moved most.
        """
        return _shift(self.before, self.learned)

    @property
    def exact_moved(self) -> float | None:
        """How far the exact posterior's mean has moved, likewise."""
        if self.exact is None or self.exact_before is None:
            return None
        return _shift(self.exact_before, self.exact)

    @property
    def summary_moved(self) -> float:
        """Distance of s from that of the original order, in units of the cloud's total sd."""
        spread = self.cloud.var(0).sum().sqrt()
        return float((self.visited[-1] - self.visited[0]).norm() / spread)


class EncoderPicture:
    """Three panels: x against its index, summary space, learned and exact posterior.

    Args:
        problem: for the names of its parameters.

    Example:
        >>> from diffsbi_edu.problems import NormalGamma
        >>> EncoderPicture(NormalGamma()).canvas.image().size
        (960, 330)
    """

    def __init__(self, problem: Problem) -> None:
        self._names, self._line = problem.theta_names, problem.data_kind == "sequence"
        self.canvas = Canvas((9.6, 3.3))
        figure = self.canvas.figure
        figure.set_layout_engine("none")  # places of our own, since labels and ticks change
        self._data, self._space, self._plane, self._scale = (
            figure.add_axes((left, 0.125, width, 0.745))
            for left, width in ((0.04, 0.27), (0.345, 0.27), (0.72, 0.27), (0.622, 0.009))
        )
        self._titles = []
        for axes in (self._data, self._space, self._plane):
            axes.tick_params(labelsize=SMALL - 1, length=2)
            axes.locator_params(nbins=5)
            self._titles.append(self._text(axes, 0.5, 1.02, ha="center", va="bottom"))
        self._last_cloud: np.ndarray | None = None
        self._colour_shown = ("", 0.0)
        self._pair_shown: tuple[int, int] | None = None
        self._build_data()
        self._build_space()
        self._build_plane()

    def _text(self, axes: Any, x: float, y: float, **style: Any) -> Any:
        text = axes.text(x, y, "", fontsize=SMALL + 1, transform=axes.transAxes, **style)
        return self.canvas.moving(text)

    def _build_data(self) -> None:
        axes, moving = self._data, self.canvas.moving
        axes.set_xlabel("place in the data set", fontsize=SMALL)
        (line,) = axes.plot([], [], color=GREY, lw=0.6, alpha=0.7)
        self._path = moving(line)
        self._values = moving(axes.scatter([], [], c=[], s=9, cmap="plasma", linewidths=0))
        self._values.set_clim(0, 1)

    def _build_space(self) -> None:
        axes, moving = self._space, self.canvas.moving
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel("1st principal component of s", fontsize=SMALL)
        axes.set_ylabel("2nd", fontsize=SMALL, labelpad=1)
        self._cloud = moving(axes.scatter([], [], c=[], s=8, cmap="viridis", linewidths=0))
        self.canvas.figure.colorbar(self._cloud, cax=self._scale)
        self._scale.tick_params(labelsize=SMALL - 1, length=2)
        # Where orders lie close together: they alone, so many times larger, in a corner.
        corner: dict[str, Any] = {
            "transform": axes.transAxes,
            "facecolor": "white",
            "edgecolor": GREY,
            "zorder": 2,
        }
        self._corner = moving(axes.add_patch(Rectangle((0.70, 0.02), 0.28, 0.28, **corner)))
        self._zoom = axes.inset_axes((0.70, 0.02, 0.28, 0.28), xlim=(-1.3, 1.3), ylim=(-1.3, 1.3))
        self._zoom.set_axis_off()
        self._factor = self._text(self._zoom, 0.04, 0.97, va="top")
        style: dict[str, Any] = {"linestyle": "", "zorder": 3}
        self._trails = [
            [
                moving(*where.plot([], [], color=MARK, lw=0.9, marker=".", ms=4)),
                moving(*where.plot([], [], color=MARK, marker="o", ms=7, mfc="white", **style)),
                moving(*where.plot([], [], color=STAR, marker="*", ms=14, mec="white", **style)),
            ]
            for where in (axes, self._zoom)
        ]

    def _build_plane(self) -> None:
        axes = self._plane
        style: dict[str, Any] = {"linestyle": "", "markeredgewidth": 0, "marker": ".", "ms": 4}
        self._clouds = [
            self.canvas.moving(*axes.plot([], [], color=color, label=label, **style | more))
            for color, label, more in (
                (EXACT, "exact", {"alpha": 0.6}),
                (GHOST, "learned, original order", {"alpha": 0.6}),
                (LEARNED, "learned", {"alpha": 0.6}),
                (MARK, "truth", {"marker": "P", "ms": 9, "markeredgewidth": 1, "mec": "white"}),
            )
        ]
        self._why_not = self._text(axes, 0.5, 0.06, color=GREY, ha="center", va="bottom")
        legend = axes.legend(
            fontsize=SMALL - 1, frameon=False, loc="upper center", ncols=2, columnspacing=1,
            handletextpad=0.1, borderaxespad=0.2,
        )  # fmt: skip
        for handle in legend.legend_handles[:3]:
            handle.set(markersize=8)  # type: ignore[union-attr]

    def draw(self, moment: Moment) -> bytes:
        """The picture of a moment, as PNG."""
        self._draw_data(moment)
        self._draw_space(moment)
        self._draw_plane(moment)
        return self.canvas.png()

    def _draw_data(self, moment: Moment) -> None:
        values, n = moment.x[:, 0].numpy(), len(moment.x)
        places = np.arange(1, n + 1)
        self._path.set_data(places, values) if self._line else self._path.set_data([], [])
        self._values.set_offsets(np.column_stack([places, values]))
        self._values.set_array(moment.order.numpy() / max(1, n - 1))
        beyond = ": extrapolating" if moment.extrapolating else ""
        self._titles[0].set_text(
            f"data x, coloured by original place\nN = {n}{beyond}, {moment.label}"
        )
        self._titles[0].set_color(EXACT if beyond else MARK)
        self._fit(self._data, np.column_stack([[0.5, n + 0.5], [values.min(), values.max()]]))

    def _draw_space(self, moment: Moment) -> None:
        centre, axes, _ = principal_axes(moment.cloud.double().numpy())
        cloud = (moment.cloud.numpy() - centre) @ axes
        if self._last_cloud is not None:  # a mirror image of the last frame is turned back
            turned = np.where((cloud * self._last_cloud).sum(0) < 0, -1.0, 1.0)
            cloud, axes = cloud * turned, axes * turned
        self._last_cloud = cloud
        visited = (moment.visited.numpy() - centre) @ axes
        self._cloud.set_offsets(cloud)
        colour = moment.colour.numpy()
        shown = (moment.colour_name, float(colour.sum()))
        if shown != self._colour_shown:
            self._colour_shown = shown
            self._cloud.set_array(colour)
            self._cloud.set_clim(*np.quantile(colour, [0.02, 0.98]))
            self.canvas.still_changed()
        low, high = np.quantile(cloud, [0.005, 0.995], 0)
        self._fit(self._space, np.vstack([low, high, visited]), margin=0.08)
        side = np.diff([self._space.get_xlim(), self._space.get_ylim()])[:, 0]
        middle = (visited.max(0) + visited.min(0)) / 2
        reach = max(float((np.abs(visited - middle) / side).max()), 0.14 / MOST_ZOOM)
        factor = 0.14 / reach  # the inset is 0.28 of the panel wide
        close = len(visited) > 1 and factor > LEAST_ZOOM
        self._factor.set_text(f"× {factor:.0f}" if close else "")
        self._corner.set_visible(close)
        small = (visited - middle) / (side * reach)
        for trail, points in zip(self._trails, (visited, small if close else small[:0])):
            for line, part in zip(trail, (points, points[:1], points[-1:])):
                line.set_data(*part.T)
        self._titles[1].set_text(
            f"summaries, coloured by {moment.colour_name}\n"
            f"★ has moved {moment.summary_moved:.3f} sds"
        )

    def _draw_plane(self, moment: Moment) -> None:
        self._name_axes(moment.pair)
        moved = moment.label != "original order"
        shown = (moment.exact, moment.before if moved else None, moment.learned, moment.theta[None])
        for dots, draws in zip(self._clouds, shown, strict=True):
            dots.set_data(*self._project(draws, moment.pair))
        ratio = moment.sd_ratio
        words = "no exact posterior" if ratio is None else f"learned sds = {ratio:.2f} × exact"
        self._titles[2].set_text(f"{words}\nlearned mean has moved {moment.moved:.3f} sds")
        self._why_not.set_text("\n".join(textwrap.wrap(moment.why_not, 40)[:5]))
        held = [
            np.quantile(np.column_stack(self._project(draws, moment.pair)), [0.01, 0.99], 0)
            for draws in (moment.exact, moment.learned)
            if draws is not None
        ]
        self._fit(self._plane, np.vstack(held), margin=0.15, above=0.35)

    def _name_axes(self, pair: tuple[int, int]) -> None:
        if pair != self._pair_shown:
            self._pair_shown = pair
            first, second = (self._names[i] for i in pair)
            self._plane.set_xlabel(first, fontsize=SMALL, labelpad=1)
            label = "(jitter)" if pair[0] == pair[1] else second
            self._plane.set_ylabel(label, fontsize=SMALL, labelpad=1)
            self.canvas.still_changed()

    def _project(
        self, draws: torch.Tensor | None, pair: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two columns; a single parameter is spread out by even noise."""
        if draws is None:
            return np.empty(0), np.empty(0)
        first, second = (draws[:DOTS, i].numpy() for i in pair)
        if pair[0] == pair[1]:
            second = np.random.default_rng(0).uniform(-1, 1, len(first))
        return first, second

    def _fit(self, axes: Any, points: np.ndarray, margin: float = 0.05, above: float = 0.0) -> None:
        """Limits that hold points (k, 2); changed only when they are left, or far too wide."""
        low, high = points.min(0), points.max(0)
        side = np.maximum(high - low, 1e-6 * (1 + np.abs(high)))
        now = np.array([axes.get_xlim(), axes.get_ylim()])
        least, most = low - 0.3 * margin * side, high + 0.3 * margin * side
        inside = (now[:, 0] <= least).all() and (most <= now[:, 1] - [0, above * side[1]]).all()
        if inside and (now[:, 1] - now[:, 0] < 1.7 * side * (1 + 2 * margin + above)).all():
            return
        low, high = low - margin * side, high + margin * side
        high[1] += above * side[1]
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        self.canvas.still_changed()


def _shift(before: torch.Tensor, after: torch.Tensor) -> float:
    """The largest shift of a mean, in sds of draws (n, D)."""
    return float(((after.mean(0) - before.mean(0)).abs() / before.std(0)).max())
