"""Reference posteriors of two series with a known likelihood: `python tools/references_series.py`.

Writes tests/data/references_lotka_volterra.npz and references_fractional_brownian_motion.npz: three
data sets each, N = 200 counts and N = 100 steps, as `x` (3, N, F), the parameters `theta` (3, D)
they were simulated from, and `draws` (3, 1000, D) from each posterior. NumPy and SciPy only, from
the models' equations; nothing of diffsbi_edu is used. (A minute on one core.)

Both by importance sampling, which has no chain that might be stuck: draws from a wider law, each
weighted by posterior / law, are picked in proportion to their weights. `ess` (3,) is the effective
number of weighted draws that the 1,000 were picked from, 1 / (sum of squared weights).

- Lotka-Volterra: from a Student t about the posterior, found in rounds of a thousand draws from
  normals; the equation solved by SciPy's eighth-order method (DOP853), tolerances of 1e-8.
- Fractional Brownian motion: from the prior itself, 1,000 values of the exponent (each with its own
  Cholesky factor) times 2,000 of the others. So no island of a period and phase that happen to fit
  can be missed.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from scipy import integrate, linalg, special, stats

DRAWS, SETS = 1000, 3
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data"
Array = np.ndarray
Rng = np.random.Generator


def picked(log_weights: Array, rng: Rng) -> tuple[Array, float]:
    """Indices (1000,) drawn in proportion to the weights, and the effective sample size."""
    weights = special.softmax(log_weights)
    return rng.choice(len(weights), DRAWS, p=weights), 1 / (weights**2).sum()


# --------------------------------------------------------------------------------- Lotka-Volterra

BOUNDED = [0, 1, 2, 3, 6]  # alpha, beta, gamma, delta, rho; the others are the sds
LOW, HIGH = np.array([[0.5, 1.0], [0.01, 0.1], [0.01, 0.5], [0.005, 0.05], [-0.1, 0.1]]).T
COUNTS = 200


def solved(rates: Array, tolerance: float = 1e-8) -> Array:
    """Prey and predators (C, N, 2) for rates (C, 4), all as one system of equations."""
    alpha, beta, gamma, delta = rates.T
    n = len(rates)

    def change(_: float, w: Array) -> Array:  # of ln prey, then ln predators
        return np.concatenate([alpha - beta * np.exp(w[n:]), delta * np.exp(w[:n]) - gamma])

    start, t = np.repeat(np.log([20.0, 5.0]), n), np.linspace(0, 30, COUNTS)
    path = integrate.solve_ivp(change, (0, 30), start, "DOP853", t, rtol=tolerance, atol=tolerance)
    return np.exp(path.y).reshape(2, n, COUNTS).transpose(1, 2, 0)


def predators_simulate(rng: Rng) -> tuple[Array, Array]:
    theta = np.empty(7)
    theta[BOUNDED], theta[4:6] = rng.uniform(LOW, HIGH), rng.gamma(5, 1 / 5, size=2)
    r1, r2, rho = theta[4:]
    noise = rng.multivariate_normal(
        [0, 0], [[r1**2, rho * r1 * r2], [rho * r1 * r2, r2**2]], size=COUNTS
    )
    return theta, (solved(theta[None, :4], 1e-11)[0] + noise).astype(np.float32)


def natural(u: Array) -> Array:
    """theta (C, 7) of logits of the bounded parameters and logarithms of the sds."""
    theta = np.exp(u)
    theta[:, BOUNDED] = LOW + (HIGH - LOW) * special.expit(u[:, BOUNDED])
    return theta


def predators_log_posterior(u: Array, x: Array) -> Array:
    """Of u (C, 7), up to a constant."""
    theta = natural(u)
    r1, r2, rho = theta[:, 4:].T
    logits = u[:, BOUNDED]
    # A uniform parameter's logit has the logistic density; r of Gamma(5, 1/5) has dr / d ln r = r.
    prior = stats.logistic.logpdf(logits).sum(1) + (5 * u[:, 4:6] - 5 * theta[:, 4:6]).sum(1)
    a, b = ((x - solved(theta[:, :4])) / theta[:, None, 4:6]).transpose(2, 0, 1)
    left = 1 - rho**2
    squares = (a**2 - 2 * rho[:, None] * a * b + b**2).sum(1) / left
    return prior - 0.5 * squares - COUNTS * (np.log(r1 * r2) + 0.5 * np.log(left))


def predators_draws(x: Array, theta: Array, rng: Rng) -> tuple[Array, float]:
    share = (theta[BOUNDED] - LOW) / (HIGH - LOW)
    centre = np.log(theta.clip(1e-9))
    centre[BOUNDED] = special.logit(share)
    covariance = np.diag([0.05, 0.05, 0.05, 0.05, 0.1, 0.1, 2.0]) ** 2
    for _ in range(12):
        u = rng.multivariate_normal(centre, covariance, size=1000)
        log_weights = predators_log_posterior(u, x)
        log_weights -= stats.multivariate_normal(centre, covariance).logpdf(u)
        # Weights flattened until 100 draws count: a step towards the posterior, or a look at it.
        for power in 0.8 ** np.arange(60):
            weights = special.softmax(power * log_weights)
            if 1 / (weights**2).sum() > 100:
                break
        centre = weights @ u
        covariance = np.cov(u.T, aweights=weights) * 1.2 + 1e-8 * np.eye(7)
    wide = stats.multivariate_t(centre, 1.2 * covariance, df=8)
    u = wide.rvs(16_000, random_state=rng)
    log_posterior = np.concatenate(
        [predators_log_posterior(part, x) for part in u.reshape(8, -1, 7)]
    )
    index, ess = picked(log_posterior - wide.logpdf(u), rng)
    return natural(u[index]), ess


# --------------------------------------------------------------------- fractional Brownian motion

POINTS, EXPONENTS, OTHERS = 100, 1000, 2000
GRID = np.arange(1, POINTS + 1) / POINTS


def path_factor(hurst: float) -> Array:
    """Cholesky factor of the path's covariance for tau = 1."""
    s, power = GRID[:, None], 2 * hurst
    return np.linalg.cholesky((s**power + GRID**power - np.abs(s - GRID) ** power) / 2)


def fractional_prior(n: int, rng: Rng) -> Array:
    """tau, amplitude, phase, period: (n, 4)."""
    tau, amplitude = rng.gamma(20, 1, n) ** 0.5, rng.gamma(3, 0.2, n)
    return np.stack([tau, amplitude, rng.uniform(0, 2 * np.pi, n), rng.uniform(0.1, 1, n)], 1)


def waves(others: Array) -> Array:
    _, amplitude, phase, period = others.T
    return amplitude * np.sin(2 * np.pi * GRID[:, None] / period + phase)


def fractional_simulate(rng: Rng) -> tuple[Array, Array]:
    hurst, others = rng.uniform(), fractional_prior(1, rng)
    path = others[0, 0] * path_factor(hurst) @ rng.normal(size=POINTS)
    x = (path + waves(others)[:, 0]).astype(np.float32)
    return np.concatenate([[hurst], others[0]]), x[:, None]


def fractional_draws(x: Array, theta: Array, rng: Rng) -> tuple[Array, float]:
    rows, log_likelihoods = [], []
    for hurst in (np.arange(EXPONENTS) + rng.uniform(size=EXPONENTS)) / EXPONENTS:
        others, factor = fractional_prior(OTHERS, rng), path_factor(hurst)
        errors = linalg.solve_triangular(factor, x - waves(others), lower=True)
        log_scale = np.log(np.diag(factor)).sum() + POINTS * np.log(others[:, 0])
        log_likelihoods.append(-0.5 * (errors**2).sum(0) / others[:, 0] ** 2 - log_scale)
        rows.append(np.column_stack([np.full(OTHERS, hurst), others]))
    index, ess = picked(np.concatenate(log_likelihoods), rng)
    return np.concatenate(rows)[index], ess


PROBLEMS = {
    "lotka_volterra": (predators_simulate, predators_draws),
    "fractional_brownian_motion": (fractional_simulate, fractional_draws),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, (simulate, draw) in PROBLEMS.items():
        arrays: dict[str, list[Array]] = {}
        for i in range(SETS):
            rng, start = np.random.default_rng([20241019, i]), time.perf_counter()
            theta, x = simulate(rng)
            draws, ess = draw(x.astype(np.float64), theta, rng)
            found = {"theta": theta, "x": x, "draws": draws.astype(np.float32), "ess": ess}
            for key, value in found.items():
                arrays.setdefault(key, []).append(value)
            shown = {"theta": theta, "mean": draws.mean(0), "sd": draws.std(0)}
            said = ", ".join(f"{key} {np.round(v, 4)}" for key, v in shown.items())
            seconds = time.perf_counter() - start
            print(f"{name}: {said}; ESS {ess:.0f}; {seconds:.0f} s", flush=True)
        path = FOLDER / f"references_{name}.npz"
        np.savez_compressed(path, **{key: np.stack(value) for key, value in arrays.items()})
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
