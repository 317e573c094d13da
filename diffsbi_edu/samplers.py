"""Reverse-time solvers, from pure noise to samples, each a generator that yields every step.

All work in y = z_noisy / alpha = z + r·eps, where every schedule looks the same, and are given
``denoise(y, r)`` = E[z | y] and the noise levels r_0 > r_1 > … > r_n = 0. The probability-flow ODE
is dy/dr = (y − denoise(y, r)) / r (Karras et al. 2022, equation 1 with alpha = 1).

    *_, last = heun(denoise, ratios, generator, y)   # the samples are last.y
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from diffsbi_edu.errors import unknown_name

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SolverStep:
    """One step of a sampler: the state y (..., Dz) at noise level r, and the guess behind it."""

    y: torch.Tensor
    ratio: torch.Tensor
    z_hat: torch.Tensor


Solver = Callable[[Denoise, torch.Tensor, torch.Generator, torch.Tensor], Iterator[SolverStep]]


def euler(
    denoise: Denoise, ratios: torch.Tensor, generator: torch.Generator, y: torch.Tensor
) -> Iterator[SolverStep]:
    """Euler's method on the ODE, identical to DDIM: first order, one network call a step."""
    for now, then in zip(ratios[:-1], ratios[1:], strict=True):
        z_hat = denoise(y, now)
        y = z_hat + (then / now) * (y - z_hat)
        yield SolverStep(y, then, z_hat)


def heun(
    denoise: Denoise, ratios: torch.Tensor, generator: torch.Generator, y: torch.Tensor
) -> Iterator[SolverStep]:
    """Heun's method: second order, two network calls a step (Karras et al. 2022, algorithm 1)."""
    for now, then in zip(ratios[:-1], ratios[1:], strict=True):
        z_hat = denoise(y, now)
        slope = (y - z_hat) / now
        predicted = y + (then - now) * slope
        if then > 0:
            z_hat = denoise(predicted, then)
            slope = 0.5 * (slope + (predicted - z_hat) / then)
            predicted = y + (then - now) * slope
        y = predicted
        yield SolverStep(y, then, z_hat)


def dpm_solver_2m(
    denoise: Denoise, ratios: torch.Tensor, generator: torch.Generator, y: torch.Tensor
) -> Iterator[SolverStep]:
    """DPM-Solver++(2M): second order from one call a step, by remembering the last guess.

    Source: Lu et al. (2022), arXiv 2211.01095, algorithm 2, with step sizes in −ln r.
    """
    previous: tuple[torch.Tensor, torch.Tensor] | None = None
    for now, then in zip(ratios[:-1], ratios[1:], strict=True):
        z_hat = denoise(y, now)
        guess, h = z_hat, now.log() - then.log()
        if previous is not None and then > 0:
            last, last_h = previous
            guess = z_hat + (h / (2 * last_h)) * (z_hat - last)
        y = guess + (then / now) * (y - guess)
        previous = (z_hat, h)
        yield SolverStep(y, then, z_hat)


def dpm_solver_3m(
    denoise: Denoise, ratios: torch.Tensor, generator: torch.Generator, y: torch.Tensor
) -> Iterator[SolverStep]:
    """Third order from one call a step, by remembering the last two guesses.

    In lambda = −ln r the ODE is dy/dlambda = D − y, D the guess. A step solves it exactly for the
    parabola through the last three guesses (exponential Adams–Bashforth). At 28 even steps the sd
    of a normal posterior comes out 0.1 % too wide, and 0.8 % by `dpm_solver_2m`. Where draws choose
    between separate modes guesses bend sharply, and with few steps a parabola overshoots.

    Source: Zhang & Chen (2022), arXiv 2204.13902, for diffusion models in other variables; for the
    family of methods Hochbruck & Ostermann (2010), *Exponential integrators*, Acta Numerica 19.
    """
    past: list[tuple[torch.Tensor, torch.Tensor]] = []  # guesses, and steps from them; newest first
    for now, then in zip(ratios[:-1], ratios[1:], strict=True):
        z_hat = denoise(y, now)
        h = now.log() - then.log()
        slope = bend = torch.zeros_like(z_hat)  # of D at lambda, by divided differences
        if past:
            slope = (z_hat - past[0][0]) / past[0][1]
        if len(past) > 1:
            earlier = (past[0][0] - past[1][0]) / past[1][1]
            bend = 2 * (slope - earlier) / (past[0][1] + past[1][1])
            slope = slope + 0.5 * bend * past[0][1]
        if then > 0:
            # Weights: the integrals of exp(u − h) times 1, u and ½u² over a step, u from 0 to h.
            decay = then / now
            linear = h - (1 - decay)
            y = decay * y + (1 - decay) * z_hat + linear * slope + (0.5 * h**2 - linear) * bend
        else:
            y = z_hat
        past = [(z_hat, h), *past[:1]]
        yield SolverStep(y, then, z_hat)


def euler_maruyama(
    denoise: Denoise, ratios: torch.Tensor, generator: torch.Generator, y: torch.Tensor
) -> Iterator[SolverStep]:
    """Euler–Maruyama on the reverse SDE (Song et al. 2021, equation 6, with alpha = 1).

    The drift is twice the ODE's, and fresh noise of variance r_i² − r_{i+1}² is added back.
    """
    for now, then in zip(ratios[:-1], ratios[1:], strict=True):
        z_hat = denoise(y, now)
        if then > 0:
            drift = 2 * (then - now) / now * (y - z_hat)
            y = y + drift + (now**2 - then**2).sqrt() * _noise(y, generator)
        else:
            y = z_hat
        yield SolverStep(y, then, z_hat)


def edm_stochastic(
    denoise: Denoise,
    ratios: torch.Tensor,
    generator: torch.Generator,
    y: torch.Tensor,
    *,
    churn: float = 20.0,
    churn_range: tuple[float, float] = (0.01, 10.0),
) -> Iterator[SolverStep]:
    """Heun with a little noise added back before each step (Karras et al. 2022, algorithm 2).

    Args:
        churn: S_churn; total amount of noise re-added. 0 is `heun`.
        churn_range: noise levels between which it is added.
    """
    gamma = min(churn / (len(ratios) - 1), math.sqrt(2) - 1)
    for now, then in zip(ratios[:-1], ratios[1:], strict=True):
        if churn_range[0] <= now <= churn_range[1]:
            raised = now * (1 + gamma)
            y = y + (raised**2 - now**2).sqrt() * _noise(y, generator)
            now = raised
        *_, step = heun(denoise, torch.stack([now, then]), generator, y)
        y = step.y
        yield step


SAMPLERS: dict[str, Solver] = {
    "dpm_solver_2m": dpm_solver_2m,
    "dpm_solver_3m": dpm_solver_3m,
    "heun": heun,
    "euler": euler,
    "euler_maruyama": euler_maruyama,
    "edm_stochastic": edm_stochastic,
}


def get_sampler(name: str) -> Solver:
    """A solver by name.

    Raises:
        ValueError: no such sampler; the message lists those there are.

    Example:
        >>> get_sampler("heun").__name__
        'heun'
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    return SAMPLERS[name]


def _noise(y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)


def reverse_process(
    denoise: Denoise,
    ratios: torch.Tensor,
    shape: tuple[int, ...],
    *,
    sampler: str = "dpm_solver_2m",
    generator: torch.Generator,
) -> Iterator[SolverStep]:
    """Run a sampler from noise of the given shape (..., Dz); yields the start, then every step.

    The start is y ~ N(denoise(0, r_0), r_0²), not N(0, r_0²): at the top noise level the guess is
    the mean of z, and leaving it out would shift every sample by mean/r_0 of its spread, 5 % of
    an sd at r_0 = 20.
    """
    solver = get_sampler(sampler)
    noise = torch.randn(shape, generator=generator, device=generator.device)
    mean = denoise(torch.zeros_like(noise), ratios[0])
    y = mean + ratios[0] * noise
    yield SolverStep(y, ratios[0], mean)
    yield from solver(denoise, ratios, generator, y)
