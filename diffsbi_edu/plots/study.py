"""Figures of a study: many runs, one dot each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from diffsbi_edu.plots.base import MARKERS, METHODS, SERIES, SMALL, in_figure

PANELS = (
    ("c2st", "C2ST (0.5 is perfect)", False),
    ("worst_spike", "worst loss spike (share of the gain)", True),
    ("largest_grad_norm", "largest gradient norm", True),
)


def stability(
    rows: Sequence[Mapping[str, Any]],
    *,
    panels: Sequence[tuple[str, str, bool]] = PANELS,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """What became of every run, against its learning rate: a dot a run, a line through the means.

    Runs that diverged are crosses; those without a number stand at the top of their panel.

    Args:
        rows: of a stability study: ``method``, ``lr``, ``diverged`` and the panels' columns.
        panels: (column, axis label, logarithmic?).
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        ValueError: no rows, or a column that they do not have.

    Example:
        >>> row = dict(method="nsf", lr=1e-3, diverged=False, c2st=0.6)
        >>> stability([row], panels=[("c2st", "C2ST", False)]).axes[0].get_xlabel()
        'peak learning rate'
    """
    needed = {"method", "lr", "diverged", *(name for name, _, _ in panels)}
    if not rows or any(needed - row.keys() for row in rows):
        raise ValueError(f"needs at least one row, each with the columns {sorted(needed)}.")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, axes = in_figure(figure, len(panels), 3.7 * len(panels), 3.0)
    for ax, (column, label, logarithmic) in zip(axes, panels, strict=True):
        ax.set_xscale("log")
        if logarithmic:
            ax.set_yscale("log")
        lost: list[tuple[float, str]] = []
        for i, method in enumerate(methods):
            color, marker = SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]
            mine = [row for row in rows if row["method"] == method]
            # Side by side, so that methods at one learning rate do not hide one another.
            shift = 1.07 ** (i - (len(methods) - 1) / 2)
            means: dict[float, list[float]] = {}
            for row in mine:
                value = row[column]
                if value is None or not math.isfinite(value) or (logarithmic and value <= 0):
                    if row["diverged"]:
                        lost.append((row["lr"] * shift, color))
                    continue
                means.setdefault(row["lr"], []).append(value)
                shape = "x" if row["diverged"] else marker
                ax.plot(row["lr"] * shift, value, shape, color=color, ms=4, alpha=0.6)
            lrs = sorted(means)
            heights = [sum(means[lr]) / len(means[lr]) for lr in lrs]
            ax.plot([lr * shift for lr in lrs], heights, color=color, linewidth=1.2, label=method)
        for lr, color in lost:
            ax.plot(lr, 0.97, "x", color=color, ms=6, transform=ax.get_xaxis_transform())
        if column == "c2st":
            ax.axhline(0.5, color="black", linestyle="dotted", linewidth=1)
        ax.set_xlabel("peak learning rate", fontsize=SMALL)
        ax.set_ylabel(label, fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1, which="both")
    if not figure.legends:  # above the panels: within them it would hide some of the dots
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=len(labels),
            fontsize=SMALL - 1, frameon=False,
        )  # fmt: skip
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def power(
    rows: Sequence[Mapping[str, Any]],
    tests: Sequence[str],
    *,
    level: float = 0.05,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Power against the number of simulations: a panel for each error, a line for each test.

    Args:
        rows: of a power table: ``error``, ``n_sims`` and a share for each test.
        tests: columns to draw.
        level: false-alarm rate of the tests, drawn dotted.
        title: of the figure.
        figure: an earlier figure of as many panels to draw upon.

    Raises:
        ValueError: no rows, or a column that they do not have.

    Example:
        >>> row = dict(error="shifted", n_sims=100, sbc=0.7)
        >>> power([row], ["sbc"]).axes[0].get_title()
        'shifted'
    """
    needed = {"error", "n_sims", *tests}
    if not rows or not tests or any(needed - row.keys() for row in rows):
        raise ValueError(f"needs at least one row, each with the columns {sorted(needed)}.")
    errors = list(dict.fromkeys(row["error"] for row in rows))
    figure, axes = in_figure(figure, len(errors), 2.1 * len(errors) + 0.6, 2.6)
    for ax, error in zip(axes, errors, strict=True):
        mine = sorted((r for r in rows if r["error"] == error), key=lambda r: r["n_sims"])
        sizes = [row["n_sims"] for row in mine]
        for i, test in enumerate(tests):
            # Lines at the same height would hide one another.
            lift = 0.008 * (i - (len(tests) - 1) / 2)
            ax.plot(
                sizes, [row[test] + lift for row in mine], marker=MARKERS[i % len(MARKERS)], ms=3.5,
                color=SERIES[i % len(SERIES)], linewidth=1.2, label=test,
            )  # fmt: skip
        ax.axhline(level, color="black", linestyle="dotted", linewidth=1)
        ax.set_xscale("log")
        ax.set_ylim(-0.05, 1.05)
        ax.set_title(error, fontsize=SMALL)
        ax.set_xlabel("simulations", fontsize=SMALL)
        ax.tick_params(labelsize=SMALL - 1, which="both")
    axes[0].set_ylabel("share of repeats with p < 0.05", fontsize=SMALL)
    if not figure.legends:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=len(labels),
            fontsize=SMALL - 1, frameon=False,
        )  # fmt: skip
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def by_problem(
    rows: Sequence[Mapping[str, Any]],
    column: str,
    *,
    label: str = "",
    logarithmic: bool = False,
    reference: float | None = None,
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """A line for each problem, a mark for each run: one number of the suite, method beside method.

    Args:
        rows: of the suite: ``problem``, ``method`` and the column.
        column: what to draw; NaN and infinite values are left out.
        label: of the axis; None for the column's name.
        logarithmic: whether the axis is.
        reference: a value to mark, such as what an exact posterior would get.
        title: of the figure.
        figure: an earlier figure to draw upon.

    Raises:
        ValueError: no rows, or a column that they do not have.

    Example:
        >>> row = dict(problem="two_moons", method="nsf", c2st=0.55)
        >>> [t.get_text() for t in by_problem([row], "c2st").axes[0].get_yticklabels()]
        ['two_moons']
    """
    needed = {"problem", "method", column}
    if not rows or any(needed - row.keys() for row in rows):
        raise ValueError(f"needs at least one row, each with the columns {sorted(needed)}.")
    names = list(dict.fromkeys(row["problem"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure, (ax,) = in_figure(figure, 1, 6.4, 1.2 + 0.26 * len(names))
    for i, method in enumerate(methods):
        lift = 0.5 * (i - (len(methods) - 1) / 2) / max(1, len(methods) - 1)
        points = [
            (row[column], names.index(row["problem"]) + lift)
            for row in rows
            if row["method"] == method and math.isfinite(row[column])
        ]
        ax.plot(
            *zip(*points) if points else ([], []), MARKERS[i % len(MARKERS)],
            color=METHODS[i % len(METHODS)], ms=4, alpha=0.8, label=method,
        )  # fmt: skip
    if reference is not None:
        ax.axvline(reference, color="black", linestyle="dotted", linewidth=1)
    if logarithmic:
        ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)  # the first problem on top
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    ax.set_xlabel(label or column, fontsize=SMALL)
    ax.tick_params(labelsize=SMALL - 1, which="both")
    if not figure.legends:
        figure.legend(loc="outside upper center", ncols=3, fontsize=SMALL - 1, frameon=False)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure


def differences(
    gaps: Mapping[str, Sequence[float]],
    bands: Mapping[str, float],
    *,
    label: str = "",
    title: str = "",
    figure: Figure | None = None,
) -> Figure:
    """A line for each problem: one method's score minus another's, beside what may be noise.

    A faint dot for each seed, a diamond for their mean, and a grey bar from −band to +band: a
    diamond within its bar need mean nothing.

    Args:
        gaps: problem → differences, a seed each.
        bands: problem → half the length of its bar.
        label: of the axis.
        title: of the figure.
        figure: an earlier figure to draw upon.

    Raises:
        ValueError: no problems, one without differences, or one without a band.

    Example:
        >>> figure = differences({"socks": [0.001, -0.002]}, {"socks": 0.001})
        >>> [t.get_text() for t in figure.axes[0].get_yticklabels()]
        ['socks']
    """
    if not gaps or not all(map(len, gaps.values())) or gaps.keys() - bands.keys():
        raise ValueError("needs at least one problem, each with a difference and a band.")
    figure, (ax,) = in_figure(figure, 1, 6.4, 1.2 + 0.26 * len(gaps))
    for line, (name, each) in enumerate(gaps.items()):
        ax.barh(line, 2 * bands[name], left=-bands[name], height=0.7, color="0.87")
        ax.plot(each, [line] * len(each), "o", color=SERIES[0], ms=3.5, alpha=0.45)
        ax.plot(sum(each) / len(each), line, "D", color=SERIES[0], ms=5.5)
    ax.axvline(0, color="black", linestyle="dotted", linewidth=1)
    ax.set_yticks(range(len(gaps)), gaps)
    ax.set_ylim(len(gaps) - 0.4, -0.6)  # the first problem on top
    ax.set_xlabel(label, fontsize=SMALL)
    ax.xaxis.set_major_locator(MaxNLocator(6))  # labels as long as these would touch
    ax.tick_params(labelsize=SMALL - 1)
    if title:
        figure.suptitle(title, fontsize=SMALL + 2)
    return figure
