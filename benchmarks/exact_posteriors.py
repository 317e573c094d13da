"""Are the exact posteriors exact? Simulation-based calibration of all of them, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/exact_posteriors.py
    python benchmarks/exact_posteriors.py --only slcp socks --sims 2000

For each problem: simulations, each truth ranked among 19 exact draws, and p-values that the ranks
are uniform (Neyman's smooth test, as in `diagnostics.sbc`): the smallest of all coordinates after
Holm's correction, and one p-value for them together. Beside the coordinates, as one more column,
max |theta| in prior sds, which sees cut-offs and dependence. With some 20 problems, one p-value
below 0.05 is expected. "spoilt" is the same with every draw moved 10 % further from its data set's
mean: it should be small, or the numbers beside it would say little. Seconds are of processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

import diffsbi_edu as ds
from diffsbi_edu.diagnostics import SBCResult
from diffsbi_edu.diagnostics.uniformity import holm

DRAWS = 19
SETTINGS: dict[str, dict[str, object]] = {
    "gaussian_2d": {"n_obs": 3},
    "normal_gamma": {"n_obs": (1, 20)},
    "normal_inverse_wishart": {"n_obs": (1, 20)},
    "ar1": {"n_obs": (5, 50)},
}
BATCHES = 20  # in which simulations are made, each of one N where N is random


def has_exact(problem: ds.Problem) -> bool:
    try:
        problem.posterior(problem.sample(1, seed=0, device="cpu")[1][0])
    except ds.NoExactPosterior:
        return False
    return True


def exact_draws(problem: ds.Problem, sims: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Truths (sims, D) and exact draws (19, sims, D)."""
    truths, draws = [], []
    for batch in range(BATCHES):
        theta, x = problem.sample(sims // BATCHES, seed=1000 * seed + batch, device="cpu")
        truths.append(theta)
        for i, one in enumerate(x):
            draws.append(problem.posterior(one).sample((DRAWS,), seed=seed + i + sims * batch))
    return torch.cat(truths), torch.stack(draws, 1)


def with_maximum(truths: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    centre, spread = truths.median(0).values, truths.std(0)

    def widen(theta: torch.Tensor) -> torch.Tensor:
        largest = ((theta - centre) / spread).abs().amax(-1, keepdim=True)
        return torch.cat([theta, largest], -1)

    return widen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sims", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=sorted(ds.problems.available()))
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {DRAWS} draws each")
    print(f"{'problem':24} {'sims':>6} {'D':>4} {'s':>6} {'smallest, Holm':>15} "
          f"{'together':>9} {'spoilt':>8}")  # fmt: skip
    start = time.process_time()
    for name in options.only or ds.problems.available():
        problem = ds.problems.get(name, **SETTINGS.get(name, {}))
        if not has_exact(problem):
            continue
        begun = time.process_time()
        truths, draws = exact_draws(problem, options.sims, options.seed)
        widen = with_maximum(truths)
        exact = SBCResult.from_draws(widen(truths), widen(draws))
        centre = draws.mean(0)
        spoilt = SBCResult.from_draws(truths, centre + 1.1 * (draws - centre))
        smallest = float(holm(exact.p_values).min())
        print(
            f"{name:24} {len(truths):6} {problem.dim:4} {time.process_time() - begun:6.1f} "
            f"{smallest:15.3f} {exact.p_value:9.3f} {spoilt.p_value:8.0e}",
            flush=True,
        )
    print(f"{time.process_time() - start:.0f} s in all")


if __name__ == "__main__":
    main()
