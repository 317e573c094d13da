"""Muon against Adam, in the same time: the loss on held-out pairs.

    python benchmarks/optimisers.py --problems lotka_volterra --methods diffusion maf

Measures how long a step takes with either optimiser, gives both what the laptop budget's seconds
are worth, the decoder's finish included (by Adam or by Muon), and compares their losses on the same
fresh pairs: differences from Adam's, with their standard errors (see learning_rates.py for the
units). Without a summary network there is no finish.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from learning_rates import held_out

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, SHARES
from diffsbi_edu.benchmark.pace import measure_pace
from diffsbi_edu.benchmark.run_case import trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=CASES, default=["lotka_volterra"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["diffusion"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    budget = BUDGETS["laptop"]
    for problem in options.problems:
        for name in options.methods:
            case, method, first = CASES[problem], METHODS[name], None
            alone = method.finishing(case) is not None
            seconds = (budget.seconds or 0.0) * (budget.encoder_share if case.encoder else 1.0)
            seconds *= SHARES[0] if alone else 1.0
            for pair in (("adam", "adam"), ("muon", "adam"), ("muon", "muon"))[: 3 if alone else 2]:
                varied = replace(
                    method,
                    training={**method.training, "optimiser": pair[0]},
                    alone={**method.alone, "optimiser": pair[1]},
                )
                pace = measure_pace(problem, varied)
                steps = round(1000 * seconds / pace.step)
                finish = pace.finish(steps) if alone else None
                start = time.process_time()
                model, *_ = trained(case, varied, steps, finish, options.seed)
                took = time.process_time() - start
                loss = held_out(model)
                first = loss if first is None else first
                apart = loss - first
                print(
                    f"{problem:26} {name:10} {' then '.join(pair[: 1 + alone]):15} "
                    f"{steps:5} steps {pace.step:5.1f} ms {finish or ''!s:15} "
                    f"loss {loss.mean():.5g} difference {apart.mean():+.4f} ± "
                    f"{apart.std() / len(apart) ** 0.5:.4f} ({took:.0f} s of the core)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
