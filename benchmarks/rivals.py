"""The benchmark's problems as NumPy simulates them, one data set at a time: rivals to time against.

Each has a prior, which draws one theta, and two simulators. "Calls" draws each data set's
observations with one call where the model allows it (for a time series only the noise can be;
fractional Brownian motion by the same Fourier transform as ours); "steps" is the simulator as it is
usually written down, one observation or time step after another. Predators and prey take the same
steps in all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator


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


def hat_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.random(5) if rng.random() < 0.05 else rng.normal(theta, 0.02)


def hat_steps(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    if rng.random() < 0.05:
        return [rng.random() for _ in theta]
    return [rng.normal(each, 0.02) for each in theta]


def cosines(theta: np.ndarray, n: int, rng: Rng) -> float:
    a, b = theta
    return rng.normal(math.cos(a - b) + math.cos(2 * a + b) + math.cos(3 * a - 4 * b), 1.0)


ALPHA = np.array([1.437, 2.848, 5.674, 2.269, 3.452])


def multinomial_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.multinomial(300, theta) / 300


def multinomial_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    counts, edges = np.zeros(5), theta.cumsum()
    for _ in range(300):
        counts[min(int(np.searchsorted(edges, rng.random())), 4)] += 1
    return counts / 300


NOISE = 0.25 * np.array([[1.0, -0.5], [-0.5, 1.0]])
NOISE_FACTOR = np.linalg.cholesky(NOISE)


def gaussian_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return theta + NOISE_FACTOR @ rng.normal(size=2)


def gaussian_steps(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.multivariate_normal(theta, NOISE)


def moons(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    angle, radius = rng.uniform(-math.pi / 2, math.pi / 2), rng.normal(0.1, 0.01)
    crescent = np.array([radius * math.cos(angle) + 0.25, radius * math.sin(angle)])
    a, b = theta
    return crescent + np.array([-abs(a + b), b - a]) / math.sqrt(2)


def mixture_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.normal(theta, 1.0 if rng.random() < 0.5 else 0.1)


def mixture_steps(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    sd = 1.0 if rng.random() < 0.5 else 0.1
    return [rng.normal(each, sd) for each in theta]


BLUR = 0.5 ** np.abs(np.subtract.outer(np.arange(10), np.arange(10)))


def linear_calls(theta: np.ndarray, n: int, rng: Rng) -> np.ndarray:
    return rng.normal(BLUR @ theta, 0.5)


def linear_steps(theta: np.ndarray, n: int, rng: Rng) -> list[float]:
    return [rng.normal(row @ theta, 0.5) for row in BLUR]


def of_normal(rng: Rng) -> np.ndarray:
    sd = 1 / math.sqrt(rng.gamma(4, 1 / 4))
    return np.array([rng.normal(0, sd), sd])


def of_wishart(rng: Rng) -> np.ndarray:
    bartlett = np.diag(np.sqrt(rng.chisquare([3, 4, 5, 6])))
    bartlett[np.tril_indices(4, -1)] = rng.normal(size=6)
    factor = np.linalg.inv(bartlett)
    return np.concatenate([factor @ rng.normal(size=4), factor[np.tril_indices(4)]])


def of_g_and_k(rng: Rng) -> np.ndarray:
    return np.array([rng.normal(), rng.gamma(5, 1 / 5), rng.normal(), rng.gamma(7, 1 / 7)])


def of_ar1(rng: Rng) -> np.ndarray:
    mean, sd = of_normal(rng)
    return np.array([mean, rng.uniform(-1, 1), sd])


def of_volatility(rng: Rng) -> np.ndarray:
    return np.array([rng.normal(-1, 0.5), rng.uniform(0.9, 0.999), rng.uniform(0.1, 0.3)])


def of_socks(rng: Rng) -> np.ndarray:
    success = 30 / 15**2  # mean 30, sd 15
    totals = rng.negative_binomial(30 * success / (1 - success), success, size=10)
    return totals + rng.uniform(-0.5, 0.5, size=10)


def of_laplace(rng: Rng) -> np.ndarray:
    a = 1 / math.sqrt(20)
    tau, shares = rng.gamma(100 * a, 2), rng.dirichlet(np.full(100, a))
    scales = tau * shares * rng.exponential(size=100)
    return np.concatenate([rng.normal(0, scales), [tau, 1 / math.sqrt(rng.gamma(100, 1 / 100))]])


def of_predators(rng: Rng) -> np.ndarray:
    rates = rng.uniform([0.5, 0.01, 0.01, 0.005], [1.0, 0.1, 0.5, 0.05])
    return np.concatenate([rates, rng.gamma(5, 1 / 5, size=2), [rng.uniform(-0.1, 0.1)]])


def of_switching(rng: Rng) -> np.ndarray:
    noise, step = rng.gamma(2, 2) ** -0.5, rng.gamma(4, 1) ** -0.5
    one, other = rng.normal(1, noise), rng.normal(-1, noise)
    stay = 0.99 * rng.beta(30, 2, size=2)
    return np.array([max(one, other), min(one, other), noise, step, *stay])


def of_fractional(rng: Rng) -> np.ndarray:
    return np.array(
        [
            rng.uniform(0, 1),
            math.sqrt(rng.gamma(20, 1)),
            rng.gamma(3, 0.2),
            rng.uniform(0, 2 * math.pi),
            rng.uniform(0.1, 1),
        ]
    )


def of_var(rng: Rng) -> np.ndarray:
    lag = np.arange(1, 4)[:, None, None]
    lags = rng.normal(0.45 * np.eye(5) / lag, 0.25 / lag)
    while (outside := np.abs(lags) > 1).any():
        lags[outside] = rng.normal(0.45 * np.eye(5) / lag, 0.25 / lag)[outside]
    companion = np.zeros((15, 15))
    companion[5:, :10] = np.eye(10)
    while True:
        companion[:5] = lags.transpose(1, 0, 2).reshape(5, 15)
        if np.abs(np.linalg.eigvals(companion)).max() < 1:
            break
        lags = 0.99 * lags
    return np.concatenate([lags.ravel(), rng.gamma(2, 6, size=5) ** -0.5])


Prior = Callable[[Rng], np.ndarray]
Loop = Callable[[np.ndarray, int, Rng], object]


@dataclass(frozen=True)
class Rival:
    """A problem in NumPy: theta = prior(rng), x = calls(theta, n, rng) or steps(theta, n, rng)."""

    n: int
    prior: Prior
    calls: Loop
    steps: Loop


PRIOR_FACTOR = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]]))

RIVALS = {
    "witchs_hat": Rival(1, lambda rng: rng.uniform(0.1, 0.9, size=5), hat_calls, hat_steps),
    "sum_of_cosines": Rival(1, lambda rng: rng.uniform(-math.pi, math.pi, 2), cosines, cosines),
    "socks": Rival(1, of_socks, socks_calls, socks_steps),
    "species_sampling": Rival(
        1, lambda rng: rng.dirichlet([2.0, 2.0, 2.0]), species_calls, species_steps
    ),
    "dirichlet_multinomial": Rival(
        1, lambda rng: rng.dirichlet(ALPHA), multinomial_calls, multinomial_steps
    ),
    "poisson_gamma": Rival(
        1, lambda rng: rng.gamma(2.0, 1.0, size=10), poisson_calls, poisson_steps
    ),
    "dirichlet_laplace": Rival(1, of_laplace, laplace_calls, laplace_steps),
    "g_and_k": Rival(300, of_g_and_k, g_and_k_calls, g_and_k_steps),
    "normal_gamma": Rival(300, of_normal, normal_calls, normal_steps),
    "normal_inverse_wishart": Rival(300, of_wishart, wishart_calls, wishart_steps),
    "lotka_volterra": Rival(350, of_predators, predators_calls, predators_steps),
    "markov_switching": Rival(350, of_switching, switching_calls, switching_steps),
    "stochastic_volatility": Rival(700, of_volatility, volatility_calls, volatility_steps),
    "fractional_brownian_motion": Rival(350, of_fractional, fractional_calls, fractional_steps),
    "minnesota_var": Rival(600, of_var, var_calls, var_steps),
    "gaussian_2d": Rival(
        1, lambda rng: PRIOR_FACTOR @ rng.normal(size=2), gaussian_calls, gaussian_steps
    ),
    "two_moons": Rival(1, lambda rng: rng.uniform(-1, 1, size=2), moons, moons),
    "gaussian_mixture_2d": Rival(
        1, lambda rng: rng.uniform(-10, 10, size=2), mixture_calls, mixture_steps
    ),
    "slcp": Rival(4, lambda rng: rng.uniform(-3, 3, size=5), slcp_calls, slcp_steps),
    "linear_gaussian": Rival(1, lambda rng: rng.normal(size=10), linear_calls, linear_steps),
    "ar1": Rival(300, of_ar1, ar1_calls, ar1_steps),
}
