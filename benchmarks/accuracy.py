"""Accuracy of short trainings: C2ST against exact samples, error of log_prob, leaks of the prior.

    python benchmarks/accuracy.py                       # every problem, 3 seeds
    python benchmarks/accuracy.py --problems two_moons --seeds 1

Each model is trained from scratch; its time is given in seconds and in yardsticks (see
yardstick.py), both measured in this run.
"""

from __future__ import annotations

import argparse
import time

import torch
import yardstick

import diffsbi_edu as ds

# Training steps for each problem: the budget of the page it is taught on, or a little more.
STEPS = {"gaussian_2d": 2000, "two_moons": 4500, "gaussian_mixture_2d": 4000}
OBSERVATIONS, SAMPLES = 10, 10_000


def run(name: str, steps: int, seed: int, yard: float) -> float:
    problem = ds.problems.get(name)
    model = ds.ConditionalDiffusion(problem, seed=seed)
    start = time.perf_counter()
    ds.fit(model, steps, seed=seed, progress=False)
    seconds = time.perf_counter() - start
    # Observations that training never saw: another seed.
    _, x = problem.sample(OBSERVATIONS, seed=1000 + seed, device=model.device)
    start = time.perf_counter()
    draws = [model.sample(x_obs, SAMPLES, seed=i).cpu() for i, x_obs in enumerate(x)]
    sampling = (time.perf_counter() - start) / OBSERVATIONS
    exact = [problem.posterior(x_obs).sample((SAMPLES,), seed=100 + i) for i, x_obs in enumerate(x)]
    scores = [ds.diagnostics.c2st(q, p) for q, p in zip(draws, exact, strict=True)]
    mean = sum(scores) / len(scores)
    print(
        f"{name}, seed {seed}: {steps} steps in {seconds:.1f} s = {seconds / yard:.2f} yardsticks; "
        f"C2ST mean {mean:.4f}, max {max(scores):.4f}; 10,000 samples in {sampling:.2f} s",
        flush=True,
    )
    if name == "gaussian_2d":
        log_prob_error(model, problem, x)
    return mean


def log_prob_error(model: ds.ConditionalDiffusion, problem: ds.Problem, x: torch.Tensor) -> None:
    """Mean absolute error of log q on exact samples, in nats."""
    errors = []
    for i, x_obs in enumerate(x):
        exact = problem.posterior(x_obs)
        theta = exact.sample((1000,), seed=i)
        errors.append((model.log_prob(theta, x_obs).cpu() - exact.log_prob(theta)).abs().mean())
    print(f"    log_prob: mean absolute error {torch.stack(errors).mean():.4f} nats", flush=True)


def leaks(draws: int = 1_000_000) -> None:
    """Samples outside a bounded prior's support, for a model that has learnt almost nothing."""
    problem = ds.problems.TwoMoons()
    model = ds.ConditionalDiffusion(problem, seed=0)
    ds.fit(model, 50, seed=0, progress=False)
    x_obs = torch.tensor([[0.0, 1.5]])  # no theta can produce it
    outside = 0
    for i in range(10):
        theta = model.sample(x_obs, draws // 10, seed=i)
        outside += int((~problem.prior_on(theta.device).support.check(theta)).sum())
    print(f"outside the prior's support: {outside} of {draws:,} samples", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="instead of each problem's own")
    options = parser.parse_args()
    yard = yardstick.measure(200)
    print(f"yardstick: {yard:.1f} s", flush=True)
    for name in options.problems:
        steps = options.steps or STEPS[name]
        means = [run(name, steps, seed, yard) for seed in range(options.seeds)]
        spread = f" ± {torch.tensor(means).std():.4f}" if len(means) > 1 else ""
        print(f"{name}: C2ST {sum(means) / len(means):.4f}{spread} over {len(means)} seeds")
    leaks()
    print(f"yardstick again: {yardstick.measure(200):.1f} s")


if __name__ == "__main__":
    main()
