"""Simulated pairs (theta, x): batches in torch, against one pair at a time in NumPy.

    python benchmarks/simulators.py

Either side draws theta from the prior and x given theta; ours does so in batches of two million
numbers, five in a row, and checks what it returns. What the two NumPy columns are is said in
`rivals.py`. With `--check` it is first made sure that rivals and ours have the same law: of each
number of theta and of x (its mean and sd over a data set where it has many observations), the
ranks' means and mean deviations must agree within 5 standard errors. (Some 1,700 comparisons: one
check in 1,000 is a false alarm.)
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from rivals import RIVALS, Rival
from scipy.stats import rankdata

import diffsbi_edu as ds

CHECKED = 2000  # pairs of either side
BATCHES = 5  # of ours, one after another, in each round
STANDARD_ERRORS = 5.0


def pairs(rival: Rival, steps: bool, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Pairs of a rival, each as theta and what `told` says of x."""
    loop, found = rival.steps if steps else rival.calls, []
    for _ in range(count):
        theta = rival.prior(rng)
        x = np.asarray(loop(theta, rival.n, rng), dtype=float)
        found.append(np.concatenate([theta, told(x.reshape(rival.n, -1))]))
    return found


def told(x: np.ndarray) -> np.ndarray:
    """x (N, F) itself where N = 1, else mean and log sd of each feature."""
    return x[0] if len(x) == 1 else np.concatenate([x.mean(0), np.log(x.std(0) + 1e-9)])


def check(name: str, rival: Rival) -> float:
    """The largest difference of a mean or a mean absolute deviation, in standard errors.

    Of ranks, not of the numbers themselves, some of which have no variance.
    """
    problem, rng = ds.problems.get(name), np.random.default_rng(1)
    size = rival.n if problem.n_obs else None
    theta, x = problem.sample(CHECKED, seed=1, n_obs=size, device="cpu")
    ours = np.stack(
        [np.concatenate([t, told(row)]) for t, row in zip(theta.numpy(), x.double().numpy())]
    )
    worst = 0.0
    for steps in (False, True):
        theirs = np.stack(pairs(rival, steps, CHECKED, rng))
        both = np.concatenate([ours, theirs])
        rank = rankdata(both, axis=0)
        for centred in (rank, np.abs(rank - rank.mean(0))):
            a, b = centred[:CHECKED], centred[CHECKED:]
            error = np.sqrt((a.var(0) + b.var(0)) / CHECKED)
            worst = max(worst, float((np.abs(a.mean(0) - b.mean(0)) / error).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--loops", type=int, default=64, help="pairs that the NumPy loops make")
    parser.add_argument("--numbers", type=int, default=2**21, help="in a batch of ours, about")
    parser.add_argument("--only", nargs="+", choices=sorted(RIVALS), default=list(RIVALS))
    parser.add_argument("--check", action="store_true", help="that all three have the same law")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, µs per pair")
    ratios: list[tuple[float, float]] = []
    for name in options.only:
        rival, problem = RIVALS[name], ds.problems.get(name)
        if options.check:
            worst = check(name, rival)
            print(f"{name:26} largest difference {worst:.1f} standard errors")
            if worst > STANDARD_ERRORS:
                raise SystemExit(f"the NumPy rival of {name} has another law than ours.")
        size = rival.n if problem.n_obs else None  # None: the simulator fixes N itself
        theta, x = problem.sample(1, seed=0, n_obs=size, device="cpu")
        batch = max(1, options.numbers // (theta.numel() + x.numel()))
        rng, times = np.random.default_rng(0), ([], [], [])  # type: ignore[var-annotated]
        problem.sample(batch, seed=0, n_obs=size, device="cpu")  # warm up
        for repeat in range(options.repeats):  # in turns: a shared machine drifts
            start = time.perf_counter()
            for part in range(BATCHES):
                problem.sample(batch, seed=BATCHES * repeat + part, n_obs=size, device="cpu")
            times[0].append((time.perf_counter() - start) / (BATCHES * batch))
            for kept, loop in zip(times[1:], (rival.calls, rival.steps)):
                start = time.perf_counter()
                for _ in range(options.loops):
                    loop(rival.prior(rng), rival.n, rng)
                kept.append((time.perf_counter() - start) / options.loops)
        ours, calls, steps = (1e6 * statistics.median(t) for t in times)
        ratios.append((calls / ours, steps / ours))
        print(
            f"| {name} | {rival.n} | {ours:.3g} | {calls:.3g} ({calls / ours:.3g} times) "
            f"| {steps:.4g} ({steps / ours:.3g} times) |",
            flush=True,
        )
    for what, each in zip(("calls", "steps"), zip(*ratios)):
        print(f"{what}: median {statistics.median(each):.3g} times, least {min(each):.3g} times")


if __name__ == "__main__":
    main()
