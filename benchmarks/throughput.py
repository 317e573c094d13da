"""Training throughput, simulation included: pairs (theta, x) a second at width 128 × 3, batch 512.

    python benchmarks/throughput.py

The library's loop is measured in turns with a plain loop over the same model (one tensor per
parameter, `torch.optim.Adam`, `clip_grad_norm_`, an averaged copy) and with the yardstick.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
import yardstick

import diffsbi_edu as ds

BATCH = 512


def library(steps: int) -> float:
    model = ds.ConditionalDiffusion(ds.problems.Gaussian2D(), seed=0)
    *_, last = ds.train(model, steps, batch_size=BATCH, seed=0)
    return last.pairs_per_second


def plain(steps: int) -> float:
    problem = ds.problems.Gaussian2D()
    model = ds.ConditionalDiffusion(problem, seed=0).standardise()
    averaged = copy.deepcopy(list(model.parameters()))
    optimiser = torch.optim.Adam(model.parameters(), lr=6e-3)
    start = time.perf_counter()
    for step in range(steps):
        theta, x = problem.sample(BATCH, seed=step, device=model.device)
        optimiser.zero_grad()
        loss = model.loss(theta, x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loss.item()
        with torch.no_grad():
            for a, p in zip(averaged, model.parameters(), strict=True):
                a.lerp_(p, 0.01)
    return steps * BATCH / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    library(50), plain(50)  # warm up
    ours, theirs, yards = [], [], []
    for _ in range(options.repeats):
        ours.append(library(options.steps))
        theirs.append(plain(options.steps))
        yards.append(yardstick.measure(100))
    mine, other, yard = (statistics.median(v) for v in (ours, theirs, yards))
    print(f"library: {mine:,.0f} pairs/s (best {max(ours):,.0f})")
    print(f"plain loop: {other:,.0f} pairs/s; ratio {mine / other:.2f}")
    print(f"yardstick: {yard:.1f} s; pairs in one yardstick: {mine * yard:,.0f}")


if __name__ == "__main__":
    main()
