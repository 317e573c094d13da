"""How much of a posterior mean the numbers hold that sequence encoders are told.

    python benchmarks/told.py                 # four minutes on one core
    python benchmarks/told.py --skip-models   # two

On `StochasticVolatility`, against the 20 reference posteriors of each length in tests/data.
`regression`: a network of two layers, trained by least squares on 150,000 series of T = 500, from
some of the told numbers; a posterior mean is what least squares converges to. `models`: diffusions
that see the told numbers only, as they are and in units of their own, T = 100 … 500.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from encoders import REFERENCES, against_references, compare
from torch import nn

import diffsbi_edu as ds
from diffsbi_edu.encoders import Statistics
from diffsbi_edu.encoders.variogram import APART, WINDOWS, series_moments, told_of_series

FIT, HELD_OUT, STEPS, BATCH = 150_000, 10_000, 6000, 512
STORMS = len(WINDOWS) * (3 + len(APART))  # the last of what is told of a single feature
Array = torch.Tensor


def told(x: Array) -> Array:
    return series_moments(x, None)


def subsets() -> dict[str, list[int]]:
    whole = list(range(told_of_series(1)))
    before, storms = whole[:-STORMS], whole[-STORMS:]
    first = storms[2 :: 3 + len(APART)]
    return {
        "moments and variograms": before,
        "... and storms, but for their first window": [i for i in whole if i not in first],
        "... and storms": whole,
    }


def references(size: int) -> tuple[Array, Array, Array]:
    with np.load(REFERENCES / "moments_stochastic_volatility.npz") as file:
        x, mean, sd = (torch.from_numpy(file[f"{key}_{size}"]) for key in ("x", "mean", "sd"))
    return x.float()[..., None], mean.float(), sd.float()


def regression() -> None:
    problem = ds.problems.StochasticVolatility(n_obs=500)
    batches = [problem.sample(2000, seed=i, device="cpu") for i in range((FIT + HELD_OUT) // 2000)]
    theta = torch.cat([t for t, _ in batches])
    features = torch.cat([told(x) for _, x in batches])
    x, mean, sd = references(500)
    middle, scale = theta.mean(0), theta.std(0)
    for name, places in subsets().items():
        seen = features[:, places]
        centre, unit = seen.mean(0), seen.std(0).clamp_min(1e-5)
        u, v = (seen - centre) / unit, (theta - middle) / scale
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Linear(len(places), 96),
                nn.SiLU(),
                nn.Linear(96, 96),
                nn.SiLU(),
                nn.Linear(96, 3),
            )
        adam = torch.optim.Adam(network.parameters(), 3e-3)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
        for _ in range(STEPS):
            rows = torch.randint(FIT, (BATCH,), generator=generator)
            loss = (network(u[rows]) - v[rows]).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            decay.step()
        with torch.no_grad():
            guess = network((told(x)[:, places] - centre) / unit) * scale + middle
            left = (network(u[FIT:]) - v[FIT:]).square().mean(0).sqrt()
        off = ((guess - mean) / sd).square().mean(0).sqrt()
        print(
            f"  {name} ({len(places)}): off by {off.square().mean().sqrt():.3f} sd (rms), "
            f"{off.tolist()} each; held-out error {left.tolist()} prior sds",
            flush=True,
        )


def models() -> None:
    problem = ds.problems.StochasticVolatility(n_obs=(100, 500))
    _, pilot = problem.sample(2048, seed=3, device="cpu")
    model = ds.ConditionalDiffusion(problem, encoder=Statistics(1, statistics=told), seed=0)
    seen = told(model.standardise(seed=0).standardise_x(pilot.to(model.device)))
    centre, unit = seen.mean(0), seen.std(0)
    unit = torch.where(unit < 1e-5, 1.0, unit)
    views: dict[str, Callable[[Array], Array]] = {
        "as they are": told,
        "in units of their own": lambda x: (told(x) - centre) / unit,
    }
    for name, view in views.items():
        encoder = Statistics(1, statistics=view)
        model = ds.ConditionalDiffusion(problem, encoder=encoder, seed=0, noise_draws=4)
        start = time.process_time()
        ds.fit(model, 3000, batch_size=256, seed=0, progress=False)
        print(f"  {name}: 3,000 steps, {time.process_time() - start:.0f} s of CPU", flush=True)
        for size in (100, 500):
            compare(f"T = {size}", *against_references(model, "stochastic_volatility", size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skip-models", action="store_true")
    options = parser.parse_args()
    print("least squares, from what is told:")
    regression()
    if not options.skip_models:
        print("diffusions that see what is told, and nothing else:")
        models()


if __name__ == "__main__":
    main()
