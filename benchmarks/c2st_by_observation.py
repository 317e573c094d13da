"""C2ST at many observations, one by one: whom does the suite's mean over five of them stand for?

    python benchmarks/c2st_by_observation.py --problem slcp --observations 25

Trains a method as the suite does, at the laptop budget, and scores it against exact draws at each
observation, the suite's own first. Beside each score, how many times narrower than the prior the
posterior's narrowest coordinate is: the mean over a few observations hangs on the narrowest.
"""

from __future__ import annotations

import argparse
import statistics

import torch

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS
from diffsbi_edu.benchmark.run_case import C2ST_EPOCHS, OBSERVATIONS_SEED, trained_by
from diffsbi_edu.benchmark.suite import plan
from diffsbi_edu.diagnostics.c2st import c2st


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=CASES, default="slcp")
    parser.add_argument("--method", choices=METHODS, default="diffusion")
    parser.add_argument("--observations", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    method, budget = METHODS[options.method], BUDGETS["laptop"]
    run = plan([options.problem], [options.method], options.seed + 1)[-1]
    model, *_ = trained_by(run)
    problem = model.problem
    prior_sd = problem.sample(10_000, seed=0, device="cpu")[0].std(0)
    # More observations of one seed begin with other ones: the suite's own, then others.
    own = problem.sample(budget.observations, seed=OBSERVATIONS_SEED, device="cpu")[1]
    rest = max(1, options.observations - len(own))
    others = problem.sample(rest, seed=OBSERVATIONS_SEED + 1, device="cpu")[1]
    scores = []
    for i, x_obs in enumerate([*own, *others][: options.observations]):
        exact = problem.posterior(x_obs).sample((budget.draws,), seed=i)
        draws = model.sample(x_obs, budget.draws, seed=100 + i, **method.sampling)
        scores.append(c2st(draws, exact.to(draws), max_epochs=C2ST_EPOCHS))
        # Half the middle 68 %, of sizes: signs may be lost, and the modes with them.
        low, high = exact.abs().quantile(torch.tensor([0.16, 0.84]), 0)
        narrow = float((prior_sd / ((high - low) / 2)).max())
        print(f"{i:3} C2ST {scores[-1]:.3f}  {narrow:6.0f} times narrower", flush=True)
    first = statistics.fmean(scores[: len(own)])
    print(
        f"{options.problem} {options.method}: first {len(own)} {first:.4f}, "
        f"all {len(scores)} {statistics.fmean(scores):.4f}, median {statistics.median(scores):.4f}"
    )


if __name__ == "__main__":
    main()
