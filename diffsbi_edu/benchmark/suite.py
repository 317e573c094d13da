"""The benchmark suite: problems × methods × seeds, each run once, on this machine or a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, Budget, named
from diffsbi_edu.benchmark.cluster import on_cluster
from diffsbi_edu.benchmark.results import key, read_results, write_results
from diffsbi_edu.benchmark.rows import Row, in_parallel, workers_for
from diffsbi_edu.benchmark.run_case import Run, run_case, settings_of
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.runtime import resolve_device

DEFAULT_METHODS = ("diffusion", "nsf")


def plan(
    problems: Sequence[str] | None = None,
    methods: Sequence[str] | None = DEFAULT_METHODS,
    seeds: int = 1,
    budget: str | Budget = "laptop",
) -> list[Run]:
    """The runs of a suite, those of one seed before those of the next.

    Args:
        problems: names from `CASES`; None for all.
        methods: names from `METHODS`; None for all.
        seeds: number of seeds, 0 … seeds − 1.
        budget: name from `BUDGETS`, or your own.

    Raises:
        ValueError: an unknown name (the nearest is offered), or no seed.

    Example:
        >>> runs = plan(["two_moons"], budget=Budget("tiny", steps=9))
        >>> [(run.problem, run.method) for run in runs]
        [('two_moons', 'diffusion'), ('two_moons', 'nsf')]
    """
    if seeds < 1:
        raise ValueError(f"seeds, how many to run, must be at least 1, got {seeds}.")
    if isinstance(budget, str):
        if budget not in BUDGETS:
            raise unknown_name("budget", budget, BUDGETS)
        budget = BUDGETS[budget]
    chosen = [CASES[name] for name in named("problem", problems, CASES)]
    tried = named("method", methods, METHODS)
    return [
        Run(case.problem, method, seed, budget.steps_of(case, method), budget)
        for seed in range(seeds)
        for case in chosen
        for method in tried
    ]


def run_suite(
    runs: Sequence[Run],
    path: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    device: str = "auto",
    progress: bool = True,
) -> list[Row]:
    """Do the runs that `path` does not hold yet, and return the rows of all.

    Every run computes on one core, in a process of its own, so that it gives the same numbers
    alone, beside others, or on a cluster. Each row is on disk as soon as its run is done: kill the
    suite at any time, and the same call goes on from there. Runs that failed are tried again.

    Args:
        runs: see `plan`.
        path: the results file (CSV).
        workers: processes; None for one a core on the CPU, and one on a GPU.
        scheduler: address of a dask scheduler, whose workers are used instead.
        device: where to train.
        progress: whether to show a progress bar.

    Returns:
        A row for each run that is done, in the order of `runs`. After Ctrl-C, those done so far.

    Raises:
        ValueError: `path` holds something else, or results of another version.
        OSError: the results cannot be written (the file stays as it was).
    """
    device = str(resolve_device(device))
    path = Path(path)
    table = {key(row): row for row in (_kept(path) if path.exists() else [])}
    keys = [key(settings_of(run)) for run in runs]
    todo = [r for r, k in zip(runs, keys) if k not in table or table[k]["status"] == "failed"]
    bar = tqdm(
        total=len(runs), initial=len(runs) - len(todo), disable=not progress, unit="run",
        mininterval=0.5,
    )  # fmt: skip
    try:
        for run, row in _done(todo, partial(run_case, device=device), workers, scheduler, device):
            table[key(row)] = row
            write_results(path, table.values())
            bar.update()
            if progress and row["status"] != "ok":
                bar.write(f"{run.problem}, {run.method}, seed {run.seed}: {row['reason']}")
    except KeyboardInterrupt:
        bar.write(f"interrupted after {bar.n} of {len(runs)} runs; the same command goes on.")
    finally:
        bar.close()
    return [table[k] for k in keys if k in table]


def _done(
    todo: Sequence[Run], work: Any, workers: int | None, scheduler: str | None, device: str
) -> Iterator[tuple[Run, Row]]:
    if scheduler is not None and todo:
        return on_cluster(todo, work, scheduler)
    workers = workers_for(device) if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    return in_parallel(todo, work, workers)


def _kept(path: Path) -> list[Row]:
    return read_results(path, version=metadata.version("diffsbi-edu"))
