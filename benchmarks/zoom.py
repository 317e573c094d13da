"""The diffusion with gains at its entrance (`zoom`) against the same without, in the same time.

    python benchmarks/zoom.py --problems witchs_hat poisson_gamma

Trains the suite's diffusion at the laptop budget, the decoder's finish included, with and without
gains, and compares their losses on the same held-out pairs with the same noise: with minus without,
in units of 10⁻⁴ of the squared error, with its standard error (of the pairs only: two trainings
differ, too). Without gains, as many more steps are made as `--cheaper` says, the share of the time
that such a step saves; `--speed` measures that share instead, in turns, on one core.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

import torch
from learning_rates import compared, held_out

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, finish_of
from diffsbi_edu.benchmark.pace import measure_pace
from diffsbi_edu.benchmark.run_case import trained
from diffsbi_edu.diffusion import ConditionalDiffusion

GAINS = METHODS["diffusion"]
PLAIN = replace(GAINS, build=ConditionalDiffusion)


def speed(problem: str, rounds: int = 5) -> None:
    """How much longer a step with gains takes."""
    took = [
        [measure_pace(problem, method, steps=40).step for method in (GAINS, PLAIN)]
        for _ in range(rounds)
    ]
    gains, plain = (min(times) for times in zip(*took, strict=True))
    each = statistics.median(a / b for a, b in took)
    print(f"{problem:26} {gains:.1f} ms with gains, {plain:.1f} without ({each:.3f} times)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=CASES, default=["witchs_hat"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cheaper", type=float, default=0.06)
    parser.add_argument("--speed", action="store_true", help="measure steps instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for problem in options.problems:
        if options.speed:
            speed(problem)
            continue
        case, losses = CASES[problem], []
        for method, more in ((PLAIN, 1 + options.cheaper), (GAINS, 1.0)):
            steps = round(more * BUDGETS["laptop"].steps_of(case, "diffusion"))
            finish = finish_of(case, "diffusion", steps)
            model, *_ = trained(case, method, steps, finish, options.seed)
            losses.append(held_out(model))
        print(f"{problem:26} {compared(losses[1], losses[0])}", flush=True)


if __name__ == "__main__":
    main()
