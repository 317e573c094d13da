"""How often the decoder alone should see its pairs, in the same time: loss and calibration.

    python benchmarks/passes.py --problems g_and_k --methods diffusion --passes 3.5 7.5 15

More passes over fewer pairs, or fewer over more: trains the suite's methods at the laptop budget
with either, and compares their losses on the same held-out pairs (differences from the first, see
learning_rates.py for the units; their standard errors leave out that trainings differ, too) and
their SBC distances, by the simulations that judge this seed in the suite and the next one.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch
from learning_rates import compared, held_out

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, pace_of
from diffsbi_edu.benchmark.run_case import JUDGE_SEED, Asked, trained
from diffsbi_edu.diagnostics.suite import calibrate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    finishing = [name for name, case in CASES.items() if case.finishes]
    parser.add_argument("--problems", nargs="+", choices=finishing, default=["g_and_k"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["diffusion"])
    parser.add_argument("--passes", nargs="+", type=float, default=[3.5, 7.5, 15.0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    budget = BUDGETS["laptop"]
    for problem in options.problems:
        for name in options.methods:
            case, method, first = CASES[problem], METHODS[name], None
            steps = budget.steps_of(case, name)
            for passes in options.passes:
                varied = replace(method, passes=(passes, passes))
                rest = varied.finishing(case) or parser.error(f"{name} has no decoder's finish.")
                finish = pace_of(case, name).finish(steps, rest["batch_size"], varied.passes)
                start = time.process_time()
                model, *_ = trained(case, varied, steps, finish, options.seed)
                took = time.process_time() - start
                loss = held_out(model)
                first = loss if first is None else first
                asked, judges = Asked(model, method.sampling), []
                for seed in (options.seed, options.seed + 1):
                    judge = asked, model.problem, budget.n_sims, budget.n_samples
                    found = calibrate(*judge, seed=JUDGE_SEED + seed).sbc
                    judges.append(f"{float(found.ks.mean()):.4f}")
                print(
                    f"{problem:26} {name:10} {passes:5g} passes {finish!s:15} "
                    f"{compared(loss, first)} SBC {' / '.join(judges)} ({took:.0f} s of the core)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
