"""The diagnostics themselves: false alarms, power, speed, memory.

    python benchmarks/calibration.py                       # all but the power study: about an hour
    python benchmarks/calibration.py --only speed memory   # a minute

The suite's power comes from

    python -m diffsbi_edu.benchmark power --sims 1000 --repeats 40
    python -m diffsbi_edu.benchmark power --problem gaussian_2d --sims 300 1000 --repeats 30

Here the exact posteriors are those of a normal model, written down independently of the library
(tests/calibrated.py), so that each test can be repeated 500 times.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch
import yardstick
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from calibrated import Normal, joint, normal_problem

import diffsbi_edu as ds
from diffsbi_edu import diagnostics
from diffsbi_edu.diagnostics import SBCResult, TARPResult
from diffsbi_edu.diagnostics.uniformity import kolmogorov

AT = torch.tensor([[0.4, -0.6]])
#: What every test should see, as errors of the normal posterior.
WRONG = {
    "none": ("none", 1.0),
    "20 % too narrow": ("scale", 0.8),
    "shift by 0.3 sd": ("shift", 0.3),
    "sign flipped": ("flip", 1.0),
    "the prior": ("prior", 1.0),
}


def one_repeat(name: str, local: int, seed: int) -> dict[str, float]:
    """p-values of every test that is not in the power study, for one wrong (or right) posterior.

    The local C2ST, which takes most of the time, only in the first `local` repeats.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
    error, size = WRONG[name]
    model, problem = Normal(error, size), normal_problem()
    theta, _, draws = joint(300, 100, error, size, seed=1000 + 2 * seed)
    sbc = SBCResult.from_draws(theta, draws, seed=seed)
    there = model.sample(AT[None], 500, seed=seed)[:, 0]
    exact = Normal().sample(AT[None], 500, seed=seed + 10**6)[:, 0]
    uniform = diagnostics.uniformity.jittered(sbc.ranks, 100, seed=seed)
    found = {
        "SBC (300 × 100)": sbc.p_value,
        "SBC, Kolmogorov–Smirnov, first coordinate": float(kolmogorov(uniform)[0]),
        "SBC, outside the simultaneous band (first coordinate)": outside(sbc),
        "TARP, random references": TARPResult.from_draws(theta, draws, seed=seed).p_value,
        "expected coverage (300 × 50)": diagnostics.expected_coverage(
            model, problem, 300, 50, seed=seed
        ).p_value,
        "learned test (300 × 50)": diagnostics.discriminative_calibration(
            model, problem, 300, 50, seed=seed
        ).p_value,
        "MMD, 500 against 500 exact draws at one x": diagnostics.mmd(
            there, exact, permutations=199, seed=seed
        ).p_value,
    }
    if seed < local:
        # With 39 classifiers under the null, p ≤ 0.05 has probability 2/40.
        at_x = diagnostics.local_c2st(model, problem, AT, 500, n=300, n_null=39, seed=seed)
        found["local C2ST at one x (500 simulations)"] = at_x.p_value - 1e-9
    return found


def outside(sbc: SBCResult) -> float:
    """0 if the first coordinate's ECDF leaves its simultaneous 95 % band, else 1."""
    low, high = diagnostics.bands.ecdf_band(len(sbc.ranks), sbc.n_samples + 1)
    ecdf = sbc.ecdf[:, 0]
    return 0.0 if bool(((ecdf < low - 1e-9) | (ecdf > high + 1e-9)).any()) else 1.0


def rates(repeats: dict[str, int], local: int, workers: int) -> None:
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for name, count in repeats.items():
            start = time.perf_counter()
            found = list(pool.map(partial(one_repeat, name, local), range(count), chunksize=5))
            print(f"\n{name}: share of repeats with p < 0.05")
            for test in found[0]:
                p_values = [f[test] for f in found if test in f]
                share = sum(p < 0.05 for p in p_values) / len(p_values)
                error = (share * (1 - share) / len(p_values)) ** 0.5
                print(f"  {test:55s} {share:6.1%} ± {error:.1%} of {len(p_values)}")
            print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)


def timed(what: str, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    print(f"  {what:60s} {time.perf_counter() - start:6.2f} s", flush=True)


def speed() -> None:
    """SBC 1,000 × 100 of a trained-size model with 5 parameters, and what the others add."""
    problem = ds.problems.WitchsHat()
    model = ds.ConditionalDiffusion(problem, seed=0)
    ds.fit(model, 50, seed=0, progress=False)
    model.sample(torch.full((200, 1, 5), 0.5), 100, seed=0)  # warm up
    print(f"speed, on {torch.get_num_threads()} threads; yardstick {yardstick.measure(200):.1f} s")
    for _ in range(3):
        timed("SBC 1,000 × 100, 5 parameters", lambda: diagnostics.sbc(model, problem, 1000, 100))
    timed("the suite, all from the same draws", lambda: diagnostics.calibrate(model, problem))
    theta, x = problem.sample(1000, seed=1, device="cpu")
    draws = model.sample(x, 100, seed=2)
    timed("SBC from draws that are there", lambda: SBCResult.from_draws(theta, draws).p_value)
    timed("TARP from draws that are there", lambda: TARPResult.from_draws(theta, draws).p_value)
    timed(
        "the suite from draws that are there",
        lambda: diagnostics.calibrate_draws(theta, x, draws, problem),
    )
    flow = ds.ConditionalFlow(problem, flow="maf", seed=0)
    timed("expected coverage, flow, 500 × 50", lambda: diagnostics.expected_coverage(flow, problem))
    timed(
        "expected coverage, diffusion, 100 × 50",
        lambda: diagnostics.expected_coverage(model, problem, 100, 50),
    )
    timed(
        "local C2ST, 2,000 simulations", lambda: diagnostics.local_c2st(model, problem, x[0], 2000)
    )
    timed("MMD, 1,000 against 1,000", lambda: diagnostics.mmd(draws[:, 0], draws[:, 1]))


class Fast:
    """Draws that cost nothing, to see what the diagnostics themselves hold in memory."""

    device = torch.device("cpu")

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        noise = torch.randn(n, len(x), 10, generator=torch.Generator().manual_seed(seed))
        return noise.mul_(0.2**0.5).add_(0.8 * x[:, 0])


def memory() -> None:
    """Peak memory of the suite at 10,000 simulations × 1,000 draws × 10 parameters."""
    import resource

    problem = normal_problem(10)
    diagnostics.calibrate(Fast(), problem, 200, 20, seed=0)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    result = diagnostics.calibrate(Fast(), problem, 10_000, 1000, seed=0)
    seconds = time.perf_counter() - start
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"memory: {before / 2**30:.2f} GiB before, at most {peak / 2**30:.2f} GiB during the suite "
        f"at 10,000 × 1,000 × 10 ({(peak - before) / 2**30:.2f} more), {seconds:.0f} s; "
        f"p = {result.p_value:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=["rates", "speed", "memory"])
    parser.add_argument("--repeats", type=int, default=500, help="of the exact posterior")
    parser.add_argument("--wrong", type=int, default=100, help="repeats of each wrong one")
    parser.add_argument("--local", type=int, default=500, help="repeats with the local C2ST")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    only = options.only or ["memory", "speed", "rates"]
    if "memory" in only:  # first: the peak is that of the whole process
        memory()
    if "speed" in only:
        speed()
    if "rates" in only:
        wrong = {name: options.wrong for name in WRONG if name != "none"}
        rates({"none": options.repeats} | wrong, options.local, options.workers)


if __name__ == "__main__":
    main()
