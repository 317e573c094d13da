"""How long a training step takes, so that a budget in seconds is a number of steps everywhere.

Steps counted by a clock would make every run a new one: a busy machine trains less. Instead the
pace of each method on each problem is measured once, and kept beside this file.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from diffsbi_edu.benchmark.cases import CASES, METHODS, PACE
from diffsbi_edu.benchmark.rows import write_rows
from diffsbi_edu.benchmark.run_case import one_core
from diffsbi_edu.training import train

WARM_UP = 5
COLUMNS = ("problem", "method", "ms_per_step")


def measure_pace(problem: str, method: str, steps: int = 24) -> float:
    """Milliseconds a training step of a method on a problem, on one core.

    Where the number of observations is random, short and long batches both count, in the mean.
    """
    case, how = CASES[problem], METHODS[method]
    built = case.build_problem()
    with one_core():
        model = how.model(case, built, 0, "cpu")
        batch_size = how.batch_size or case.batch_size
        states = train(model, WARM_UP + steps, batch_size=batch_size, seed=0, **how.training)
        # The core's own time: a machine that is busy with other things does not change it much.
        clock = [time.process_time() for _ in states]
    each = [b - a for a, b in zip(clock[WARM_UP - 1 : -1], clock[WARM_UP:])]
    return 1000 * (statistics.fmean(each) if not built.fixed_n_obs else statistics.median(each))


def write_paces(
    problems: Sequence[str], methods: Sequence[str], path: Path = PACE, *, progress: bool = True
) -> None:
    """Measure the pace of each pair and put it into the table, beside those of other pairs."""
    table: dict[tuple[str, str], float] = {}
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                table[row["problem"], row["method"]] = float(row["ms_per_step"])
    pairs = [(p, m) for p in problems for m in methods]
    for pair in tqdm(pairs, disable=not progress, unit="pair", mininterval=0.5):
        table[pair] = measure_pace(*pair)
    order = {name: i for i, name in enumerate([*CASES, *METHODS])}
    pairs = sorted(table, key=lambda pair: tuple(order.get(name, -1) for name in pair))
    write_rows(path, [dict(zip(COLUMNS, (*p, f"{table[p]:.3g}"))) for p in pairs], COLUMNS)
