"""The picture of `LiveTraining`: exact posterior, learned posterior, scores, loss curves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.quiver import Quiver

from diffsbi_edu.problems import Problem
from diffsbi_edu.widgets.canvas import EXACT, GREY, LEARNED, SMALL, Canvas
from diffsbi_edu.widgets.exact import Target
from diffsbi_edu.widgets.snapshots import Snapshot
from diffsbi_edu.widgets.trainer import Phase

POINTS_SHOWN = 1000
CURVE_POINTS, SHORTEST_AXIS = 250, 500


@dataclass(frozen=True)
class Frame:
    """All that the dashboard shows at one moment: the picture and the numbers around it."""

    png: bytes
    phase: Phase
    step: int
    goal: int
    loss: float | None
    pairs_per_second: float
    c2st: float | None
    snapshots: int
    replay: int | None


class TrainingPicture:
    """Four panels, redrawn from a `Snapshot` and the curves up to its step.

    Args:
        problem: names and number of the parameters, prior draws for the first limits.
        pair: which two parameters the posterior panels show.

    Example:
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> TrainingPicture(Gaussian2D()).canvas.image().size
        (960, 270)
    """

    def __init__(self, problem: Problem, pair: tuple[int, int] = (0, 1)) -> None:
        self.canvas = Canvas((9.6, 2.7))
        self._names = problem.theta_names
        self._pair = pair if problem.dim > 1 else (0, 0)
        self._one_dimension = problem.dim == 1
        self._prior = problem.sample_prior(500, seed=0, device="cpu")
        self._shown: tuple[object, ...] = ()
        self._build()

    def _build(self) -> None:
        figure, moving = self.canvas.figure, self.canvas.moving
        self._exact, self._learned, self._scores, self._curves = figure.subplots(1, 4)
        for axes in (self._exact, self._learned, self._scores, self._curves):
            axes.tick_params(labelsize=SMALL - 1, length=2)
            axes.locator_params(nbins=5)
        dots = {"marker": ".", "linestyle": "", "markeredgewidth": 0, "alpha": 0.6}
        for axes in (self._exact, self._learned):
            first = self._names[self._pair[0]]
            second = "(jitter)" if self._one_dimension else self._names[self._pair[1]]
            axes.set_xlabel(first, fontsize=SMALL)
            axes.set_ylabel(second, fontsize=SMALL)
        (self._exact_dots,) = self._exact.plot([], [], color=EXACT, ms=4, **dots)
        self._note = self._exact.text(
            0.5, 0.5, "", fontsize=SMALL, color=GREY, ha="center", va="center",
            transform=self._exact.transAxes,
        )  # fmt: skip
        (line,) = self._learned.plot([], [], color=LEARNED, ms=4, **dots)
        self._learned_dots = moving(line)
        self._exact.set_title("exact posterior", fontsize=SMALL + 1, color=EXACT)
        # An empty still title keeps the room in which the moving one is drawn.
        self._learned.set_title(" ", fontsize=SMALL + 1)
        self._title = moving(
            self._learned.text(
                0.5, 1.03, "", fontsize=SMALL + 1, color=LEARNED, ha="center", va="bottom",
                transform=self._learned.transAxes,
            )
        )  # fmt: skip
        self._scores.set_xlabel("z 1 (latent)", fontsize=SMALL)
        self._scores.set_ylabel("z 2 (latent)", fontsize=SMALL)
        self._arrows: tuple[Quiver | None, Quiver | None] = (None, None)
        self._curves.set(xlabel="step", yscale="log", ylim=(0.05, 20), xlim=(0, 1))
        self._curves.xaxis.label.set_fontsize(SMALL)
        self._curves.set_title("training", fontsize=SMALL + 1)
        (loss,) = self._curves.plot([], [], color=LEARNED, lw=1.2, label="loss")
        (norm,) = self._curves.plot([], [], color=GREY, lw=0.8, label="gradient norm")
        self._loss, self._norm = moving(loss), moving(norm)
        self._curves.legend(fontsize=SMALL - 1, frameon=False, loc="upper right")

    def show(
        self, snapshot: Snapshot, losses: Sequence[float], norms: Sequence[float], goal: int
    ) -> None:
        """Put a moment of training on the canvas.

        Args:
            snapshot: posterior draws and scores.
            losses, norms: one a step; what came after the snapshot is left out.
            goal: the step at which training ends.
        """
        self._show_target(snapshot)
        horizontal, vertical = self._project(snapshot.theta)
        self._learned_dots.set_data(horizontal, vertical)
        self._title.set_text(f"learned posterior, step {snapshot.step:,}")
        learned = self._arrows[1]
        if learned is not None:
            learned.set_UVC(*_two_columns(snapshot.learned))
        self._show_curves(losses[: snapshot.step], norms[: snapshot.step], goal)

    # --- the still parts, redrawn when the observation or the noise level changes ---

    def _show_target(self, snapshot: Snapshot) -> None:
        target, shown = snapshot.target, (snapshot.target, snapshot.level)
        if shown == self._shown:
            return
        self._shown = shown
        known = target.theta
        self._exact_dots.set_data(*self._project(self._prior[:0] if known is None else known))
        why_not = "" if known is not None else target.why_not
        self._note.set_text("\n".join(textwrap.wrap(why_not, 30)[:9]))
        self._set_limits(target)
        self._show_exact_scores(snapshot)
        self.canvas.still_changed()

    def _set_limits(self, target: Target) -> None:
        """The exact posterior in the middle half, so that the learned one is seen closing in."""
        for axes in (self._exact, self._learned):
            for values, set_limits in zip(
                self._project(self._prior if target.theta is None else target.theta),
                (axes.set_xlim, axes.set_ylim),
            ):
                low, high = np.quantile(values, [0.005, 0.995])
                reach = 0.8 * max(high - low, 1e-9)
                set_limits((low + high) / 2 - reach, (low + high) / 2 + reach)

    def _show_exact_scores(self, snapshot: Snapshot) -> None:
        for old in self._arrows:
            if old is not None:
                self.canvas.remove(old)
        self._scores.set_title(f"score × r² at r = {snapshot.level:.2g}", fontsize=SMALL + 1)
        if snapshot.points.shape[1] < 2:
            self._arrows = (None, None)
            return
        x, y = _two_columns(snapshot.points)
        reference = snapshot.learned if snapshot.exact is None else snapshot.exact
        cell = (x.max() - x.min()) / 13
        # Two cells for the longest exact arrow.
        scale = max(float(np.hypot(*_two_columns(reference)).max()), 1e-6) / (2 * cell)
        style = {"angles": "xy", "scale_units": "xy", "scale": scale, "pivot": "mid"}
        exact = None
        if snapshot.exact is not None:
            exact = self._scores.quiver(
                x, y, *_two_columns(snapshot.exact), color=EXACT, width=0.013, alpha=0.5, **style
            )
        learned = self._scores.quiver(
            x, y, *_two_columns(snapshot.learned), color=LEARNED, width=0.006, **style
        )
        self._arrows = (exact, self.canvas.moving(learned))
        self._scores.set_xlim(x.min() - cell, x.max() + cell)
        self._scores.set_ylim(y.min() - cell, y.max() + cell)

    def _show_curves(self, losses: Sequence[float], norms: Sequence[float], goal: int) -> None:
        for line, values in ((self._loss, losses), (self._norm, norms)):
            line.set_data(*_thinned(values))
        axes: Axes = self._curves
        last = min(goal, SHORTEST_AXIS)
        while last < min(len(losses), goal):
            last = min(2 * last, goal)
        if axes.get_xlim()[1] != last:
            axes.set_xlim(0, last)
            self.canvas.still_changed()
        drawn = np.concatenate([self._loss.get_ydata(), self._norm.get_ydata()])
        drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
        low, high = axes.get_ylim()
        if drawn.size and (drawn.min() < low or drawn.max() > high):
            # Decades, so that the axis changes a few times in a run and not at every frame.
            low = min(low, 10 ** np.floor(np.log10(drawn.min())))
            high = max(high, 10 ** np.ceil(np.log10(drawn.max())))
            axes.set_ylim(low, high)
            self.canvas.still_changed()

    def _project(self, theta: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        shown = theta[:POINTS_SHOWN].numpy()
        if self._one_dimension:
            return shown[:, 0], np.random.default_rng(0).uniform(-1, 1, len(shown))
        return shown[:, self._pair[0]], shown[:, self._pair[1]]


def _two_columns(values: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    first, second = values[:, 0].numpy(), values[:, 1].numpy()
    return first, second


def _thinned(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Means over equal stretches of steps: (last step of the stretch, mean)."""
    stretch = 1
    while len(values) > CURVE_POINTS * stretch:
        stretch *= 2
    whole = len(values) // stretch
    means = np.asarray(values[: whole * stretch], dtype=float).reshape(whole, stretch).mean(1)
    return stretch * np.arange(1, whole + 1), means
