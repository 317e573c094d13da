"""FractionalBrownianMotion: a rough path with a memory, and a faint rhythm below it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Gamma, PowerTransform, TransformedDistribution, Uniform

from diffsbi_edu.errors import SimulationError
from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.product import Product


class FractionalBrownianMotion(Problem):
    """theta = (hurst, tau, amplitude, phase, period): fractional Brownian motion over a sine wave.

    One number, Hurst's exponent, takes a path from noise that shivers about a level (hurst → 0)
    through Brownian motion (1/2) to an all but straight line (→ 1), and it shows at every scale, so
    that even a short series gives it away. The rhythm is another matter: it is several times
    smaller than the path's own wandering, and is found where the path is smooth, while on a rough
    one its posterior is the prior, with islands at periods that happen to fit. No step is like the
    last one, for the whole past counts: a simulator that goes step by step would take N² work, and
    a Fourier transform does it at once.

    B is Gaussian with B(0) = 0 and Var(B(t) − B(s)) = tau² |t − s|^(2 hurst): tau, in the units of
    x, is the sd at time 1. The data are x_i = B(t_i) + amplitude sin(2π t_i / period + phase) at
    t_i = i/N, i = 1 … N. **Time 0 is left out**: B is known there, and x would show the sine wave
    without noise. Prior: hurst ~ U(0, 1), tau² ~ Gamma(20, 1), amplitude ~ Gamma(3, scale 0.2),
    phase ~ U(0, 2π), period ~ U(0.1, 1).

    The phase is an angle, 0 and 2π are the same: a posterior about 0 has two halves, one at either
    end, and its mean and sd say little. Look at sin(phase) and cos(phase) instead.

    Args:
        n_obs: number of time steps N, or a range (low, high).

    Raises:
        ValueError: `n_obs` is impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; Mandelbrot & Van Ness (1968),
    SIAM Review 10, 422–437.

    Example:
        >>> problem = FractionalBrownianMotion(n_obs=200)
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.log_likelihood(theta, x[0]).shape
        (torch.Size([3, 200, 1]), torch.Size([3]))
    """

    data_kind = "sequence"
    theta_names = ("hurst", "tau", "amplitude", "phase", "period")
    x_names = ("x",)

    def __init__(self, n_obs: int | tuple[int, int] = (100, 1000)) -> None:
        self._config = {"n_obs": n_obs}
        tau = TransformedDistribution(Gamma(20.0, 1.0), PowerTransform(torch.tensor(0.5)))
        turn = Uniform(0.0, 2 * math.pi)
        pieces = [Uniform(0.0, 1.0), tau, Gamma(3.0, 5.0), turn, Uniform(0.1, 1.0)]
        super().__init__(
            Product(pieces), self._simulator, n_obs=n_obs, name="fractional_brownian_motion"
        )

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        hurst, tau = theta[:, 0], theta[:, 1]
        steps = fractional_noise(hurst, n_obs)
        path = steps.cumsum(1) * (tau * n_obs**-hurst)[:, None]
        return (path + self.rhythm(theta, n_obs))[..., None]

    @staticmethod
    def rhythm(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        """The sine wave (..., N) at times 1/N … 1, for theta (..., 5)."""
        amplitude, phase, period = theta[..., 2:, None].unbind(-2)
        t = torch.arange(1, n_obs + 1, device=theta.device, dtype=theta.dtype) / n_obs
        return amplitude * torch.sin(2 * math.pi * t / period + phase)

    def log_likelihood(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x | theta) of one data set x (N, 1), at theta (..., 5): shape (...), in float64.

        Without the sine wave, the steps from one time to the next (the first from B(0) = 0) are a
        stationary Gaussian series. Durbin and Levinson's recursion foretells each from all before
        it, in N² operations where a matrix's Cholesky factor takes N³.
        """
        series = one_data_set(x, features=1)[:, 0].double()
        n, theta = len(series), theta.double().cpu()
        path = series - self.rhythm(theta, n)
        steps = torch.diff(path, prepend=torch.zeros_like(path[..., :1]))
        hurst, log_unit = theta[..., 0], theta[..., 1].log() - theta[..., 0] * math.log(n)
        noise = steps * (-log_unit).exp()[..., None]
        return _stationary_log_density(noise, covariances(hurst, n)) - n * log_unit

    def config(self) -> dict[str, Any]:
        return dict(self._config)


def covariances(hurst: torch.Tensor, n: int) -> torch.Tensor:
    """Of fractional noise, the steps of length 1 of B with tau = 1: at lags 0 … n − 1, (..., n).

    gamma(k) = (|k + 1|^2H − 2 |k|^2H + |k − 1|^2H) / 2 (Mandelbrot & Van Ness 1968), in float64:
    three large numbers leave a small one.

    Example:
        >>> (100 * covariances(torch.tensor(0.75), 3)).round().tolist()
        [100.0, 41.0, 27.0]
    """
    k = torch.arange(n + 1, device=hurst.device, dtype=torch.float64)
    powers = (2 * hurst.double()[..., None] * k.log()).exp_()  # five times as fast as k ** 2H
    powers[..., 0] = 0.0  # for H = 0 as well, where 0^0 is not 1 but the limit of 0^2H
    later = torch.diff(powers)
    first = torch.ones_like(later[..., :1])  # |0 − 1|^2H
    return torch.cat([first, (later[..., 1:] - later[..., :-1]) / 2], -1)


def circulant_spectrum(hurst: torch.Tensor, n: int) -> torch.Tensor:
    """Eigenvalues (B, n + 1) of the circle of 2n steps that n steps of fractional noise lie on.

    Bend the covariances at lags 0 … n back to lag 1 and they are those of a stationary series on a
    circle, whose eigenvectors are sines and cosines. The eigenvalues must not be negative; for
    fractional noise they never are (Craigmile 2003, J. Time Series Analysis 24, 505–511, for
    H < 1/2; Dietrich & Newsam 1997, SIAM J. Sci. Computing 18, 1088–1107, for H ≥ 1/2).

    Raises:
        SimulationError: an eigenvalue is negative by more than rounding, as for H outside of [0, 1]
            or not a number.
    """
    half = covariances(hurst, n + 1)
    eigenvalues = torch.fft.hfft(half, 2 * n)[:, : n + 1]
    worst = (eigenvalues.amin(1) / eigenvalues.amax(1)).min()
    if not worst > -1e-10:
        raise SimulationError(
            f"the circulant embedding has a negative eigenvalue ({float(worst):.1e} of the largest)"
            f"; hurst must lie between 0 and 1, got {float(hurst.min())} to {float(hurst.max())}."
        )
    return eigenvalues.clamp_min(0.0)


def fractional_noise(hurst: torch.Tensor, n: int) -> torch.Tensor:
    """Exact draws (B, n) of stationary fractional noise with variance 1, for hurst (B,).

    Each sine and cosine of the circle gets a normal number times the root of its eigenvalue, and a
    Fourier transform adds them up (Davies & Harte 1987, Biometrika 74, 95–101): n log n operations.

    Raises:
        SimulationError: see `circulant_spectrum`.
    """
    device, dtype = hurst.device, hurst.dtype
    exact = hurst.cpu() if device.type == "mps" else hurst  # Apple's GPUs have no float64
    scale = (circulant_spectrum(exact, n) * n).sqrt().to(device, dtype)
    normals = torch.randn(len(hurst), n + 1, 2, device=device, dtype=dtype)
    # The first and the last have a cosine only, which takes the variance of both.
    normals[:, [0, -1], 0] *= math.sqrt(2)
    normals[:, [0, -1], 1] = 0
    waves = torch.view_as_complex(normals) * scale
    return torch.fft.irfft(waves, 2 * n)[:, :n]


def _stationary_log_density(series: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """log N(series; 0, Toeplitz(gamma)) for series (..., n), gamma (..., n): shape (...)."""
    n = series.shape[-1]
    variance = gamma[..., 0]
    weights = gamma[..., :0]  # of the last 1, 2, … values in the forecast of the next
    total = -0.5 * (series[..., 0] ** 2 / variance + variance.log())
    for t in range(1, n):
        past = (weights * gamma[..., 1:t].flip(-1)).sum(-1)
        partial = ((gamma[..., t] - past) / variance)[..., None]
        weights = torch.cat([weights - partial * weights.flip(-1), partial], -1)
        variance = variance * ((1 - partial) * (1 + partial))[..., 0]
        error = series[..., t] - (weights * series[..., :t].flip(-1)).sum(-1)
        total = total - 0.5 * (error**2 / variance + variance.log())
    return total - 0.5 * n * math.log(2 * math.pi)
