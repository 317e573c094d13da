"""Reference posteriors for the problems whose own code should not be its own judge.

    python tools/references.py            # all three, about three minutes on one core
    python tools/references.py ar1 g_and_k
    python tools/references.py --many stochastic_volatility   # half an hour on one core

Writes tests/data/references_<problem>.npz: for T in (100, 500) two data sets `x_T` (2, T), the
parameters `theta_T` (2, D) they were simulated from, and `draws_T` (2, 1000, D) from the posterior.
Everything here is NumPy and SciPy, written from the models' equations; nothing of diffsbi_edu is
used. With `--many`, 20 data sets a T are written to tests/data/moments_<problem>.npz, of whose
posteriors only `mean_T` and `sd_T` (20, D) are kept: two are too few to tell a network's limits
from its luck.

- AR(1) and g-and-k: random-walk Metropolis, 20 chains from overdispersed starts, whose covariance
  is learnt in the warm-up and then fixed, on the exact likelihood (g-and-k: its quantile function
  inverted by interpolation and Newton's method). Draws are thinned; `ess_T` and `rhat_T` (2, D) are
  the effective sample size of those that are kept and split R-hat of the whole chains.
- Stochastic volatility: the likelihood integrates over the path of h by quadrature, one step at a
  time (Kitagawa 1987, JASA 82, 1032-1041), on a regular grid, where for Gaussian kernels sums equal
  integrals to many digits. Its logarithm is smooth in theta: a Chebyshev polynomial through
  tensor nodes stands in for it (`error_T` (2,): largest error at 40 new points drawn from the
  posterior, in nats). Draws are taken from a fine grid of it, so they are independent.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from metropolis import CHAINS, DRAWS, by_metropolis
from numpy.polynomial import chebyshev
from scipy import special, stats

SIZES, SETS, MANY = (100, 500), 2, 20
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data"
Array = np.ndarray


# ----------------------------------------------------------------------------------------- AR(1)


def ar1_simulate(size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    sd = stats.invgamma(4, scale=4).rvs(random_state=rng) ** 0.5
    mean, phi = rng.normal(0, sd), rng.uniform(-1, 1)
    x = np.empty(size)
    x[0] = rng.normal(mean, sd / (1 - phi**2) ** 0.5)
    for t in range(1, size):
        x[t] = mean + phi * (x[t - 1] - mean) + sd * rng.normal()
    return np.array([mean, phi, sd]), x.astype(np.float32)


def ar1_log_likelihood(mean: Array, phi: Array, sd: Array, x: Array) -> Array:
    """log p(x (T,)) for parameters (C,): the first number, then one-step predictions."""
    first = stats.norm.logpdf(x[0], mean, sd / np.sqrt(1 - phi**2))
    predicted = mean[:, None] + phi[:, None] * (x[None, :-1] - mean[:, None])
    return first + stats.norm.logpdf(x[1:], predicted, sd[:, None]).sum(1)


def ar1_draws(x: Array, rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    def log_density(u: Array) -> Array:  # of mean, artanh phi, ln sd
        mean, phi, sd = u[:, 0], np.tanh(u[:, 1]), np.exp(u[:, 2])
        # p(sd) = p(sd^2) 2 sd, and d sd / d ln sd = sd
        prior = stats.invgamma(4, scale=4).logpdf(sd**2) + 2 * np.log(sd)
        prior += stats.norm.logpdf(mean, 0, sd) + np.log1p(-(phi**2))
        return prior + ar1_log_likelihood(mean, phi, sd, x)

    start = np.array([x.mean(), 0.0, np.log(x.std())]) + rng.normal(size=(CHAINS, 3)) * 0.3
    u, quality = by_metropolis(log_density, start, rng)
    return np.stack([u[:, 0], np.tanh(u[:, 1]), np.exp(u[:, 2])], 1), quality


# --------------------------------------------------------------------------------------- g-and-k


def bend(z: Array, a: Array, b: Array, g: Array, k: Array) -> Array:
    return a + b * (1 + 0.8 * np.tanh(g * z / 2)) * (1 + z**2) ** k * z


def bend_slope(z: Array, b: Array, g: Array, k: Array) -> Array:
    """The derivative of `bend`, by the product rule."""
    lean, tail = 1 + 0.8 * np.tanh(g * z / 2), (1 + z**2) ** k
    d_lean = 0.4 * g / np.cosh(g * z / 2) ** 2
    d_tail = 2 * k * z * (1 + z**2) ** (k - 1)
    return b * (d_lean * tail * z + lean * d_tail * z + lean * tail)


def straighten(y: Array, a: Array, b: Array, g: Array, k: Array) -> Array:
    """z with bend(z) = y (T,), for parameters (C,): interpolation, then Newton; |z| <= 12."""
    line = 12 * np.sinh(np.linspace(-4, 4, 801)) / np.sinh(4)
    table = bend(line, *(p[:, None] for p in (a, b, g, k)))
    z = np.stack([np.interp(y, row, line) for row in table])
    c = [p[:, None] for p in (a, b, g, k)]
    for _ in range(5):
        inside = np.abs(z) < 12
        z = np.where(inside, z - (bend(z, *c) - y) / bend_slope(z, *c[1:]), z)
        z = np.clip(z, -12, 12)
    return z


def g_and_k_simulate(size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    theta = np.array([rng.normal(), rng.gamma(5, 1 / 5), rng.normal(), rng.gamma(7, 1 / 7)])
    return theta, np.tanh(bend(rng.normal(size=size), *theta) / 10).astype(np.float32)


def g_and_k_log_likelihood(a: Array, b: Array, g: Array, k: Array, x: Array) -> Array:
    """log p(x (T,) float32) for parameters (C,), x = tanh(y/10).

    Where 1 - |x| < 1e-3, the probability of the cell of y that float32 rounds to x, per length.
    """
    coarse = 1 - np.abs(x) < 1e-3
    fine = x[~coarse].astype(np.float64)
    z = straighten(10 * np.arctanh(fine), a, b, g, k)
    slope = bend_slope(z, *(p[:, None] for p in (b, g, k)))
    total = (stats.norm.logpdf(z) + np.log(10 / (1 - fine**2) / slope)).sum(1)
    if coarse.any():
        edges = x[coarse]
        outward, inward = np.sign(edges) * np.float32(2), np.float32(0)
        far, near = (
            (edges.astype(np.float64) + np.nextafter(edges, to).astype(np.float64)) / 2
            for to in (outward, inward)
        )
        far = np.clip(far, -1, 1)
        with np.errstate(divide="ignore"):
            near_y, far_y = (np.clip(10 * np.arctanh(e), -1e9, 1e9) for e in (near, far))
        # Mass beyond the nearer edge minus mass beyond the farther one, both as small tails.
        sign = np.sign(edges)
        beyond = [special.ndtr(-sign * straighten(y, a, b, g, k)) for y in (near_y, far_y)]
        mass = np.maximum(beyond[0] - beyond[1], 1e-300)
        total += (np.log(mass) - np.log(np.abs(far - near))).sum(1)
    return total


def g_and_k_draws(x: Array, rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    def log_density(u: Array) -> Array:  # of a, ln b, g, ln k
        a, b, g, k = u[:, 0], np.exp(u[:, 1]), u[:, 2], np.exp(u[:, 3])
        prior = stats.norm.logpdf(a) + stats.norm.logpdf(g)
        prior += stats.gamma(5, scale=1 / 5).logpdf(b) + u[:, 1]
        prior += stats.gamma(7, scale=1 / 7).logpdf(k) + u[:, 3]
        return prior + g_and_k_log_likelihood(a, b, g, k, x)

    start = np.array([np.median(10 * np.arctanh(np.clip(x, -0.99, 0.99))), 0.0, 0.0, 0.0])
    u, quality = by_metropolis(log_density, start + 0.3 * rng.normal(size=(CHAINS, 4)), rng)
    return np.stack([u[:, 0], np.exp(u[:, 1]), u[:, 2], np.exp(u[:, 3])], 1), quality


# --------------------------------------------------------------------------- stochastic volatility


def sv_simulate(size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    mu, phi, eta = rng.normal(-1, 0.5), rng.uniform(0.9, 0.999), rng.uniform(0.1, 0.3)
    h, x = mu + eta * rng.normal(), np.empty(size)
    for t in range(size):
        x[t] = np.exp(h / 2) * rng.normal()
        h = mu + phi * (h - mu) + eta * rng.normal()
    return np.array([mu, phi, eta]), x.astype(np.float32)


def sv_log_likelihood(
    mu: float, phi: float, eta: float, x: Array, fineness: float = 1.8, margin: float = 4.0
) -> float:
    """log p(x (T,)) by quadrature over h_t, one t after another, on a grid of spacing eta / 1.8."""
    x = x.astype(np.float64)
    width = min(25, len(x))
    local = np.log(np.convolve(x**2, np.ones(width) / width, "valid") + 1e-6)
    low, high = min(local.min(), mu) - margin, max(local.max(), mu) + margin
    h = np.arange(low, high, eta / fineness)
    kernel = stats.norm.pdf(h[:, None], mu + phi * (h[None, :] - mu), eta) * (eta / fineness)
    emission = np.exp(-0.5 * (h + np.log(2 * np.pi) + x[:, None] ** 2 * np.exp(-h)))
    belief, total = stats.norm.pdf(h, mu, eta) * (eta / fineness), 0.0
    for t, seen in enumerate(emission):
        belief = seen * (kernel @ belief if t else belief)
        scale = belief.sum()
        belief, total = belief / scale, total + np.log(scale)
    return float(total)


def nodes(low: float, high: float, n: int) -> Array:
    return low + (high - low) * (chebyshev.chebpts1(n) + 1) / 2


def fitted(values: Array) -> Array:
    """Chebyshev coefficients of values at tensor nodes, along every axis."""
    for axis, n in enumerate(values.shape):
        inverse = np.linalg.inv(chebyshev.chebvander(chebyshev.chebpts1(n), n - 1))
        values = np.moveaxis(np.tensordot(inverse, values, (1, axis)), 0, axis)
    return values


def on_grid(coefficients: Array, points: list[Array], box: list[tuple[float, float]]) -> Array:
    """The polynomial on the tensor grid of three sets of points."""
    for axis, (line, (low, high)) in enumerate(zip(points, box, strict=True)):
        unit = 2 * (line - low) / (high - low) - 1
        basis = chebyshev.chebvander(unit, coefficients.shape[axis] - 1)
        coefficients = np.moveaxis(np.tensordot(basis, coefficients, (1, axis)), 0, axis)
    return coefficients


def sv_draws(x: Array, rng: np.random.Generator) -> tuple[Array, dict[str, Array]]:
    def log_posterior(mu: float, phi: float, eta: float) -> float:
        return stats.norm.logpdf(mu, -1, 0.5) + sv_log_likelihood(mu, phi, eta, x)

    box = [(-3.5, 1.5), (0.9, 0.999), (0.1, 0.3)]
    # Where mu has any posterior mass: the polynomial need not bend further out.
    coarse = [nodes(*edges, n) for edges, n in zip(box, (21, 5, 4), strict=True)]
    rough = np.array([[[log_posterior(m, p, e) for e in coarse[2]] for p in coarse[1]]
                      for m in coarse[0]]).max((1, 2))  # fmt: skip
    near = np.flatnonzero(rough > rough.max() - 16)
    box[0] = (coarse[0][max(near[0] - 1, 0)], coarse[0][min(near[-1] + 1, 20)])
    tensor = [nodes(*edges, n) for edges, n in zip(box, (14, 11, 9), strict=True)]
    values = np.array([[[log_posterior(m, p, e) for e in tensor[2]] for p in tensor[1]]
                       for m in tensor[0]])  # fmt: skip
    coefficients = fitted(values)
    cells = (160, 120, 100)
    sides = [(high - low) / n for (low, high), n in zip(box, cells, strict=True)]
    lines = [low + side * (np.arange(n) + 0.5)
             for (low, _), side, n in zip(box, sides, cells, strict=True)]  # fmt: skip
    surface = on_grid(coefficients, lines, box)
    mass = np.exp(surface - surface.max()).ravel()
    chosen = rng.choice(mass.size, DRAWS, p=mass / mass.sum())
    index = np.unravel_index(chosen, cells)
    theta = np.stack([line[i] for line, i in zip(lines, index, strict=True)], 1)
    theta += (rng.uniform(size=theta.shape) - 0.5) * sides
    errors = [
        on_grid(coefficients, [row[i : i + 1] for i in range(3)], box).item() - log_posterior(*row)
        for row in theta[:40]
    ]
    # A constant error would cancel in the posterior.
    return theta, {"error": np.abs(np.array(errors) - np.median(errors)).max()}


PROBLEMS = {
    "ar1": (ar1_simulate, ar1_draws),
    "g_and_k": (g_and_k_simulate, g_and_k_draws),
    "stochastic_volatility": (sv_simulate, sv_draws),
}


def written(name: str, sets: int, stem: str) -> None:
    simulate, draw = PROBLEMS[name]
    arrays: dict[str, Array] = {}
    for size in SIZES:
        for i in range(sets):
            # Data sets of their own for the moments: nothing chosen on some is judged by the same.
            key = [20241019, size, i] + ([1] if stem == "moments" else [])
            rng, start = np.random.default_rng(key), time.perf_counter()
            theta, x = simulate(size, rng)
            draws, quality = draw(x, rng)
            found = {"theta": theta, "x": x, "mean": draws.mean(0), "sd": draws.std(0), **quality}
            seconds = time.perf_counter() - start
            said = ", ".join(f"{k} {np.round(v, 4)}" for k, v in found.items() if k != "x")
            print(f"{name}, T = {size}: {said}; {seconds:.0f} s", flush=True)
            if stem == "references":
                found = {k: v for k, v in found.items() if k not in ("mean", "sd")}
                found["draws"] = draws.astype(np.float32)
            for k, value in found.items():
                arrays.setdefault(f"{k}_{size}", []).append(value)
    path = FOLDER / f"{stem}_{name}.npz"
    np.savez_compressed(path, **{k: np.stack(value) for k, value in arrays.items()})
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", metavar="NAME")
    parser.add_argument("--many", action="store_true", help="moments of 20 data sets, no draws")
    options = parser.parse_args()
    if unknown := set(options.problems) - set(PROBLEMS):
        parser.error(
            f"no such problem: {', '.join(sorted(unknown))}; there are {', '.join(PROBLEMS)}"
        )
    FOLDER.mkdir(exist_ok=True)
    for name in options.problems or PROBLEMS:
        written(name, *((MANY, "moments") if options.many else (SETS, "references")))


if __name__ == "__main__":
    main()
