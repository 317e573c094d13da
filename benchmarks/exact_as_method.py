"""What would the exact posterior score in the suite, judged as the models are?

    python benchmarks/exact_as_method.py --problems poisson_gamma dirichlet_multinomial

For each problem with an exact posterior and each seed: the SBC distance of exact draws, for the
same simulations, and as many draws, as judge the methods at the laptop budget. Beside it, the mean
distances of the methods in a results file (the package's own, unless told otherwise), of the same
seeds. What remains of a method's distance above the exact one's is its error; what an exact
posterior has, nobody can be blamed for, and who is below it was lucky.
"""

from __future__ import annotations

import argparse
import statistics

import torch

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS
from diffsbi_edu.benchmark.results import read_results
from diffsbi_edu.benchmark.run_case import JUDGE_SEED
from diffsbi_edu.diagnostics.suite import calibrate
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.findings import FILE
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, make_generator


class Exact:
    """The exact posterior as something to sample from, data set by data set."""

    device = torch.device("cpu")

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def sample(self, x: torch.Tensor, n: int, *, seed: Seed = None) -> torch.Tensor:
        generator = make_generator(seed)
        draws = [self.problem.posterior(one).sample((n,), seed=generator) for one in x]
        return torch.stack(draws, 1)


def has_exact(problem: Problem) -> bool:
    try:
        problem.posterior(problem.sample(1, seed=0, device="cpu")[1][0])
    except NoExactPosterior:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=CASES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", default=FILE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    budget, rows = BUDGETS["laptop"], read_results(options.results)
    chosen = options.problems or [p for p, case in CASES.items() if case.in_paper]
    for name in chosen:
        problem = CASES[name].build_problem()
        if not has_exact(problem):
            continue
        found = []
        for seed in range(options.seeds):
            judged = calibrate(
                Exact(problem), problem, budget.n_sims, budget.n_samples, seed=JUDGE_SEED + seed
            )
            found.append(float(judged.sbc.ks.mean()))
        line = f"{name:24} exact {statistics.fmean(found):.4f} "
        line += f"({', '.join(f'{ks:.4f}' for ks in found)})"
        for method in METHODS:
            of = {r["seed"]: r["sbc_ks"] for r in rows
                  if (r["problem"], r["method"], r["status"]) == (name, method, "ok")}  # fmt: skip
            if both := [s for s in range(options.seeds) if s in of]:
                score = statistics.fmean(of[s] for s in both)
                above = statistics.fmean(of[s] - found[s] for s in both)
                line += f"  {method} {score:.4f} ({above:+.4f}, {len(both)} seeds)"
        print(line, flush=True)


if __name__ == "__main__":
    main()
