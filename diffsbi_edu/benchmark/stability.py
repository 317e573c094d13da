"""The stability study: methods × learning rates × depths × seeds, every run watched and judged.

One tidy table, one row a run, kept on disk as it grows: an interrupted study goes on where it was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from diffsbi_edu.benchmark.rows import Row, in_parallel, read_rows, workers_for, write_rows
from diffsbi_edu.benchmark.trial import (
    METHODS,
    OUTCOME_FIELDS,
    TRIAL_FIELDS,
    Judge,
    Trial,
    run_trial,
)
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import resolve_device

COLUMNS = ["problem", *TRIAL_FIELDS, *OUTCOME_FIELDS]
LRS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def trials(
    methods: Sequence[str] = ("diffusion", "coupling", "maf", "nsf"),
    lrs: Sequence[float] = LRS,
    depths: Sequence[float] = (1.0,),
    seeds: int = 3,
    **settings: Any,
) -> list[Trial]:
    """The grid of a study.

    Args:
        methods: names from `METHODS`.
        lrs: peak learning rates.
        depths: multiples of each method's own depth (rounded, at least 1).
        seeds: number of seeds, 0 … seeds − 1.
        **settings: of every `Trial`: clip, steps or seconds, batch_size.

    Raises:
        ValueError: an unknown method, an empty grid, or an impossible setting.

    Example:
        >>> [t.depth for t in trials(["diffusion", "nsf"], lrs=[1e-3], depths=[1, 2], seeds=1)]
        [3, 6, 5, 10]
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise unknown_name("method", unknown[0], METHODS)
    grid = list(
        dict.fromkeys(
            Trial(method, float(lr), max(1, round(METHODS[method][1] * scale)), seed, **settings)
            for method, lr, scale, seed in itertools.product(methods, lrs, depths, range(seeds))
        )
    )
    if not grid:
        raise ValueError("the grid is empty: give at least one method, lr, depth and seed.")
    return grid


def stability_study(
    problem: Problem,
    grid: Iterable[Trial] | None = None,
    *,
    path: str | Path | None = None,
    x_obs: torch.Tensor | None = None,
    draws: int = 1000,
    target: float = 0.6,
    checks: int = 4,
    n_sims: int = 500,
    n_samples: int = 50,
    workers: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> list[Row]:
    """Train and judge every run of a grid, and return (and keep) one row for each.

    Args:
        problem: a built-in problem, or one of your own (then with `workers` = 1, unless it can be
            pickled).
        grid: what to run; None for `trials()`.
        path: CSV file. Rows that it holds already are not run again; each new row is saved at once.
        x_obs: observations (K, N, F) at which C2ST against exact samples is measured; None for
            three simulated ones.
        draws: posterior draws for each C2ST.
        target: C2ST that the column `seconds_to_target` waits for.
        checks: C2STs on the way of each run, the last at its end.
        n_sims, n_samples: of SBC; n_sims = 0 for none.
        workers: processes, each computing on one core; None for one a core on the CPU and one on a
            GPU. One worker runs in this process, with all its threads.
        device: where to train.
        progress: whether to show a progress bar.

    Returns:
        The rows of the grid, in its order, as dictionaries: the columns `COLUMNS`, which are
        problem, the fields of `Trial` and those of `Outcome`. After Ctrl-C those done so far.

    Raises:
        ValueError: impossible settings, or `path` holds another kind of table.

    Example:
        >>> from diffsbi_edu import problems
        >>> grid = trials(["diffusion"], lrs=[1e-3], seeds=1, steps=40)
        >>> rows = stability_study(
        ...     problems.Gaussian2D(), grid, draws=50, n_sims=10, workers=1, progress=False
        ... )
        >>> rows[0]["method"], rows[0]["trained_steps"], rows[0]["diverged"]
        ('diffusion', 40, False)
    """
    grid = list(trials() if grid is None else grid)
    device = str(resolve_device(device))
    workers = workers_for(device) if workers is None else workers
    if workers < 1 or checks < 1:
        raise ValueError(f"workers and checks must be at least 1, got {workers} and {checks}.")
    judge = Judge.of(
        problem, x_obs, draws, target=target, checks=checks, n_sims=n_sims, n_samples=n_samples
    )
    name = problem.name if problem.config() is None else f"{problem.name} {problem.config()}"
    table = {_key(row): row for row in (read_table(path) if path and Path(path).exists() else [])}
    todo = [trial for trial in grid if _key(_settings(name, trial)) not in table]
    bar = tqdm(total=len(grid), initial=len(grid) - len(todo), disable=not progress, unit="run")
    try:
        work = partial(run_trial, problem=problem, judge=judge, device=device)
        for trial, outcome in in_parallel(todo, work, workers):
            row = _settings(name, trial) | {f: getattr(outcome, f) for f in OUTCOME_FIELDS}
            table[_key(row)] = row
            if path:
                write_table(path, table.values())
            bar.update()
    except KeyboardInterrupt:
        bar.write(
            f"interrupted after {bar.n} of {len(grid)} runs; the same call goes on from here."
        )
    finally:
        bar.close()
    keys = [_key(_settings(name, trial)) for trial in grid]
    return [table[key] for key in keys if key in table]


# --- the table on disk --------------------------------------------------------------------------


def _settings(name: str, trial: Trial) -> Row:
    return {"problem": name} | {f: getattr(trial, f) for f in TRIAL_FIELDS}


def _key(row: Row) -> tuple[Any, ...]:
    """What identifies a run."""
    return tuple(row[column] for column in ("problem", *TRIAL_FIELDS))


def write_table(path: str | Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, whole or not at all."""
    write_rows(path, rows, COLUMNS)


def read_table(path: str | Path) -> list[Row]:
    """The rows of a study's CSV file, numbers as numbers and empty cells as None.

    Raises:
        ValueError: the file is not such a table.
    """
    return read_rows(path, COLUMNS, "stability", _parsed)


_TEXT = {"problem", "method", "reason"}
_WHOLE = {"depth", "seed", "steps", "batch_size", "trained_steps"}


def _parsed(column: str, cell: str | None) -> Any:
    if column in _TEXT:
        return cell or ""
    if not cell:
        return None
    if column == "diverged":
        return cell == "True"
    return int(cell) if column in _WHOLE else float(cell)


def summary(rows: Sequence[Row]) -> list[Row]:
    """Means over seeds: one row for each problem, method, learning rate, depth and clip.

    Columns: those five, runs, diverged (a fraction), and the means over the seeds that did not end
    in NaN of c2st, sbc_ks, worst_spike, largest_grad_norm and ms_per_step.
    """
    by = ("problem", "method", "lr", "depth", "clip")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[c] for c in by), []).append(row)
    table = []
    for key, members in groups.items():
        means = {
            c: _mean([row[c] for row in members])
            for c in ("c2st", "sbc_ks", "worst_spike", "largest_grad_norm")
        }
        means["ms_per_step"] = _mean(
            [1000 * r["trained_seconds"] / max(1, r["trained_steps"]) for r in members]
        )
        diverged = sum(row["diverged"] for row in members) / len(members)
        table.append(dict(zip(by, key)) | {"runs": len(members), "diverged": diverged} | means)
    return table


def _mean(values: list[float]) -> float:
    finite = [v for v in values if v is not None and math.isfinite(v)]
    return sum(finite) / len(finite) if finite else math.nan
