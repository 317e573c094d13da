"""What a study found, method by method: a table for a page, a terminal or a README."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

HEADS = (
    "method",
    "runs",
    "diverged",
    "best C2ST",
    "at learning rate",
    "C2ST over learning rates",
    "worst spike (median)",
    "ms a step",
)


class MethodTable:
    """One line for each method of a stability study; shows itself as a table in a notebook.

    Columns: runs; runs that diverged; the lowest C2ST (mean over seeds) of any learning rate and
    depth, and the rate; the lowest and highest of these means at the depth of the best; the median
    of the worst spikes; milliseconds a training step, in the median.

    Args:
        rows: of a stability study.

    Raises:
        ValueError: no rows.

    Example:
        >>> row = dict(method="nsf", lr=1e-3, depth=5, diverged=False, c2st=0.61, worst_spike=0.1,
        ...     trained_seconds=2.0, trained_steps=100)
        >>> print(MethodTable([row]).markdown().splitlines()[-1])
        | nsf | 1 | 0 | 0.61 | 0.001 | 0.61–0.61 | 0.10 | 20.0 |
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            raise ValueError("needs at least one row of a stability study.")
        methods = dict.fromkeys(row["method"] for row in rows)
        self.lines = [_line(m, [row for row in rows if row["method"] == m]) for m in methods]

    def markdown(self) -> str:
        """The table in Markdown."""
        rule = ["---"] * len(HEADS)
        return "\n".join("| " + " | ".join(line) + " |" for line in [HEADS, rule, *self.lines])

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self) -> str:
        return self.markdown()


def _line(method: str, rows: list[Mapping[str, Any]]) -> list[str]:
    cells: dict[tuple[int, float], list[float]] = {}
    for row in rows:
        # A run without samples is as far from the exact posterior as can be.
        score = 1.0 if row["diverged"] and not _finite(row["c2st"]) else row["c2st"]
        if _finite(score):
            cells.setdefault((row["depth"], row["lr"]), []).append(score)
    means = {key: statistics.fmean(scores) for key, scores in cells.items()}
    best = min(means, key=lambda key: means[key], default=None)
    over_rates = [means[key] for key in means if best and key[0] == best[0]]
    spikes = [row["worst_spike"] for row in rows if _finite(row["worst_spike"])]
    steps = [1000 * row["trained_seconds"] / max(1, row["trained_steps"]) for row in rows]
    return [
        method,
        str(len(rows)),
        str(sum(row["diverged"] for row in rows)),
        f"{means[best]:.2f}" if best else "–",
        f"{best[1]:g}" if best else "–",
        f"{min(over_rates):.2f}–{max(over_rates):.2f}" if over_rates else "–",
        f"{statistics.median(spikes):.2f}" if spikes else "–",
        f"{statistics.median(steps):.1f}",
    ]


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
