"""Simulators: batches of 512 data sets in torch, against one data set at a time in NumPy.

    python benchmarks/simulators.py

Two NumPy rivals, both a loop over data sets. "Calls" draws each data set's observations with one
call where the model allows it (for a time series only the noise can be; fractional Brownian motion
by the same Fourier transform as ours); "steps" is the simulator as it is usually written down, one
observation or time step after another. Predators and prey take the same steps in all three.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import diffsbi_edu as ds

Rng = np.random.Generator
BATCH = 512


def normal_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.normal(theta[0], theta[1], size=n)


def normal_steps(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    return [rng.normal(theta[0], theta[1]) for _ in range(n)]


def wishart_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    factor = np.zeros((4, 4))
    factor[np.tril_indices(4)] = theta[4:]
    return theta[:4] + rng.normal(size=(n, 4)) @ factor.T


def wishart_steps(theta: np.ndarray, n: int, rng: Rng) -> list[np.ndarray]:
    factor = np.zeros((4, 4))
    factor[np.tril_indices(4)] = theta[4:]
    return [theta[:4] + factor @ rng.normal(size=4) for _ in range(n)]


def bent(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
    a, b, g, k = theta
    return np.tanh((a + b * (1 + 0.8 * np.tanh(g * z / 2)) * (1 + z**2) ** k * z) / 10)


def g_and_k_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return bent(rng.normal(size=n), theta)


def g_and_k_steps(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    return [bent(rng.normal(), theta) for _ in range(n)]


def ar1_calls(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    mean, phi, sd = theta.tolist()
    x, off = [], 0.0
    scale = sd / math.sqrt(1 - phi**2)
    for eps in rng.normal(size=n).tolist():
        off = phi * off + scale * eps
        x.append(mean + off)
        scale = sd
    return x


def ar1_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    mean, phi, sd = theta
    x = np.empty(n)
    x[0] = rng.normal(mean, sd / np.sqrt(1 - phi**2))
    for t in range(1, n):
        x[t] = mean + phi * (x[t - 1] - mean) + sd * rng.normal()
    return x


def volatility_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    mu, phi, eta = theta.tolist()
    h, off = [], 0.0
    for xi in rng.normal(size=n).tolist():
        off = phi * off + eta * xi
        h.append(mu + off)
    return np.exp(np.array(h) / 2) * rng.normal(size=n)


def volatility_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    mu, phi, eta = theta
    x, h = np.empty(n), mu + eta * rng.normal()
    for t in range(n):
        x[t] = np.exp(h / 2) * rng.normal()
        h = mu + phi * (h - mu) + eta * rng.normal()
    return x


def predators_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    alpha, beta, gamma, delta, r1, r2, rho = theta.tolist()
    u, v, path = math.log(20), math.log(5), [(20.0, 5.0)]
    inner = math.ceil(30 / (n - 1) / 0.0755)
    h = 30 / (n - 1) / inner
    for _ in range(n - 1):
        for _ in range(inner):
            a1, b1 = alpha - beta * math.exp(v), delta * math.exp(u) - gamma
            x, y = u + h / 2 * a1, v + h / 2 * b1
            a2, b2 = alpha - beta * math.exp(y), delta * math.exp(x) - gamma
            x, y = u + h / 2 * a2, v + h / 2 * b2
            a3, b3 = alpha - beta * math.exp(y), delta * math.exp(x) - gamma
            x, y = u + h * a3, v + h * b3
            a4, b4 = alpha - beta * math.exp(y), delta * math.exp(x) - gamma
            u += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
            v += h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
        path.append((math.exp(u), math.exp(v)))
    covariance = [[r1 * r1, rho * r1 * r2], [rho * r1 * r2, r2 * r2]]
    return np.array(path) + rng.multivariate_normal([0, 0], covariance, size=n)


def predators_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    alpha, beta, gamma, delta, r1, r2, rho = theta
    covariance = np.array([[r1 * r1, rho * r1 * r2], [rho * r1 * r2, r2 * r2]])

    def change(w: np.ndarray) -> np.ndarray:
        prey, predators = np.exp(w)
        return np.array([alpha - beta * predators, delta * prey - gamma])

    w, x = np.log([20.0, 5.0]), np.empty((n, 2))
    inner = math.ceil(30 / (n - 1) / 0.0755)
    h = 30 / (n - 1) / inner
    for t in range(n):
        x[t] = rng.multivariate_normal(np.exp(w), covariance)
        for _ in range(inner if t < n - 1 else 0):
            k1 = change(w)
            k2 = change(w + h / 2 * k1)
            k3 = change(w + h / 2 * k2)
            k4 = change(w + h * k3)
            w = w + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def switching_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    high, low, noise, step, stay_1, stay_2 = theta.tolist()
    walk = step * rng.normal(size=n).cumsum()
    first = rng.random() < (1 - stay_2) / (2 - stay_1 - stay_2)
    loading = []
    for u in rng.random(n).tolist():
        loading.append(high if first else low)
        first = first if u < (stay_1 if first else stay_2) else not first
    return np.stack([walk, loading * walk], 1) + noise * rng.normal(size=(n, 2))


def switching_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    high, low, noise, step, stay_1, stay_2 = theta
    first = rng.random() < (1 - stay_2) / (2 - stay_1 - stay_2)
    x, w = np.empty((n, 2)), 0.0
    for t in range(n):
        w += step * rng.normal()
        x[t] = w + noise * rng.normal(), (high if first else low) * w + noise * rng.normal()
        if rng.random() > (stay_1 if first else stay_2):
            first = not first
    return x


def lags_of_noise(hurst: float, n: int) -> np.ndarray:
    k = np.arange(n + 1.0)
    return (np.abs(k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst)) / 2


def fractional_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    hurst, tau, amplitude, phase, period = theta
    gamma, t = lags_of_noise(hurst, n), np.arange(1, n + 1) / n
    spectrum = np.fft.rfft(np.concatenate([gamma, gamma[-2:0:-1]])).real.clip(0)
    normals = rng.normal(size=n + 1) + 1j * rng.normal(size=n + 1)
    normals[[0, -1]] = normals[[0, -1]].real * math.sqrt(2)
    steps = np.fft.irfft(normals * np.sqrt(spectrum * n))[:n]
    wave = amplitude * np.sin(2 * math.pi * t / period + phase)
    return tau * n**-hurst * steps.cumsum() + wave


def fractional_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    """Hosking's method: each step given all before it."""
    hurst, tau, amplitude, phase, period = theta
    gamma, steps, weights, variance = lags_of_noise(hurst, n), np.empty(n), np.empty(0), 1.0
    for t in range(n):
        if t:
            partial = (gamma[t] - weights @ gamma[t - 1 : 0 : -1]) / variance
            weights = np.append(weights - partial * weights[::-1], partial)
            variance *= 1 - partial**2
        steps[t] = rng.normal(weights @ steps[:t][::-1], math.sqrt(variance))
    t = np.arange(1, n + 1) / n
    wave = amplitude * np.sin(2 * math.pi * t / period + phase)
    return tau * n**-hurst * steps.cumsum() + wave


def var_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    weights = theta[:75].reshape(3, 5, 5).transpose(1, 0, 2).reshape(5, 15)
    x = np.zeros((n + 3, 5))
    x[:n] = theta[75:] * rng.normal(size=(n, 5))
    for t in range(n - 1, -1, -1):  # newest first, as ours: three lags are one slice
        x[t] += weights @ x[t + 1 : t + 4].ravel()
    return x[n - 1 :: -1]


def var_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    lags, sds, x = theta[:75].reshape(3, 5, 5), theta[75:], np.zeros((n + 3, 5))
    for t in range(3, n + 3):
        mean = lags[0] @ x[t - 1] + lags[1] @ x[t - 2] + lags[2] @ x[t - 3]
        x[t] = mean + rng.normal(size=5) * sds
    return x[3:]


def poisson_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.poisson(theta)


def poisson_steps(theta: np.ndarray, n: int, rng: Rng) -> list[int]:
    return [rng.poisson(rate) for rate in theta]


def species_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    first = 0.9 if rng.random() < 0.7 else 0.3
    return rng.binomial(rng.poisson(50 * theta), [first, 0.6, 0.7])


def species_steps(theta: np.ndarray, n: int, rng: Rng) -> list[int]:
    first = 0.9 if rng.random() < 0.7 else 0.3
    return [
        sum(rng.random() < chance for _ in range(rng.poisson(50 * share)))
        for share, chance in zip(theta, (first, 0.6, 0.7), strict=True)
    ]


def socks_in(theta: np.ndarray, rng: Rng) -> list[np.ndarray]:
    proportion = rng.beta(30, 4) if rng.random() < 0.75 else rng.beta(50, 50)
    totals = np.floor(theta + 0.5).astype(int)
    pairs = np.floor(totals * proportion / 2).astype(int)
    return [
        np.concatenate([np.arange(m), np.arange(total - m)])
        for total, m in zip(totals.tolist(), pairs.tolist(), strict=True)
    ]


def socks_calls(theta: np.ndarray, n: int, rng: Rng) -> list[int]:
    x = []
    for socks in socks_in(theta, rng):  # every sock at once: the least second place of a pair
        order = rng.permutation(socks)
        _, first = np.unique(order, return_index=True)
        again = np.ones(len(order), dtype=bool)
        again[first] = False
        x.append(int(again.argmax()) + 1 if again.any() else len(order) + 1)
    return x


def socks_steps(theta: np.ndarray, n: int, rng: Rng) -> list[int]:
    x = []
    for socks in socks_in(theta, rng):
        seen: set[int] = set()
        for sock in rng.permutation(socks).tolist():
            if sock in seen:
                break
            seen.add(sock)
        else:
            seen = set(range(len(socks)))
        x.append(len(seen) + 1)
    return x


def laplace_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.normal(theta[:-2], theta[-1])


def laplace_steps(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    return [rng.normal(mean, theta[-1]) for mean in theta[:-2]]


def slcp_law(theta: np.ndarray) -> tuple[np.ndarray, list[list[float]]]:
    s1, s2, rho = theta[2] ** 2, theta[3] ** 2, math.tanh(theta[4])
    return theta[:2], [[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]]


def slcp_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.multivariate_normal(*slcp_law(theta), size=n)


def slcp_steps(theta: np.ndarray, n: int, rng: Rng) -> list[np.ndarray]:
    return [rng.multivariate_normal(*slcp_law(theta)) for _ in range(n)]


Loop = Callable[[np.ndarray, int, Rng], object]
RIVALS: dict[str, tuple[int, Loop, Loop]] = {
    "normal_gamma": (300, normal_calls, normal_steps),
    "normal_inverse_wishart": (300, wishart_calls, wishart_steps),
    "g_and_k": (300, g_and_k_calls, g_and_k_steps),
    "ar1": (300, ar1_calls, ar1_steps),
    "stochastic_volatility": (700, volatility_calls, volatility_steps),
    "poisson_gamma": (1, poisson_calls, poisson_steps),
    "species_sampling": (1, species_calls, species_steps),
    "socks": (1, socks_calls, socks_steps),
    "dirichlet_laplace": (1, laplace_calls, laplace_steps),
    "slcp": (4, slcp_calls, slcp_steps),
    "lotka_volterra": (350, predators_calls, predators_steps),
    "markov_switching": (350, switching_calls, switching_steps),
    "fractional_brownian_motion": (350, fractional_calls, fractional_steps),
    "minnesota_var": (600, var_calls, var_steps),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--loops", type=int, default=64, help="data sets that the NumPy loops make")
    parser.add_argument("--only", nargs="+", choices=sorted(RIVALS), default=list(RIVALS))
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), µs per data set")
    for name in options.only:
        n, calls, steps = RIVALS[name]
        problem = ds.problems.get(name)
        theta = problem.sample_prior(BATCH, seed=0, device="cpu")
        rows, rng = theta.double().numpy()[: options.loops], np.random.default_rng(0)
        times: tuple[list[float], ...] = ([], [], [])
        size = n if problem.n_obs else None  # None: the simulator fixes N itself
        problem.simulate(theta, seed=0, n_obs=size)  # warm up
        for repeat in range(options.repeats):  # in turns: a shared machine drifts
            start = time.perf_counter()
            problem.simulate(theta, seed=repeat, n_obs=size)
            times[0].append((time.perf_counter() - start) / BATCH)
            for kept, loop in zip(times[1:], (calls, steps), strict=True):
                start = time.perf_counter()
                for row in rows:
                    loop(row, n, rng)
                kept.append((time.perf_counter() - start) / len(rows))
        ours, by_call, by_step = (1e6 * statistics.median(t) for t in times)
        print(
            f"{name:26} N = {n}: torch {ours:7.1f}; NumPy calls {by_call:8.1f} "
            f"({by_call / ours:5.1f} times), steps {by_step:8.1f} ({by_step / ours:5.1f} times)"
        )


if __name__ == "__main__":
    main()
