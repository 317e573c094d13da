"""The power study: which diagnostic sees which error, at how many simulations.

Exact posteriors are spoilt in known ways (`diagnostics.Error`), and the calibration suite is run on
draws from them, over and over. The share of repeats in which a test's p-value is below the level is
its *power* against that error, and, where nothing is wrong, its false-alarm rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from diffsbi_edu.benchmark.rows import Row, in_parallel, read_rows, workers_for, write_rows
from diffsbi_edu.diagnostics import Error, Spoilt, calibrate_draws
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import make_generator

TESTS = (
    "sbc", "tarp, random references", "tarp, guessed references", "discriminative", "suite",
)  # fmt: skip
#: The errors of the standard study: none; those that every check should see; and a ladder.
ERRORS: dict[str, Error] = {
    "none": Error(),
    "20 % too narrow": Error(scale=0.8),
    "shift by 0.3 sd": Error(shift=0.3),
    "sign flipped": Error(flip=True),
    "the prior": Error(ignore=1.0),
    "mode dropped": Error(drop=1.0),
    "dependence lost": Error(decorrelate=True),
    "5 % too narrow": Error(scale=0.95),
    "10 % too narrow": Error(scale=0.9),
    "20 % too wide": Error(scale=1.2),
    "shift by 0.1 sd": Error(shift=0.1),
    "20 % prior": Error(ignore=0.2),
    "half a mode dropped": Error(drop=0.5),
}


@dataclass(frozen=True)
class Repeat:
    """One repeat: all errors and sizes share its simulations and exact draws.

    Attributes:
        number: of the repeat; the seed follows from it.
        cells: (name of the error, number of simulations) still to be done.
    """

    number: int
    cells: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Setting:
    """What identifies a row."""

    problem: str
    error: str
    n_sims: int
    n_samples: int
    repeat: int


KEYS = [f.name for f in fields(Setting)]
COLUMNS = [*KEYS, *TESTS, "seconds"]


def power_study(
    problem: Problem,
    errors: Mapping[str, Error] | None = None,
    *,
    n_sims: Sequence[int] = (100, 300, 1000),
    n_samples: int = 100,
    repeats: int = 50,
    path: str | Path | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> list[Row]:
    """Run the calibration suite on exact posteriors with known errors, many times.

    Args:
        problem: one with an exact posterior.
        errors: name → what is wrong; None for `ERRORS`.
        n_sims: numbers of simulations, each at least 100.
        n_samples: posterior draws for each simulation.
        repeats: of everything, with fresh simulations.
        path: CSV file. Rows that it holds already are not run again; new ones are saved after every
            repeat.
        workers: processes, each on one core; None for one a core.
        seed: of the first repeat; the others count on from it.
        progress: whether to show a progress bar over repeats.

    Returns:
        A row for each error, size and repeat: p-values of `TESTS`, and the seconds that the suite
        took. After Ctrl-C those done so far.

    Raises:
        ValueError: impossible settings, or `path` holds another kind of table.
        NoExactPosterior: the problem has none.

    Example:
        >>> from diffsbi_edu import problems
        >>> rows = power_study(
        ...     problems.Gaussian2D(), {"the prior": Error(ignore=1.0)}, n_sims=[200], n_samples=20,
        ...     repeats=2, workers=1, progress=False,
        ... )
        >>> len(rows), power_table(rows)[0]["suite"]
        (2, 1.0)
    """
    errors = dict(ERRORS if errors is None else errors)
    if not errors or not n_sims or min(n_sims) < 100 or n_samples < 4 or repeats < 1:
        raise ValueError(
            "a power study needs an error, n_sims ≥ 100, n_samples ≥ 4 and repeats ≥ 1, got "
            f"{list(errors)}, {list(n_sims)}, {n_samples} and {repeats}."
        )
    problem.posterior(problem.sample(1, seed=0, device="cpu")[1][0])  # none known: said at once
    workers = workers_for("cpu") if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    table = {_key(row): row for row in (read_power(path) if path and Path(path).exists() else [])}
    every = [
        Setting(problem.name, name, n, n_samples, seed + i)
        for i in range(repeats)
        for name in errors
        for n in n_sims
    ]
    missing: dict[int, list[tuple[str, int]]] = {}
    for setting in every:
        if _key(vars(setting)) not in table:
            missing.setdefault(setting.repeat, []).append((setting.error, setting.n_sims))
    todo = [Repeat(number, tuple(cells)) for number, cells in missing.items()]
    work = partial(run_repeat, problem=problem, errors=errors, n_samples=n_samples)
    bar = tqdm(total=repeats, initial=repeats - len(todo), disable=not progress, unit="repeat")
    try:
        for _, rows in in_parallel(todo, work, workers):
            table |= {_key(row): row for row in rows}
            if path:
                write_rows(path, table.values(), COLUMNS)
            bar.update()
    except KeyboardInterrupt:
        bar.write(f"interrupted after {bar.n} of {repeats} repeats; the same call goes on.")
    finally:
        bar.close()
    return [table[_key(vars(s))] for s in every if _key(vars(s)) in table]


def run_repeat(
    repeat: Repeat, problem: Problem, errors: Mapping[str, Error], n_samples: int
) -> list[Row]:
    """The rows of one repeat."""
    largest = max(n for _, n in repeat.cells)
    theta, x = problem.sample(largest, seed=repeat.number, device="cpu")
    exact = Spoilt(problem).sample(x, n_samples, seed=repeat.number)
    prior = problem.sample_prior(10_000, seed=repeat.number + 1, device="cpu")
    rows = []
    for name, n in repeat.cells:
        generator = make_generator(repeat.number)
        draws = errors[name].applied(exact[:, :n], prior, generator)
        start = time.perf_counter()
        found = calibrate_draws(theta[:n], x[:n], draws, problem, seed=repeat.number)
        seconds = time.perf_counter() - start
        setting = Setting(problem.name, name, n, n_samples, repeat.number)
        p_values = {test: round(p, 5) for test, p in found.p_values.items()}
        suite = {"suite": round(found.p_value, 5), "seconds": round(seconds, 3)}
        rows.append(vars(setting) | p_values | suite)
    return rows


def read_power(path: str | Path) -> list[Row]:
    """The rows of a power study's CSV file.

    Raises:
        ValueError: the file is not such a table.
    """
    return read_rows(path, COLUMNS, "power", _parsed)


def _parsed(column: str, cell: str | None) -> Any:
    if column in ("problem", "error"):
        return cell or ""
    return int(cell or 0) if column in KEYS else float(cell or math.nan)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in KEYS)


def power_table(rows: Sequence[Row], level: float = 0.05) -> list[Row]:
    """Shares of repeats with p-values below `level`: a row for each problem, error and size.

    Columns: problem, error, n_sims, repeats, each of `TESTS`, and the mean seconds of the suite.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("needs at least one row of a power study.")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["problem"], row["error"], row["n_sims"]), []).append(row)
    table = []
    for (problem, error, n), members in groups.items():
        shares = {t: sum(m[t] < level for m in members) / len(members) for t in TESTS}
        seconds = sum(m["seconds"] for m in members) / len(members)
        head = {"problem": problem, "error": error, "n_sims": n, "repeats": len(members)}
        table.append(head | shares | {"seconds": seconds})
    return table
