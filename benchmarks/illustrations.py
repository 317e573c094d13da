"""Accuracy on the paper's illustrations: the Witch's hat and the sum of cosines.

    python benchmarks/illustrations.py                    # both, 3 seeds
    python benchmarks/illustrations.py --only hat --seeds 1 --steps 6000

Each model is trained from scratch and judged against the exact posterior. The SBC distance is the
mean over coordinates of the Kolmogorov-Smirnov distance at 1,000 simulations x 100 draws; it is
averaged over several sets of simulations, and exact draws given the same simulations are scored the
same way, since 1,000 ranks of a perfect posterior are not perfectly uniform either.
"""

from __future__ import annotations

import argparse
import time

import torch
import yardstick

import diffsbi_edu as ds

HAT_STEPS, COSINE_STEPS = 8000, 4000
SBC_SEEDS = (11, 12, 13)
MIDDLE = ([0.5] * 5, [0.3, 0.6, 0.45, 0.7, 0.35], [0.62, 0.25, 0.5, 0.4, 0.55])
EDGE = ([0.5, 0.45, 0.55, 0.6, 0.895], [0.11, 0.3, 0.6, 0.5, 0.4], [0.5, 0.88, 0.4, 0.12, 0.6])
OUTSIDE = ([0.95, 0.96, 0.5, 0.98, 0.02], [0.5, 0.02, 0.4, 0.6, 0.5], [0.95] * 5)
# Two or three widths out, where spike and brim change places within 0.02 of x.
JUST_OUTSIDE = (
    [0.5, 0.45, 0.55, 0.6, 0.97],
    [0.05, 0.5, 0.5, 0.5, 0.5],
    [0.4, 0.96, 0.6, 0.5, 0.3],
)
POSITIONS = {"middle": MIDDLE, "edge": EDGE, "outside": OUTSIDE, "just outside": JUST_OUTSIDE}


class Exact:
    """The exact posterior behind `sample`, to be scored as a model is."""

    def __init__(self, problem: ds.Problem) -> None:
        self.problem = problem

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        parts = [self.problem.posterior(row).sample((n,), seed=seed + i) for i, row in enumerate(x)]
        return torch.stack(parts, 1)


def spread(values: list[float]) -> str:
    tensor = torch.tensor(values)
    sd = f" ± {tensor.std():.4f}" if len(values) > 1 else ""
    return f"{tensor.mean():.4f}{sd}"


def train(problem: ds.Problem, steps: int, seed: int) -> ds.ConditionalDiffusion:
    model = ds.ConditionalDiffusion(problem, seed=seed)
    start = time.perf_counter()
    ds.fit(model, steps, seed=seed, progress=False)
    print(f"{problem.name}, seed {seed}: {steps} steps in {time.perf_counter() - start:.1f} s")
    return model


def spikes_and_brims(model: ds.ConditionalDiffusion, problem: ds.Problem) -> tuple[float, float]:
    """Spike sd over exact sd, and learned over exact brim mass, over 60 x in the middle."""
    generator = torch.Generator().manual_seed(3)
    x = 0.2 + 0.6 * torch.rand(60, 1, problem.dim, generator=generator)
    off = model.sample(x.to(model.device), 2000, seed=1).cpu() - x[:, 0]
    near = (off.abs() < 5 * problem.width).all(-1)  # a brim draw lands there once in 3,000
    sd = (off.square() * near[..., None]).sum(0) / near.sum(0)[:, None]
    brim = torch.tensor([problem.posterior(row).brim_mass for row in x]).mean()
    return float(sd.sqrt().mean() / problem.width), float((~near).float().mean() / brim)


def hat(seeds: int, steps: int, draws: int) -> None:
    problem = ds.problems.WitchsHat()
    exact = Exact(problem)
    exact_ks = [
        float(ds.diagnostics.sbc(exact, problem, 1000, 100, seed=s).ks.mean()) for s in SBC_SEEDS
    ]
    print(f"exact draws: SBC {spread(exact_ks)} over {len(SBC_SEEDS)} sets of simulations")
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        model = train(problem, steps, seed)
        one: dict[str, float] = {}
        ks = [
            float(ds.diagnostics.sbc(model, problem, 1000, 100, seed=s).ks.mean())
            for s in SBC_SEEDS
        ]
        one["SBC mean KS"] = sum(ks) / len(ks)
        for name, places in POSITIONS.items():
            scores = []
            for i, place in enumerate(places):
                x = torch.tensor([place])
                reference = problem.posterior(x).sample((draws,), seed=50 + i)
                q = model.sample(x, draws, seed=i).cpu()
                scores.append(ds.diagnostics.c2st(q, reference))
            one[f"C2ST, {name}"] = sum(scores) / len(scores)
        one["spike sd / exact"], one["brim mass / exact"] = spikes_and_brims(model, problem)
        print("   ", "; ".join(f"{k} {v:.4f}" for k, v in one.items()), flush=True)
        for key, value in one.items():
            found.setdefault(key, []).append(value)
    print(*(f"hat: {k}: {spread(v)} over {seeds} seeds" for k, v in found.items()), sep="\n")


def cosines(seeds: int, steps: int, draws: int) -> None:
    problem = ds.problems.SumOfCosines()
    scores, missed = [], 0
    for seed in range(seeds):
        model = train(problem, steps, seed)
        _, xs = problem.sample(10, seed=1000 + seed, device="cpu")
        here = []
        for i, x in enumerate(xs):
            exact = problem.posterior(x)
            q = model.sample(x, draws, seed=i).cpu()
            here.append(ds.diagnostics.c2st(q, exact.sample((draws,), seed=50 + i)))
            missed += modes_missed(q, *exact.table())
        print(f"    C2ST mean {sum(here) / 10:.4f}, max {max(here):.4f}", flush=True)
        scores.append(sum(here) / 10)
    print(f"cosines: C2ST {spread(scores)} over {seeds} seeds; modes missed: {missed}")


def modes_missed(q: torch.Tensor, axis: torch.Tensor, density: torch.Tensor) -> int:
    """Modes of at least 2 % of the mass that hold less than half of it among the draws.

    A mode is an island of the smallest region that holds 80 % of the exact mass; the torus's
    opposite edges are not joined, as the box's are not.
    """
    from scipy import ndimage

    cells = density / density.sum()
    levels = cells.flatten().sort(descending=True).values
    level = levels[int((levels.cumsum(0) < 0.8).sum())]
    labels, count = ndimage.label((cells >= level).numpy())
    labels = torch.from_numpy(labels).long()
    exact = torch.zeros(count + 1).index_add_(0, labels.flatten(), cells.flatten())
    step = axis[1] - axis[0]
    index = ((q - axis[0]) / step).round().long().clamp(0, len(axis) - 1)
    learned = torch.bincount(labels[index[:, 0], index[:, 1]], minlength=count + 1) / len(q)
    return int(((exact[1:] >= 0.02) & (learned[1:] < 0.5 * exact[1:])).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["hat", "cosines"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="instead of each problem's own")
    parser.add_argument("--draws", type=int, default=5000, help="for each C2ST")
    options = parser.parse_args()
    print(f"yardstick: {yardstick.measure(200):.1f} s", flush=True)
    if options.only != "cosines":
        hat(options.seeds, options.steps or HAT_STEPS, options.draws)
    if options.only != "hat":
        cosines(options.seeds, options.steps or COSINE_STEPS, options.draws)


if __name__ == "__main__":
    main()
