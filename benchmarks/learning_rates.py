"""The loss on held-out pairs, by learning rate: a yardstick much finer than calibration.

    python benchmarks/learning_rates.py --problems poisson_gamma --lrs 0.003 0.006

Trains the suite's methods at the laptop budget, the decoder's finish included, and compares their
losses on the same fresh pairs (a diffusion's with the same noise, too), so that what is common
cancels: differences from the first rate of each method, with their standard errors, in nats for
flows and in units of 10⁻⁴ of the squared error for diffusions. `--finish` gives rates for the
decoder alone at the end, instead.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, METHODS, finish_of
from diffsbi_edu.benchmark.run_case import trained
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.runtime import make_generator

PAIRS, NOISE, PIECE = 30_000, 8, 10_000
SEED = 424_242  # of pairs that no run trains on and no judge uses


@torch.no_grad()
def held_out(model: Estimator) -> torch.Tensor:
    """The loss at each of the held-out pairs (of a flow) or noised pairs (of a diffusion)."""
    generator = make_generator(SEED)
    losses = []
    for _ in range(PAIRS // PIECE):
        theta, x = model.problem.sample(PIECE, seed=generator, device="cpu")
        s, z = model.summarise(x), model.to_latent(theta)
        if not isinstance(model, ConditionalDiffusion):
            losses.append(-model.flow(s).log_prob(z))  # type: ignore[attr-defined,operator]
            continue
        for _ in range(NOISE):
            ratio = model.schedule.training_ratios(PIECE, generator)
            eps = torch.randn(z.shape, generator=generator)
            out = model.denoiser.output(z + ratio * eps, ratio, s)
            error = out - model.denoiser.target(z, eps, ratio)
            losses.append(1e4 * error.square().mean(1))
    return torch.cat(losses)


def compared(loss: torch.Tensor, first: torch.Tensor) -> str:
    """The mean loss, and how far it is from that of the first model at the same pairs."""
    apart = loss - first
    error = apart.std() / len(apart) ** 0.5
    return f"loss {loss.mean():.5g} difference {apart.mean():+.4f} ± {error:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=CASES, default=["poisson_gamma"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["diffusion"])
    parser.add_argument("--lrs", nargs="+", type=float, default=[0.003, 0.006])
    parser.add_argument("--finish", action="store_true", help="rates of the decoder alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for problem in options.problems:
        for name in options.methods:
            case, method, first = CASES[problem], METHODS[name], None
            steps = BUDGETS["laptop"].steps_of(case, name)
            for lr in options.lrs:
                which = "alone" if options.finish else "training"
                varied = replace(method, **{which: {**getattr(method, which), "lr": lr}})
                start = time.perf_counter()
                finish = finish_of(case, name, steps)
                model, *_ = trained(case, varied, steps, finish, options.seed)
                seconds = time.perf_counter() - start
                loss = held_out(model)
                first = loss if first is None else first
                print(
                    f"{problem:26} {name:15} {which} lr {lr:<8g} {compared(loss, first)} "
                    f"({seconds:.0f} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
