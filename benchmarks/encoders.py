"""Summary networks: accuracy after short trainings, and what they cost.

    python benchmarks/encoders.py                        # all of it: about half an hour
    python benchmarks/encoders.py --only cost sets
    python benchmarks/encoders.py --only sequences --steps 12000 --seeds 1   # however long it takes

`sets`: one model for all sample sizes on `NormalGamma`, C2ST against the exact posterior at N = 10,
50, 200 and 500; DeepSets, and the sufficient statistics as a yardstick. `sequences`: BiLSTM, or
another `--network`, on `AR1` and `StochasticVolatility` at T = 100 and 500, SBC, and posterior
means and widths against references made by independent samplers (tests/data, tools/references.py).
`cost`: training steps a second at N = 500, batch 256, and peak memory. `amortization`:
`NormalGamma` from N = 1 to 3,000: a DeepSets trained on N in 1 … 1,000, drawn evenly on the
logarithm (as ranges are) or evenly, and a single-observation model composed by `ds.Compositional`;
20 minutes a seed on one core, and only if asked for.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yardstick

import diffsbi_edu as ds
from diffsbi_edu import encoders

REFERENCES = Path(__file__).resolve().parent.parent / "tests" / "data"
SIZES = (10, 50, 200, 500)
SUMMARY = 32
NETWORKS = {
    "BiLSTM": {"stride": 8}, "GRU": {"stride": 8}, "TemporalConv": {}, "SequenceTransformer": {}
}  # fmt: skip
SERIES = {"ar1": ds.problems.AR1, "stochastic_volatility": ds.problems.StochasticVolatility}
MANY_SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000)  # the last is beyond what is trained on
COMPOSED = {"gauss": (1, 3, 10, 30, 100, 300), "naive": (1, 3, 10, 30), "jacobian": (1, 3, 10, 30)}


def trained(
    problem: ds.Problem,
    encoder: torch.nn.Module,
    seconds: float,
    seed: int,
    *,
    steps: int | None = None,
    noise_draws: int = 1,
    **settings: Any,
) -> ds.ConditionalDiffusion:
    """A model trained for `steps`, or about `seconds`: the first steps' pace decides how many."""
    if steps is None:
        model = ds.ConditionalDiffusion(
            problem, encoder=encoder, seed=seed, noise_draws=noise_draws
        )
        pace = [s.seconds for s in ds.train(model, 60, seed=seed, **settings)]
        steps = max(100, round(seconds / ((pace[-1] - pace[9]) / 50)))
    fresh = type(encoder)(**encoder.config(), seed=seed)  # type: ignore[operator]
    model = ds.ConditionalDiffusion(problem, encoder=fresh, seed=seed, noise_draws=noise_draws)
    start, cpu = time.perf_counter(), time.process_time()
    ds.fit(model, steps, seed=seed, progress=False, **settings)
    print(
        f"  {type(encoder).__name__}, seed {seed}: {steps} steps in "
        f"{time.perf_counter() - start:.0f} s ({time.process_time() - cpu:.0f} s of CPU)",
        flush=True,
    )
    return model


def sets(seconds: float, seeds: int) -> None:
    problem = ds.problems.NormalGamma(n_obs=(10, 500))
    print(f"NormalGamma, one model for N = 10 … 500, {seconds:.0f} s")
    for kind in (encoders.DeepSets, encoders.Statistics):
        found: dict[int, list[float]] = {n: [] for n in SIZES}
        for seed in range(seeds):
            encoder = kind(1, SUMMARY, seed=seed) if kind is encoders.DeepSets else kind(1)
            model = trained(problem, encoder, seconds, seed, batch_size=256, noise_draws=4)
            for n in SIZES:
                _, x = problem.sample(5, seed=100 + seed, n_obs=n, device="cpu")
                for i, x_obs in enumerate(x):
                    exact = problem.posterior(x_obs).sample((5000,), seed=i)
                    draws = model.sample(x_obs, 5000, seed=50 + i).cpu()
                    found[n].append(ds.diagnostics.c2st(draws, exact))
        print(
            f"  {kind.__name__}: C2ST "
            + ", ".join(
                f"N = {n}: {statistics.fmean(v):.4f} (worst {max(v):.3f})" for n, v in found.items()
            ),
            flush=True,
        )


def sequences(options: argparse.Namespace) -> None:
    steps, batch, lr = options.steps, options.batch, options.lr
    draws = max(1, 1024 // batch)  # noise levels for each pair
    for name in options.series:
        problem = SERIES[name](n_obs=(100, 500))
        budget = f"{steps} steps" if steps else f"{options.seconds:.0f} s"
        print(
            f"{name}, {options.network}, T = 100 … 500, {budget} of {batch} × {draws}, "
            f"learning rate {lr:g}"
        )
        for seed in range(options.seeds):
            make = getattr(encoders, options.network)
            encoder = make(1, SUMMARY, seed=seed, **NETWORKS[options.network])
            model = trained(
                problem, encoder, options.seconds, seed, steps=steps, batch_size=batch,
                noise_draws=draws, lr=lr,
            )  # fmt: skip
            for length in (100, 500):
                fixed = SERIES[name](n_obs=length)
                ks = ds.diagnostics.sbc(model, fixed, 1000, 100, seed=11).ks
                print(f"    T = {length}: SBC mean KS {ks.mean():.4f} {ks.tolist()}", flush=True)
                compare("references", *against_references(model, name, length))
                if name == "ar1":
                    compare("20 data sets, exact", *against_exact(model, fixed, 20))


def compare(against: str, off: torch.Tensor, wide: torch.Tensor) -> None:
    print(
        f"      {against}: posterior means off by {off.square().mean().sqrt():.3f} sd (rms), "
        f"{off.square().mean(0).sqrt().tolist()} each, median {off.abs().median():.3f}, "
        f"worst {off.abs().max():.3f}; "
        f"widths / reference {wide.mean():.3f}, {wide.min():.3f} to {wide.max():.3f}",
        flush=True,
    )


def against_exact(
    model: ds.ConditionalDiffusion, problem: ds.Problem, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(learned − exact mean)/exact sd, and sd ratio, for n random data sets and each coordinate."""
    _, x = problem.sample(n, seed=21, device="cpu")
    learned = model.sample(x, 4000, seed=1).cpu()
    exact = torch.stack([problem.posterior(x_obs).sample((20_000,), seed=2) for x_obs in x], 1)
    sd = exact.std(0)
    return (learned.mean(0) - exact.mean(0)) / sd, learned.std(0) / sd


def against_references(
    model: ds.ConditionalDiffusion, name: str, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(learned − reference mean)/reference sd, and sd ratio, for each data set and coordinate."""
    many = REFERENCES / f"moments_{name}.npz"
    with np.load(many if many.exists() else REFERENCES / f"references_{name}.npz") as file:
        x = torch.from_numpy(file[f"x_{steps}"]).float()[..., None]
        if many.exists():
            mean, sd = (torch.from_numpy(file[f"{what}_{steps}"]) for what in ("mean", "sd"))
        else:
            draws = torch.from_numpy(file[f"draws_{steps}"]).double()
            mean, sd = draws.mean(1), draws.std(1)
    learned = model.sample(x, 4000, seed=1).cpu()
    return (learned.mean(0) - mean) / sd, learned.std(0) / sd


class EvenSizes(ds.problems.NormalGamma):
    """N uniform on its range, where the library's is uniform on the logarithm."""

    def draw_n_obs(self, generator: torch.Generator) -> int | None:
        low, high = self.n_obs if isinstance(self.n_obs, tuple) else (1, 1)
        return int(torch.randint(low, high + 1, (), generator=generator))


def amortization(seconds: float, seeds: int) -> None:
    whole = ds.problems.NormalGamma(n_obs=(1, 1000))
    print(f"NormalGamma, N = 1 … 3,000, {seconds:.0f} s of training each")
    for seed in range(seeds):
        for name, problem in (("log-uniform", whole), ("uniform", EvenSizes(n_obs=(1, 1000)))):
            encoder = encoders.DeepSets(1, SUMMARY, seed=seed)
            model = trained(problem, encoder, seconds, seed)
            by_size(f"DeepSets, N {name}", model, MANY_SIZES, 20, 200, seed)
        composition(seconds, seed)


def composition(seconds: float, seed: int) -> None:
    model = trained(ds.problems.NormalGamma(n_obs=1), encoders.Identity(1), seconds, seed)
    for method, sizes in COMPOSED.items():
        composed = ds.Compositional(model, method=method)
        by_size(f"composed, {method}", composed, sizes, 20, 100, seed)


def by_size(
    name: str, model: Any, sizes: tuple[int, ...], n_sims: int, n_samples: int, seed: int
) -> None:
    """sd ratios, rms offsets, and C2ST of three data sets, at each size; all see the same data."""
    problem = ds.problems.NormalGamma(n_obs=1)
    for size in sizes:
        start = time.perf_counter()
        found = ds.diagnostics.amortization(
            model, problem, [size], n_sims=n_sims, n_samples=n_samples, seed=100 + seed
        )
        took = time.perf_counter() - start
        ratio, offset = found.ratio, found.offset
        assert ratio is not None
        assert offset is not None
        _, x = problem.sample(3, seed=300 + seed, n_obs=size, device="cpu")
        n = 5 * n_samples
        draws = model.sample(x, n, seed=5).cpu()
        c2st = [
            ds.diagnostics.c2st(draws[:, i], problem.posterior(x[i]).sample((n,), seed=i))
            for i in range(3)
        ]
        print(
            f"    {name}, seed {seed}, N = {size}: sd/exact {ratio[0, 0]:.3f} {ratio[0, 1]:.3f}; "
            f"offset {offset[0, 0]:.3f} {offset[0, 1]:.3f} sds; C2ST {statistics.fmean(c2st):.3f}; "
            f"{1000 * took / (n_sims * n_samples):.2f} s per 1,000 draws",
            flush=True,
        )


def cost() -> None:
    print("training steps a second at N = 500, batch 256, decoder 128 × 3, on all cores")
    makers = {
        "DeepSets": encoders.DeepSets, "SetTransformer": encoders.SetTransformer,
        "BiLSTM": encoders.BiLSTM, "GRU": encoders.GRU, "TemporalConv": encoders.TemporalConv,
        "SequenceTransformer": encoders.SequenceTransformer,
    }  # fmt: skip
    sequence, independent = ds.problems.AR1(n_obs=500), ds.problems.NormalGamma(n_obs=500)
    for name, make in makers.items():
        problem = sequence if make.symmetry == "sequence" else independent
        model = ds.ConditionalDiffusion(problem, encoder=make(1, SUMMARY, seed=0), seed=0)
        times = [s.seconds for s in ds.train(model, 30, batch_size=256, seed=0)]
        rate = 20 / (times[-1] - times[9])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  {name:20s} {rate:6.1f} steps/s; peak memory so far {peak:.2f} GiB", flush=True)


SECTIONS = ["cost", "sets", "sequences", "amortization"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS)
    parser.add_argument("--seconds", type=float, default=100.0, help="of training, each model")
    parser.add_argument("--steps", type=int, help="of training on sequences, instead of --seconds")
    parser.add_argument("--batch", type=int, default=128, help="sequences a step")
    parser.add_argument("--lr", type=float, default=6e-3, help="learning rate for sequences")
    parser.add_argument("--network", choices=NETWORKS, default="BiLSTM", help="for sequences")
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    only = options.only or SECTIONS[:3]
    print(f"yardstick: {yardstick.measure(200):.1f} s", flush=True)
    if "cost" in only:
        cost()
    if "sets" in only:
        sets(options.seconds, options.seeds)
    if "sequences" in only:
        sequences(options)
    if "amortization" in only:
        amortization(options.seconds, options.seeds)


if __name__ == "__main__":
    main()
