"""The picture of `CalibrationLab`: one posterior, its ranks, its coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from diffsbi_edu.diagnostics.bands import ecdf_band
from diffsbi_edu.diagnostics.suite import Calibration
from diffsbi_edu.widgets.canvas import EXACT, GREY, LEARNED, MARK, SMALL, Canvas

LINES = (LEARNED, "#cc79a7", "#009e73", "#e69f00", "#56b4e9")
DOTS = 300


class CalibrationPicture:
    """Three panels: exact and spoilt draws at one observation, SBC, coverage.

    Args:
        names: of the parameters; the first two are shown.

    Example:
        >>> CalibrationPicture(["a", "b"]).canvas.image().size
        (960, 320)
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.canvas = Canvas((9.6, 3.2))
        plane, ranks, coverage = self.canvas.figure.subplots(1, 3)
        for axes in (plane, ranks, coverage):
            axes.tick_params(labelsize=SMALL - 1, length=2)
        self._plane, self._ranks = plane, ranks
        plane.set_title("posterior at one observation", fontsize=SMALL + 1)
        plane.set(
            xlim=(-10, 10), ylim=(-10, 10)
        )  # room for the widest tick labels, once and for all
        plane.set_xlabel(names[0], fontsize=SMALL)
        plane.set_ylabel(names[1], fontsize=SMALL)
        self._dots = [
            self._line(plane, color, label, marker=".", linestyle="", ms=4, alpha=0.6)
            for color, label in ((EXACT, "exact"), (LEARNED, "spoilt"))
        ]
        ranks.set_title("SBC: ranks minus uniform", fontsize=SMALL + 1)
        ranks.set_xlabel("rank of the truth, as a share", fontsize=SMALL)
        ranks.set_xlim(0, 1)
        shown = range(min(len(names), len(LINES)))
        self._gaps = [self._line(ranks, LINES[i], names[i]) for i in shown]
        coverage.set_title("coverage (diagonal: exact)", fontsize=SMALL + 1)
        coverage.set_xlabel("credibility of the region", fontsize=SMALL)
        coverage.set(xlim=(0, 1), ylim=(0, 1))
        coverage.plot([0, 1], [0, 1], color=GREY, lw=0.8)
        labels = ("TARP, random", "TARP, guessed from x", "learned test")
        self._curves = [self._line(coverage, LINES[i], label) for i, label in enumerate(labels)]
        ranks.axhline(0, color=MARK, lw=0.8)
        for axes in (plane, ranks, coverage):
            axes.legend(fontsize=SMALL - 1, loc="upper left", frameon=False)
        self._banded = False

    def _line(self, axes: Any, color: str, label: str, **style: Any) -> Any:
        style = {"lw": 1.2} | style
        if style.get("marker"):
            style["markeredgewidth"] = 0
        return self.canvas.moving(*axes.plot([], [], color=color, label=label, **style))

    def show(self, result: Calibration, exact: torch.Tensor, spoilt: torch.Tensor) -> None:
        """Put a result on the canvas, and draws (n, D) at one observation."""
        for dots, draws in zip(self._dots, (exact, spoilt), strict=True):
            dots.set_data(*draws[:DOTS, :2].T.numpy())
        self._frame(exact, spoilt)
        sbc = result.sbc
        grid = sbc.uniform.numpy()
        gaps = (sbc.ecdf - sbc.uniform[:, None]).numpy()
        for i, line in enumerate(self._gaps):
            line.set_data(grid, gaps[:, i])
        low, high = (end.numpy() for end in ecdf_band(len(sbc.ranks), sbc.n_samples + 1))
        if not self._banded:
            self._banded = True
            self._ranks.fill_between(grid, low - grid, high - grid, color=GREY, alpha=0.25, lw=0)
            self.canvas.still_changed()
        self._stretch(
            self._ranks, 1.15 * max(float(np.abs(gaps).max()), float((high - grid).max()))
        )
        for line, ranks in zip(
            self._curves,
            (result.tarp.ranks, result.tarp_guess.ranks, result.discriminative.ranks),
            strict=True,
        ):
            counts = torch.bincount(ranks, minlength=sbc.n_samples + 1).cumsum(0) / len(ranks)
            line.set_data(np.r_[0, grid], np.r_[0, counts.numpy()])

    def _frame(self, exact: torch.Tensor, spoilt: torch.Tensor) -> None:
        """Limits that hold both clouds; changed only if they would have to change much."""
        both = torch.cat([exact, spoilt])[:, :2]
        low, high = both.quantile(0.005, 0), both.quantile(0.995, 0)
        margin = 0.15 * (high - low)
        wanted = torch.stack([low - margin, high + margin]).T.numpy()
        now = np.array([self._plane.get_xlim(), self._plane.get_ylim()])
        side = wanted[:, 1] - wanted[:, 0]
        if (np.abs(now - wanted) > 0.12 * side[:, None]).any():
            self._plane.set(xlim=wanted[0], ylim=wanted[1])
            self.canvas.still_changed()

    def _stretch(self, axes: Any, height: float) -> None:
        now = axes.get_ylim()[1]
        if not 0.6 * now <= height <= now:
            axes.set_ylim(-1.2 * height, 1.2 * height)
            self.canvas.still_changed()
