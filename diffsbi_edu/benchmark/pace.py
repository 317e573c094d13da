"""How long a training step takes, so that a budget in seconds is a number of steps everywhere.

Steps counted by a clock would make every run a new one: a busy machine trains less. Instead the
pace of each method on each problem is measured once, and kept beside this file.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

from tqdm.auto import tqdm

from diffsbi_edu.benchmark.cases import (
    CASES,
    METHODS,
    PACE,
    PACE_COLUMNS,
    Method,
    Pace,
    paces,
)
from diffsbi_edu.benchmark.rows import write_rows
from diffsbi_edu.benchmark.run_case import one_core
from diffsbi_edu.run import TrainState
from diffsbi_edu.training import train

WARM_UP = 5
COLUMNS = ("problem", "method", *PACE_COLUMNS)
STORED = 2048  # summaries whose making is timed


def measure_pace(problem: str, method: str | Method, steps: int = 24) -> Pace:
    """The pace of a method, by name or as it is, on a problem, on one core.

    Where the number of observations is random, short and long batches both count, in the mean.
    """
    case, how = CASES[problem], METHODS[method] if isinstance(method, str) else method
    built = case.build_problem()
    with one_core():
        model = how.model(case, built, 0, "cpu")
        each = _ms(train(model, WARM_UP + steps, seed=0, **how.arguments(case)))
        kept = each[WARM_UP:]
        step = statistics.median(kept) if built.fixed_n_obs else statistics.fmean(kept)
        rest = how.finishing(case)
        if rest is None:
            return Pace(step)
        how.prepare_finish(model)
        first, *each = _ms(train(model, WARM_UP + steps, summaries=STORED, seed=0, **rest))
    decoder = statistics.median(each[WARM_UP - 1 :])
    return Pace(step, decoder, (first - decoder) / STORED)


def _ms(states: Iterable[TrainState]) -> list[float]:
    """What each step takes of the core's own time, which other work changes less than a clock's."""
    clock = [time.process_time(), *(time.process_time() for _ in states)]
    return [1000 * (b - a) for a, b in pairwise(clock)]


def write_paces(
    problems: Sequence[str],
    methods: Sequence[str],
    path: Path = PACE,
    *,
    rounds: int = 3,
    progress: bool = True,
) -> None:
    """Measure the pace of each pair and put it into the table, beside those of other pairs.

    A machine's speed wanders by a third within minutes: so each is the best of several rounds, and
    in each round the methods of a problem come one after another.
    """
    table = dict(paces(path)) if path.exists() else {}
    pairs = [(p, m) for p in problems for m in methods]
    measured: dict[tuple[str, str], list[Pace]] = {pair: [] for pair in pairs}
    for pair in tqdm(pairs * rounds, disable=not progress, unit="pair", mininterval=0.5):
        measured[pair].append(measure_pace(*pair))
    for pair, found in measured.items():
        table[pair] = Pace(*map(min, zip(*map(astuple, found))))
    paces.cache_clear()
    order = {name: i for i, name in enumerate([*CASES, *METHODS])}
    pairs = sorted(table, key=lambda pair: tuple(order.get(name, -1) for name in pair))
    numbers = {
        p: ["" if math.isnan(ms) else f"{ms:.3g}" for ms in astuple(table[p])] for p in pairs
    }
    write_rows(path, [dict(zip(COLUMNS, (*p, *numbers[p]))) for p in pairs], COLUMNS)
