"""Training time to equal accuracy: diffusion against the best flow, in one run.

    python benchmarks/time_to_accuracy.py                 # Witch's hat, 2 seeds, 60 s for a flow

Every flow is trained for `--seconds`, at the learning rate that served it best in the stability
study; the one with the lowest C2ST sets the mark. The diffusion model is then trained afresh for
1/16, 1/8, 1/4, 1/2 and all of that time; the first that reaches the mark gives the ratio.
"""

from __future__ import annotations

import argparse

from diffsbi_edu import problems
from diffsbi_edu.benchmark import METHODS, Judge, Trial, run_trial

# The learning rates with the lowest C2ST in the stability study of the Witch's hat.
FLOWS = {"coupling_loose": 1e-2, "maf": 1e-2, "nsf": 1e-2}
DIFFUSION_LR = 1e-2
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="witchs_hat", choices=sorted(problems.available()))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    problem = problems.get(options.problem)
    judge = Judge.of(problem, None, options.draws, checks=1, n_sims=0)

    def score(method: str, lr: float, seed: int, seconds: float) -> float:
        depth = METHODS[method][1]
        trial = Trial(method, lr, depth, seed, steps=None, seconds=seconds)
        outcome = run_trial(trial, problem, judge)
        print(
            f"  {method}, lr {lr:g}, seed {seed}: {outcome.trained_steps} steps in "
            f"{outcome.trained_seconds:.1f} s, C2ST {outcome.c2st:.4f}",
            flush=True,
        )
        return outcome.c2st

    ratios = []
    for seed in range(options.seeds):
        flows = {name: score(name, lr, seed, options.seconds) for name, lr in FLOWS.items()}
        best = min(flows, key=lambda name: flows[name])
        for share in SHARES:
            if score("diffusion", DIFFUSION_LR, seed, share * options.seconds) <= flows[best]:
                break
        else:
            share = float("inf")
        print(f"seed {seed}: best flow {best}, C2ST {flows[best]:.4f}; ratio at most {share:g}")
        ratios.append(share)
    print(f"diffusion : best flow, at most {max(ratios):g} over {options.seeds} seeds")


if __name__ == "__main__":
    main()
