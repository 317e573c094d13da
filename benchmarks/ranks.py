"""What is wrong with a model's ranks? One model of the suite, several judges, each parameter.

    python benchmarks/ranks.py --problem fractional_brownian_motion --judges 4

Trains a method as the suite does, at the laptop budget, and repeats SBC with the simulations of
several seeds. Of a parameter whose posteriors are right the ranks have a uniform law's variance
("width" 1; below it, posteriors are too wide) and mean ("place" 0, in the law's sds). What several
judges see alike is the model's error, what only one sees is his luck.
"""

from __future__ import annotations

import argparse
import math

import torch

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS
from diffsbi_edu.benchmark.run_case import JUDGE_SEED, Asked, trained_by
from diffsbi_edu.benchmark.suite import plan
from diffsbi_edu.diagnostics.suite import calibrate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", choices=CASES, default="fractional_brownian_motion")
    parser.add_argument("--method", choices=METHODS, default="diffusion")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judges", type=int, default=4, help="the first is that of seed 0")
    options = parser.parse_args()
    torch.set_num_threads(1)
    method, budget = METHODS[options.method], BUDGETS["laptop"]
    run = plan([options.problem], [options.method], options.seed + 1)[-1]
    model, *_ = trained_by(run)
    names = model.problem.theta_names
    asked, values = Asked(model, method.sampling), budget.n_samples + 1
    uniform = math.sqrt((values**2 - 1) / 12)  # the sd of a rank, of 0 … values − 1
    widths, places = [], []
    for judge in range(options.judges):
        found = calibrate(
            asked, model.problem, budget.n_sims, budget.n_samples, seed=JUDGE_SEED + judge
        )
        ranks = found.sbc.ranks.double()
        widths.append(ranks.var(0) / uniform**2)
        places.append((ranks.mean(0) - (values - 1) / 2) / uniform)
        worst = int(found.sbc.ks.argmax())
        print(
            f"judge {judge}: SBC distance {float(found.sbc.ks.mean()):.4f}, "
            f"TARP {found.tarp.area:.4f}, worst {names[worst]} {float(found.sbc.ks[worst]):.4f}; "
            f"width {float(widths[-1].mean()):.3f}, |place| {float(places[-1].abs().mean()):.3f}",
            flush=True,
        )
    for i, name in enumerate(names):
        each = " ".join(f"{float(w[i]):.3f}/{float(p[i]):+.3f}"
                        for w, p in zip(widths, places, strict=True))  # fmt: skip
        print(f"{name:>16} width/place: {each}")
    luck = 1 / math.sqrt(budget.n_sims)
    print(f"an exact posterior's: width ± {math.sqrt(0.8) * luck:.3f}, place ± {luck:.3f}")


if __name__ == "__main__":
    main()
