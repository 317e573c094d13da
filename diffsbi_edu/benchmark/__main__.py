"""The benchmark suite and two studies: `python -m diffsbi_edu.benchmark COMMAND --help`.

Without a command, `run`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from diffsbi_edu import problems
from diffsbi_edu.benchmark import suite_commands
from diffsbi_edu.benchmark.power import ERRORS, TESTS, power_study, power_table
from diffsbi_edu.benchmark.stability import LRS, stability_study, summary, trials
from diffsbi_edu.benchmark.trial import METHODS
from diffsbi_edu.plots import study


def parser() -> argparse.ArgumentParser:
    """The options of every command."""
    top = argparse.ArgumentParser(prog="python -m diffsbi_edu.benchmark", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    suite_commands.add(commands)
    runs = commands.add_parser(
        "stability",
        help="methods × learning rates × depths × seeds: who diverges, who is accurate, how soon",
    )
    add = runs.add_argument
    add("--problem", default="witchs_hat", choices=sorted(problems.available()))
    add("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    add("--lrs", nargs="+", type=float, default=list(LRS), help="peak learning rates")
    add("--depths", nargs="+", type=float, default=[1.0], help="multiples of each default depth")
    add("--seeds", type=int, default=3, help="seeds of each setting")
    add("--clips", nargs="+", type=float, default=[1.0], help="largest gradient norms; inf: none")
    budget = runs.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, help="training steps of every run (default 1500)")
    budget.add_argument("--seconds", type=float, help="training time of every run, instead")
    add("--draws", type=int, default=1000, help="posterior draws for each C2ST")
    add("--sims", type=int, default=500, help="simulations of SBC; 0: none")
    add("--checks", type=int, default=4, help="C2STs on the way of each run")
    add("--target", type=float, default=0.6, help="C2ST that the time to target waits for")
    add("--workers", type=int, help="processes (default: one a core)")
    add("--device", default="auto")
    add("--out", type=Path, default=Path("stability"), help="folder for the table and figures")
    power = commands.add_parser(
        "power", help="errors × simulations × repeats: which diagnostic sees which error"
    )
    add = power.add_argument
    add("--problem", default="two_moons", choices=sorted(problems.available()))
    add("--errors", nargs="+", default=list(ERRORS), choices=list(ERRORS))
    add("--sims", nargs="+", type=int, default=[100, 300, 1000], help="numbers of simulations")
    add("--draws", type=int, default=100, help="posterior draws for each simulation")
    add("--repeats", type=int, default=50)
    add("--workers", type=int, help="processes (default: one a core)")
    add("--seed", type=int, default=0, help="of the first repeat")
    add("--out", type=Path, default=Path("power"), help="folder for the table and the figure")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given = ["run", *given]
    options = parser().parse_args(given)
    try:
        done = (COMMANDS | suite_commands.COMMANDS)[options.command](options)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if done else 1


def _stability(options: argparse.Namespace) -> bool:
    """The stability study; whether all its runs are done."""
    steps = None if options.seconds else options.steps or 1500
    grid = [
        trial
        for clip in options.clips
        for trial in trials(
            options.methods, options.lrs, options.depths, options.seeds,
            clip=clip, steps=steps, seconds=options.seconds,
        )
    ]  # fmt: skip
    rows = stability_study(
        problems.get(options.problem), grid, path=options.out / "stability.csv",
        draws=options.draws, n_sims=options.sims, target=options.target,
        checks=options.checks, workers=options.workers, device=options.device,
    )  # fmt: skip
    if not rows:
        return False
    study.stability(rows).savefig(options.out / "stability.png", dpi=110)
    print(
        f"{'method':>15} {'lr':>8} {'depth':>5} {'clip':>5} {'diverged':>8} {'C2ST':>6} {'KS':>6}"
    )
    for row in summary(rows):
        print(
            f"{row['method']:>15} {row['lr']:8.0e} {row['depth']:5d} {row['clip']:5g} "
            f"{row['diverged']:8.0%} {row['c2st']:6.3f} {row['sbc_ks']:6.3f}"
        )
    print(f"{len(rows)} of {len(grid)} runs; table and figure in {options.out}")
    return len(rows) == len(grid)


def _power(options: argparse.Namespace) -> bool:
    """The power study; whether all its repeats are done."""
    rows = power_study(
        problems.get(options.problem), {name: ERRORS[name] for name in options.errors},
        n_sims=options.sims, n_samples=options.draws, repeats=options.repeats,
        path=options.out / "power.csv", workers=options.workers, seed=options.seed,
    )  # fmt: skip
    if not rows:
        return False
    table = power_table(rows)
    study.power(table, TESTS).savefig(options.out / "power.png", dpi=110)
    print(f"{'error':>20} {'sims':>5} {'repeats':>7} " + " ".join(f"{t[:16]:>16}" for t in TESTS))
    for row in table:
        print(
            f"{row['error']:>20} {row['n_sims']:5d} {row['repeats']:7d} "
            + " ".join(f"{row[t]:16.3f}" for t in TESTS)
        )
    wanted = len(options.errors) * len(options.sims) * options.repeats
    print(f"{len(rows)} of {wanted} rows; table and figure in {options.out}")
    return len(rows) == wanted


COMMANDS = {"stability": _stability, "power": _power}


if __name__ == "__main__":
    sys.exit(main())
