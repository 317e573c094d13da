"""The commands of the suite: `run`, `report`, `pace` and `list`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, named, paces
from diffsbi_edu.benchmark.pace import write_paces
from diffsbi_edu.benchmark.report import Report
from diffsbi_edu.benchmark.results import read_results
from diffsbi_edu.benchmark.suite import DEFAULT_METHODS, plan, run_suite

RESULTS = "results.csv"


def add(commands: Any) -> None:
    """Add the commands' options to a parser's subcommands."""
    runs = commands.add_parser(
        "run",
        help="problems × methods × seeds: accuracy, calibration and time, one row a run; goes on "
        "where it was stopped",
    )
    choose = runs.add_argument
    # Names are checked later, so that the nearest can be offered.
    choose("--problems", nargs="+", metavar="NAME", help="default: all; see `list`")
    choose("--methods", nargs="+", metavar="NAME", default=list(DEFAULT_METHODS))
    choose("--seeds", type=int, default=1, help="seeds of each (default 1)")
    choose("--budget", default="laptop", help=", ".join(BUDGETS) + " (default laptop)")
    choose("--device", default="auto")
    choose("--workers", type=int, help="processes, each on one core (default: one a core)")
    choose("--scheduler", metavar="ADDRESS", help="of a dask cluster, such as tcp://host:8786")
    choose("--out", type=Path, default=Path("benchmark_results"), help="folder of the results")
    told = commands.add_parser("report", help="tables and figures of a results folder")
    told.add_argument("folder", type=Path, nargs="?", default=Path("benchmark_results"))
    told.add_argument("--budget", help="which, if the folder holds several")
    timed = commands.add_parser("pace", help="measure how long a training step takes (maintainers)")
    timed.add_argument("--problems", nargs="+", metavar="NAME")
    timed.add_argument("--methods", nargs="+", metavar="NAME")
    commands.add_parser("list", help="problems, methods and budgets")


def _run(options: argparse.Namespace) -> bool:
    runs = plan(options.problems, options.methods, options.seeds, options.budget)
    rows = run_suite(
        runs, options.out / RESULTS, workers=options.workers, scheduler=options.scheduler,
        device=options.device,
    )  # fmt: skip
    if rows:
        print(f"{len(rows)} of {len(runs)} runs; report: {Report(rows).save(options.out)}")
    return len(rows) == len(runs)


def _report(options: argparse.Namespace) -> bool:
    rows = read_results(options.folder / RESULTS)
    if options.budget:
        rows = [row for row in rows if row["budget"] == options.budget]
    report = Report(rows)
    report.save(options.folder)
    print(report.markdown())
    return True


def _pace(options: argparse.Namespace) -> bool:
    write_paces(
        named("problem", options.problems, CASES), named("method", options.methods, METHODS)
    )
    return True


def _list(options: argparse.Namespace) -> bool:
    known = paces()
    for case in CASES.values():
        measured = ", ".join(m for m in METHODS if (case.problem, m) in known) or "no pace known"
        encoder = f"{case.encoder}, " if case.encoder else ""
        print(f"{case.problem:28s} {case.group:18s} {encoder}{measured}")
    print("methods: " + ", ".join(METHODS))
    print("budgets: " + ", ".join(BUDGETS))
    return True


COMMANDS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "run": _run, "report": _report, "pace": _pace, "list": _list,
}  # fmt: skip
