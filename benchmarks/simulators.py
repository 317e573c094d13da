"""Simulators: batches of 512 data sets in torch, against one data set at a time in NumPy.

    python benchmarks/simulators.py

Two NumPy rivals, both a loop over data sets. "Calls" draws each data set's observations with one
call where the model allows it (for a time series only the noise can be); "steps" is the simulator
as it is usually written down, one observation or time step after another.
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


Loop = Callable[[np.ndarray, int, Rng], object]
RIVALS: dict[str, tuple[int, Loop, Loop]] = {
    "normal_gamma": (300, normal_calls, normal_steps),
    "normal_inverse_wishart": (300, wishart_calls, wishart_steps),
    "g_and_k": (300, g_and_k_calls, g_and_k_steps),
    "ar1": (300, ar1_calls, ar1_steps),
    "stochastic_volatility": (700, volatility_calls, volatility_steps),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--loops", type=int, default=64, help="data sets that the NumPy loops make")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), µs per data set")
    for name, (n, calls, steps) in RIVALS.items():
        problem = ds.problems.get(name)
        theta = problem.sample_prior(BATCH, seed=0, device="cpu")
        rows, rng = theta.double().numpy()[: options.loops], np.random.default_rng(0)
        times: tuple[list[float], ...] = ([], [], [])
        problem.simulate(theta, seed=0, n_obs=n)  # warm up
        for repeat in range(options.repeats):  # in turns: a shared machine drifts
            start = time.perf_counter()
            problem.simulate(theta, seed=repeat, n_obs=n)
            times[0].append((time.perf_counter() - start) / BATCH)
            for kept, loop in zip(times[1:], (calls, steps), strict=True):
                start = time.perf_counter()
                for row in rows:
                    loop(row, n, rng)
                kept.append((time.perf_counter() - start) / len(rows))
        ours, by_call, by_step = (1e6 * statistics.median(t) for t in times)
        print(
            f"{name:24} N = {n}: torch {ours:7.1f}; NumPy calls {by_call:8.1f} "
            f"({by_call / ours:5.1f} times), steps {by_step:8.1f} ({by_step / ours:5.1f} times)"
        )


if __name__ == "__main__":
    main()
