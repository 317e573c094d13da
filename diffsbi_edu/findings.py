"""What the suite found, problem by problem: the rows of a laptop run, kept with the package."""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("suite_laptop.csv")


@dataclass(frozen=True)
class Finding:
    """A method's record on a problem, averaged over the runs that ended.

    Of the seeds that all methods there were run with: seeds are judged by different simulations,
    some of which flatter whatever they judge.

    Attributes:
        method: its name in `cases.METHODS`.
        runs: how many; each has a seed of its own.
        sbc_ks: mean Kolmogorov–Smirnov distance of the SBC ranks from uniform.
        c2st: against exact draws; None where there are none.
        n_sims, n_samples: simulations behind each SBC distance, and draws for each; the most over
            the runs.
    """

    method: str
    runs: int
    sbc_ks: float
    c2st: float | None
    n_sims: int
    n_samples: int


def findings(problem: str, path: Path = FILE) -> list[Finding]:
    """What the suite's laptop run found on a problem, a method each; empty if it was not run.

    Args:
        problem: its snake-case name.
        path: a results file of the suite.

    Example:
        >>> [found.method for found in findings("socks")]
        ['diffusion', 'nsf', 'maf', 'coupling']
    """
    return list(_read(path).get(problem, []))


@cache
def _read(path: Path) -> dict[str, list[Finding]]:
    runs: dict[str, dict[str, list[dict[str, str]]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["status"] == "ok":
                runs.setdefault(row["problem"], {}).setdefault(row["method"], []).append(row)
    return {
        problem: [_finding(method, rows) for method, rows in _of_shared_seeds(methods).items()]
        for problem, methods in runs.items()
    }


def _of_shared_seeds(methods: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, str]]]:
    """The rows of seeds that every method has; all rows, where there is no such seed."""
    shared = set.intersection(*({row["seed"] for row in rows} for rows in methods.values()))
    return {
        method: [row for row in rows if row["seed"] in shared] or rows
        for method, rows in methods.items()
    }


def _finding(method: str, rows: list[dict[str, str]]) -> Finding:
    scores = [float(row["c2st"]) for row in rows if row["c2st"] not in ("", "nan")]
    return Finding(
        method,
        len(rows),
        statistics.fmean(float(row["sbc_ks"]) for row in rows),
        statistics.fmean(scores) if scores else None,
        max(int(row["n_sims"]) for row in rows),
        max(int(row["n_samples"]) for row in rows),
    )
