"""Training time to equal accuracy on the Witch's hat: diffusion against the best flow, in one run.

    python benchmarks/time_to_accuracy.py                 # 3 seeds, two runs at a time

Every method is trained afresh for each of its budgets, at the learning rate that served it best in
the stability study, one core a run, and judged by C2ST against exact draws for x in the middle of
the box, near an edge, and outside. For each way of averaging (all six observations; the middle
alone) the best flow is the one with the lowest C2ST at its longest budget, averaged over seeds. The
ratio is the time that diffusion needs to get there (between budgets: straight lines in log time)
over the shortest time in which *any* flow gets there.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from threadpoolctl import threadpool_limits

from diffsbi_edu import problems, train
from diffsbi_edu.benchmark.trial import METHODS, Trial, build
from diffsbi_edu.diagnostics import c2st

LR = 1e-2  # the best of 1e-4 to 1e-2 for each of these in the stability study
BUDGETS = {  # seconds
    "diffusion": (4.0, 8.0, 15.0, 30.0, 60.0),
    "maf": (15.0, 30.0, 60.0),
    "nsf": (30.0, 60.0),
    "coupling_loose": (60.0,),
}
PLACES = {
    "middle": ([0.5] * 5, [0.62, 0.25, 0.5, 0.4, 0.55]),
    "edge": ([0.5, 0.45, 0.55, 0.6, 0.895], [0.11, 0.3, 0.6, 0.5, 0.4]),
    "outside": ([0.95, 0.96, 0.5, 0.98, 0.02], [0.5, 0.02, 0.4, 0.6, 0.5]),
}
VIEWS = {"middle, edge and outside": tuple(PLACES), "middle": ("middle",)}

Curve = list[tuple[float, float]]  # (seconds, C2ST), in order of time


def one(
    method: str, seconds: float, seed: int, draws: int
) -> tuple[str, float, int, dict[str, float]]:
    """Train one model for a time; its real training seconds and its C2ST at each place."""
    torch.set_num_threads(1)
    threadpool_limits(1)
    problem = problems.WitchsHat()
    trial = Trial(method, LR, METHODS[method][1], seed, steps=None, seconds=seconds)
    settings = {"lr": LR, "clip": trial.clip, "batch_size": trial.batch_size, "seed": seed}
    pace = [state.seconds for state in train(build(trial, problem, "cpu"), 40, **settings)]
    steps = max(2, round(seconds / ((pace[-1] - pace[19]) / 20)))
    model = build(trial, problem, "cpu")
    *_, last = train(model, steps, **settings)
    scores = {}
    for place, points in PLACES.items():
        found = []
        for i, point in enumerate(points):
            x = torch.tensor([point])
            exact = problem.posterior(x).sample((draws,), seed=50 + i)
            found.append(c2st(model.sample(x, draws, seed=i), exact))
        scores[place] = statistics.fmean(found)
    print(
        f"  {method}, seed {seed}: {steps} steps in {last.seconds:.1f} s; "
        + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()),
        flush=True,
    )
    return method, last.seconds, seed, scores


def reach(curve: Curve, level: float) -> float:
    """Seconds at which a curve first gets down to a level; inf if it never does."""
    for i, (seconds, score) in enumerate(curve):
        if score <= level:
            if i == 0:
                return seconds
            (before, worse), share = curve[i - 1], 0.0
            share = (worse - level) / (worse - score)
            return math.exp(math.log(before) + share * (math.log(seconds) - math.log(before)))
    return math.inf


def curves(rows: Iterable[tuple[str, float, int, dict[str, float]]], places: tuple[str, ...]):
    """Method → its curve, averaged over seeds."""
    cells: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for method, seconds, _, scores in rows:
        budget = min(BUDGETS[method], key=lambda b: abs(math.log(b / seconds)))
        score = statistics.fmean(scores[p] for p in places)
        cells.setdefault((method, budget), []).append((seconds, score))
    found: dict[str, Curve] = {}
    for (method, _), values in sorted(cells.items()):
        mean = [statistics.fmean(column) for column in zip(*values, strict=True)]
        found.setdefault(method, []).append((mean[0], mean[1]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="of every budget")
    options = parser.parse_args()
    for method, seconds in BUDGETS.items():
        BUDGETS[method] = tuple(options.scale * s for s in seconds)
    jobs = [
        (method, seconds, seed, options.draws)
        for seed in range(options.seeds)
        for method, budgets in BUDGETS.items()
        for seconds in budgets
    ]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        rows = [f.result() for f in [pool.submit(one, *job) for job in jobs]]
    for view, places in VIEWS.items():
        found = curves(rows, places)
        print(f"\nC2ST, {view}, mean of {options.seeds} seeds (seconds: C2ST)")
        for method, curve in found.items():
            print(f"  {method:>15}: " + ", ".join(f"{s:.1f}: {score:.3f}" for s, score in curve))
        flows = {m: c for m, c in found.items() if m != "diffusion"}
        best = min(flows, key=lambda m: flows[m][-1][1])
        level = flows[best][-1][1]
        theirs = min(reach(curve, level) for curve in flows.values())
        ours = reach(found["diffusion"], level)
        print(
            f"  best flow {best}, C2ST {level:.3f} after {theirs:.1f} s; diffusion gets there "
            f"after {ours:.1f} s: ratio {ours / theirs:.2f}"
        )


if __name__ == "__main__":
    main()
