"""How far each solver's draws are from the model's own, and how fast they come.

    python benchmarks/solvers.py

Trains the suite's diffusion model of each problem at the laptop budget (a minute or two of one
core), then follows the same noise to the end by each solver with equal calls of the network, and by
200 steps of Heun, which stand for the truth. Differences are in units of the posterior's sd (of the
latents): their root mean square and median, and how much too wide the draws are. A draw that ends
in another mode than Heun's weighs much in the former, and does no harm. "rel. time" is that of the
default solver in the same run.
"""

from __future__ import annotations

import argparse
import time

import torch

from diffsbi_edu.benchmark.cases import CASES
from diffsbi_edu.benchmark.run_case import trained_by
from diffsbi_edu.benchmark.suite import plan
from diffsbi_edu.diffusion import ConditionalDiffusion

DATA_SETS, DRAWS = 200, 40
SOLVERS = ("dpm_solver_2m", "dpm_solver_3m", "heun")


def ends(model: ConditionalDiffusion, x: torch.Tensor, sampler: str, calls: int) -> torch.Tensor:
    """Latent draws (n, B, Dz) after so many calls, from the same noise whatever the solver."""
    steps = (calls + 1) // 2 if sampler == "heun" else calls  # the last step of Heun's calls once
    *_, last = model.trajectory(x, DRAWS, sampler=sampler, steps=steps, seed=1)
    return last.y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=CASES, default=["two_moons", "socks"])
    parser.add_argument("--calls", nargs="+", type=int, default=[20, 28, 40])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for problem in options.problems:
        model, *_ = trained_by(plan([problem], ["diffusion"])[0])
        assert isinstance(model, ConditionalDiffusion)
        _, x = model.problem.sample(DATA_SETS, seed=3, device="cpu")
        truth = ends(model, x, "heun", 400)
        sd = truth.std(0)
        for calls in options.calls:
            reference = 0.0
            for sampler in SOLVERS:
                start = time.perf_counter()
                draws = ends(model, x, sampler, calls)
                seconds = time.perf_counter() - start
                reference = reference or seconds
                off = (draws - truth) / sd
                rms, width = off.square().mean().sqrt(), (draws.std(0) / sd).mean() - 1
                print(
                    f"{problem:20} {calls:3d} calls {sampler:14} rms {rms:.4f} "
                    f"median {off.abs().median():.4f} width {width:+.2%} "
                    f"rel. time {seconds / reference:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
