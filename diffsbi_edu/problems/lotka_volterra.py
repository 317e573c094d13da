"""LotkaVolterra: predators and prey, an ordinary differential equation seen through noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.distributions import Gamma, Uniform

from diffsbi_edu.problems.base import Problem, one_data_set
from diffsbi_edu.problems.product import Product
from diffsbi_edu.runtime import nothing_random

START = (20.0, 5.0)  # prey and predators at time 0
END = 30.0  # the last time
LONGEST_STEP = 0.0755  # of the solver; at half of it, its error is 16 times as small


class LotkaVolterra(Problem):
    """theta = (alpha, beta, gamma, delta, sd prey, sd predators, rho): two animal counts over time.

    Prey breed and are eaten, predators starve and eat: two lines of mechanism make cycles that no
    single parameter explains. The dynamics have no noise at all, only the counting has, so that the
    four rates are known to a percent from a few hundred counts, while the correlation of the two
    counting errors is hardly learnt. A simulator of a mechanism is what simulation-based inference
    is made for, though here, for once, the likelihood can be had: by solving the equation.

    prey' = alpha prey − beta prey pred and pred' = −gamma pred + delta prey pred, from (20, 5) at
    time 0. The data are both counts at N even times from 0 to 30 (the first is the start itself),
    plus normal errors with sds r1 and r2 and covariance rho r1 r2. Prior: alpha ~ U(0.5, 1),
    beta ~ U(0.01, 0.1), gamma ~ U(0.01, 0.5), delta ~ U(0.005, 0.05), r1 and r2 ~ Gamma(5, scale
    1/5), rho ~ U(−0.1, 0.1). Rates are per unit of time, counts and sds in animals.

    Args:
        n_obs: number of times N, or a range (low, high).

    Raises:
        ValueError: `n_obs` is impossible.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; Lotka (1925), *Elements of
    Physical Biology*.

    Example:
        >>> problem = LotkaVolterra(n_obs=200)
        >>> theta, x = problem.sample(3, seed=0)
        >>> x.shape, problem.log_likelihood(theta, x[0]).shape
        (torch.Size([3, 200, 2]), torch.Size([3]))
    """

    data_kind = "sequence"
    theta_names = ("alpha", "beta", "gamma", "delta", "sd prey", "sd predators", "rho")
    x_names = ("prey", "predators")

    def __init__(self, n_obs: int | tuple[int, int] = (200, 500)) -> None:
        self._config = {"n_obs": n_obs}
        rates = Uniform(0.5, 1.0), Uniform(0.01, 0.1), Uniform(0.01, 0.5), Uniform(0.005, 0.05)
        prior = Product([*rates, Gamma(5.0, 5.0), Gamma(5.0, 5.0), Uniform(-0.1, 0.1)])
        super().__init__(prior, self._simulator, n_obs=n_obs, name="lotka_volterra")

    def _simulator(self, theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        # Nothing is random here: without `randomness_from` looking at each of many thousand small
        # operations they take a third of the time.
        with nothing_random():
            counts = populations(theta[:, :4], n_obs).to(theta.dtype)
        first, second = torch.randn(2, len(theta), n_obs, device=theta.device, dtype=theta.dtype)
        r1, r2, rho = theta[:, 4:].T[:, :, None]
        second = rho * first + ((1 - rho) * (1 + rho)).sqrt() * second
        return counts + torch.stack([r1 * first, r2 * second], -1)

    def log_likelihood(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """log p(x | theta) of one data set x (N, 2), at theta (..., 7): shape (...), in float64.

        Exact but for the solver's error, see `populations`.
        """
        counts = one_data_set(x, features=2).double()
        rows = theta.double().cpu().reshape(-1, 7)
        r1, r2, rho = rows[:, 4:].T
        error = (counts - populations(rows[:, :4], len(counts))) / rows[:, None, 4:6]
        squares = error.square().sum((-2, -1)) - 2 * rho * error.prod(-1).sum(-1)
        left = (1 - rho) * (1 + rho)
        log_each = (r1 * r2).log() + 0.5 * left.log() + math.log(2 * math.pi)
        return (-0.5 * squares / left - len(counts) * log_each).reshape(theta.shape[:-1])

    def config(self) -> dict[str, Any]:
        return dict(self._config)


def populations(rates: torch.Tensor, n_obs: int) -> torch.Tensor:
    """Prey and predators (B, N, 2) at N even times from 0 to 30, for rates (B, 4), in float64.

    Solved for the logarithms, u = ln prey and v = ln pred, for which the equation is short,
    u' = alpha − beta e^v and v' = −gamma + delta e^u, and numbers cannot become negative: where
    prey all but die out they sink to e^−100 and stay finite. Runge and Kutta's method of order 4
    takes equal steps of at most 0.0755; over the prior its error stays below 0.015 animals, and for
    nine in ten parameters below 0.0005, where counting errors are about 1. (Float32, the only
    choice on Apple's GPUs, rounds at up to 0.1.)

    Args:
        rates: alpha, beta, gamma, delta.
        n_obs: N; of a single time, the start.

    Example:
        >>> populations(torch.tensor([[0.8, 0.05, 0.3, 0.01]]), 4).round().tolist()
        [[[20.0, 5.0], [3.0, 15.0], [54.0, 36.0], [23.0, 5.0]]]
    """
    exact = torch.float32 if rates.device.type == "mps" else torch.float64
    alpha, beta, gamma, delta = rates.to(exact).T
    gap = END / max(n_obs - 1, 1)
    steps = math.ceil(gap / LONGEST_STEP)
    growth = torch.stack([alpha, -gamma]) * (gap / steps)
    effect = torch.stack([-beta, delta]) * (gap / steps)

    def change(logs: torch.Tensor) -> torch.Tensor:  # over one step, at the present speed
        return torch.addcmul(growth, effect, logs.flip(0).exp_())

    logs = torch.tensor(START, dtype=exact, device=rates.device).log()[:, None].expand_as(growth)
    path = [logs]
    for _ in range(n_obs - 1):
        for _ in range(steps):
            k1 = change(logs)
            k2 = change(logs.add(k1, alpha=0.5))
            k3 = change(logs.add(k2, alpha=0.5))
            k4 = change(logs + k3)
            logs = logs.add(k2.add_(k3).mul_(2).add_(k1).add_(k4), alpha=1 / 6)
        path.append(logs)
    return torch.stack(path).exp_().permute(2, 0, 1)
