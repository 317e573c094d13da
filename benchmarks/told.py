"""How much of a posterior mean the numbers hold that encoders are told.

    python benchmarks/told.py --only lines    # two minutes on one core
    python benchmarks/told.py                 # six

`lines`: the error of the best straight line from what is told to each parameter (in latent space,
in prior sds; an exact posterior mean has the posterior's sd), with all that is told and without
the whitening or the autoregression. The other two are on `StochasticVolatility`, against the 20
reference posteriors of each length in tests/data. `regression`: a network of two layers, trained by
least squares on 150,000 series of T = 500, from some of the told numbers; a posterior mean is what
least squares converges to. `models`: diffusions that see the told numbers only, as they are and in
units of their own, T = 100 … 500.
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
from diffsbi_edu.encoders.pooling import moments_and_size, told_of_set
from diffsbi_edu.encoders.variogram import (
    APART,
    ORDER,
    WINDOWS,
    series_moments,
    told_of_series,
)
from diffsbi_edu.standardise import soft_clip

FIT, HELD_OUT, STEPS, BATCH = 150_000, 10_000, 6000, 512
STORMS = len(WINDOWS) * (3 + len(APART))  # the last of what is told of a single feature
LINES = (  # problem, N, batches of 500 data sets
    ("normal_inverse_wishart", 300, 40),
    ("ar1", 300, 30),
    ("minnesota_var", 500, 16),
    ("lotka_volterra", 350, 16),
    ("fractional_brownian_motion", 350, 20),
)
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


def lines() -> None:
    for name, size, batches in LINES:
        problem = ds.problems.get(name)
        model = ds.ConditionalDiffusion(problem, device="cpu", seed=0, encoder=Statistics(
            problem.sample(2, seed=0, device="cpu")[1].shape[-1], statistics=lambda x: x[:, 0]
        ))  # fmt: skip
        model.standardise(seed=0)
        series, z, seen = problem.data_kind == "sequence", [], []
        for i in range(batches):
            theta, x = problem.sample(500, seed=i + 1, n_obs=size, device="cpu")
            x = soft_clip(model.standardise_x(x))
            z.append(model.to_latent(theta))
            seen.append(told(x) if series else moments_and_size(x, None))
        features, told_at = x.shape[-1], torch.arange(seen[0].shape[1])
        start = told_of_set(features) if series else 2 * features
        length = ORDER * features**2 + features
        if not series:
            length = features * (features + 1) // 2 + features - 1
        less = told_at[(told_at < start) | (told_at >= start + length)]
        for what, kept in (("all that is told", told_at), ("without", less)):
            error = of_line(torch.cat(seen)[:, kept].double(), torch.cat(z).double())
            print(f"  {name}, N = {size}, {what} ({len(kept)}): {error.mean():.3f} on average;")
            print("     ", " ".join(f"{each:.2f}" for each in error.tolist()), flush=True)


def of_line(told: Array, z: Array) -> Array:
    """Rms error of a line fitted to nine tenths, on the last tenth, in sds of z (rows, Dz)."""
    unit = torch.where(told.std(0) < 1e-6, 1.0, told.std(0))
    seen = torch.cat([soft_clip((told - told.mean(0)) / unit), torch.ones(len(told), 1)], 1)
    fit = len(z) * 9 // 10
    weights = torch.linalg.lstsq(seen[:fit], z[:fit], driver="gelsd").solution
    return (z[fit:] - seen[fit:] @ weights).std(0) / z.std(0)


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


SECTIONS = {
    "lines": ("straight lines, from what is told:", lines),
    "regression": ("least squares, from what is told:", regression),
    "models": ("diffusions that see what is told, and nothing else:", models),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    for name in parser.parse_args().only:
        head, run = SECTIONS[name]
        print(head)
        run()


if __name__ == "__main__":
    main()
