"""Immediate checks of the pages' exercises, by the page's number; see `verdicts`.

An unanswered exercise is `None`.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from diffsbi_edu.course.checks_bound import *  # noqa: F403
from diffsbi_edu.course.checks_calibration import *  # noqa: F403
from diffsbi_edu.course.checks_encoders import *  # noqa: F403
from diffsbi_edu.course.checks_tour import *  # noqa: F403
from diffsbi_edu.course.verdicts import Verdict, function, number
from diffsbi_edu.denoiser import IdealDenoiser

# --- 00_start_here ------------------------------------------------------------------------------


def probability(answer: Any, exact: torch.Tensor) -> Verdict:
    """Page 00: P(theta 1 > 0.2 | x_obs), to 0.05, from exact posterior draws (n, D)."""
    right = float((exact[:, 0] > 0.2).double().mean())
    return number(
        answer,
        right,
        tolerance=0.05,
        hints={
            "this is the probability of the opposite, theta 1 < 0.2": 1 - right,
            "this is the prior's probability; count among the posterior draws": 0.4,
            "this is P(theta 2 > 0.2); theta 1 is column 0": float(
                (exact[:, 1] > 0.2).double().mean()
            ),
        },
    )


# --- 01_toy_gaussian ----------------------------------------------------------------------------


def noise_guess(answer: Any) -> Verdict:
    """Page 01: a function (denoise, y, r) → E[eps | y], the best guess of the noise."""
    denoise = IdealDenoiser.gaussian(
        torch.tensor([0.5, -1.0]), torch.tensor([[0.4, 0.2], [0.2, 0.3]])
    )
    y = torch.tensor([[0.0, 0.0], [1.0, -2.0], [3.0, 0.5]])
    return function(
        answer,
        lambda D, y, r: (y - D(y, r)) / r,
        (denoise, y, 0.5),
        hints={
            "the sign is wrong; solve y = z + r·eps for eps": lambda D, y, r: (D(y, r) - y) / r,
            "this is r·eps, the noise with its size; one division is missing": lambda D, y, r: (
                y - D(y, r)
            ),
            "this is the score; a factor of −r is missing": lambda D, y, r: (D(y, r) - y) / r**2,
            "this is minus the score; divide by r, not by r²": lambda D, y, r: (y - D(y, r)) / r**2,
            "this is the guess of z; solve y = z + r·eps for eps": lambda D, y, r: D(y, r),
        },
    )


def denoising_error(answer: Any) -> Verdict:
    """Page 01: the ideal denoiser's mean squared error for z ~ N(0, 0.25), r = 0.5."""
    return number(
        answer,
        0.125,
        tolerance=1e-3,
        hints={
            "this is z's variance, the error of someone who may not look at y": 0.25,
            "this is the variance of y = z + r·eps": 0.5,
            "this is the sd; the mean squared error is a variance": math.sqrt(0.125),
        },
    )


# --- 02_noise_schedules -------------------------------------------------------------------------


def heun_calls(answer: Any) -> Verdict:
    """Page 02: network calls that Heun's method makes in 10 steps that end at r = 0."""
    return number(
        answer,
        19,
        tolerance=0.1,
        hints={
            "a step looks twice: at its beginning and at its end": 10,
            "nearly: can the last step look at its end, r = 0? dy/dr divides by r": 20,
        },
    )


def variance_preserving_scales(answer: Any) -> Verdict:
    """Page 02: a function r → (alpha, sigma) stacked in the last axis, with alpha² + sigma² = 1."""
    r = torch.tensor([0.01, 0.5, 1.0, 20.0])
    return function(
        answer,
        lambda r: torch.stack([1 / (1 + r**2).sqrt(), r / (1 + r**2).sqrt()], -1),
        (r,),
        hints={
            "the two are swapped; alpha goes to 1 as r goes to 0": lambda r: torch.stack(
                [r / (1 + r**2).sqrt(), 1 / (1 + r**2).sqrt()], -1
            ),
            "alpha + sigma = 1 here (that is rectified flow); the squares should add to 1": (
                lambda r: torch.stack([1 / (1 + r), r / (1 + r)], -1)
            ),
            "this is alpha = 1, the variance-exploding choice": lambda r: torch.stack(
                [torch.ones_like(r), r], -1
            ),
            "these are the squares; take roots": lambda r: torch.stack(
                [1 / (1 + r**2), r**2 / (1 + r**2)], -1
            ),
        },
    )


# --- 03_witchs_hat ------------------------------------------------------------------------------


def brim_share(answer: Any) -> Verdict:
    """Page 03: a function (brim, d) → posterior probability of the brim, for x well inside."""
    brim = torch.tensor([0.05, 0.5, 0.9])
    return function(
        answer,
        lambda b, d: b * 0.8**d / (b * 0.8**d + 1 - b),
        (brim, 5),
        hints={
            "this is the prior probability; how dense is each part at this x?": lambda b, d: b,
            "this is the spike's share": lambda b, d: (1 - b) / (b * 0.8**d + 1 - b),
            "not normalised yet: divide by the sum of both parts": lambda b, d: b * 0.8**d,
            "the box has sides of 0.8 in all d dimensions, not in one": lambda b, d: (
                b * 0.8 / (b * 0.8 + 1 - b)
            ),
            "the brim's mass is its height b times the box's volume, not divided by it": (
                lambda b, d: (b / 0.8**d) / (b / 0.8**d + 1 - b)
            ),
        },
    )


def affine_log_density(answer: Any) -> Verdict:
    """Page 03: a function (z, m, s) → log density at z of z = m + s·u, u ~ N(0, 1)."""
    z, m = torch.tensor([-1.0, 0.0, 2.5]), torch.tensor(0.5)
    s = torch.tensor(0.2)

    def normal(u: torch.Tensor) -> torch.Tensor:
        return -0.5 * u**2 - 0.5 * math.log(2 * math.pi)

    return function(
        answer,
        lambda z, m, s: normal((z - m) / s) - s.log(),
        (z, m, s),
        hints={
            "the Jacobian is missing: how much does u change when z does?": lambda z, m, s: normal(
                (z - m) / s
            ),
            "the Jacobian has the wrong sign: squeezing makes a density higher": lambda z, m, s: (
                normal((z - m) / s) + s.log()
            ),
            "−½ log 2π is missing": lambda z, m, s: -0.5 * ((z - m) / s) ** 2 - s.log(),
            "this runs the map the wrong way: u is (z − m)/s": lambda z, m, s: (
                normal(m + s * z) - s.log()
            ),
        },
    )


def couplings_needed(answer: Any) -> Verdict:
    """Page 03: affine couplings, each scaling half by at most e^0.1, to shrink all 16-fold."""
    return number(
        answer,
        56,
        tolerance=1.1,
        hints={
            "each coupling scales one half of the coordinates only": 28,
            "factors multiply, so their logarithms add: e^0.1 each": 160,
            "factors multiply, and each coupling scales one half only": 320,
            "one coordinate needs 28; there are two halves, whatever the dimension": 140,
        },
    )


# --- 04_multimodal ------------------------------------------------------------------------------


def beta_marginal(answer: Any) -> Verdict:
    """Page 04: the two parameters of a Dirichlet posterior's marginal, as a tensor (2,)."""
    alpha, counts = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 0.0, 6.0])
    return function(
        answer,
        lambda a, n: torch.stack([a[1] + n[1], (a + n).sum() - a[1] - n[1]]),
        (alpha, counts),
        hints={
            "the prior's alpha counts like things already seen": lambda a, n: torch.stack(
                [n[1], n.sum() - n[1]]
            ),
            "this is the prior's marginal; add the counts": lambda a, n: torch.stack(
                [a[1], a.sum() - a[1]]
            ),
            "the second parameter is that of all the others, without this one": lambda a, n: (
                torch.stack([a[1] + n[1], (a + n).sum()])
            ),
            "this is the first share; Python counts from 0": lambda a, n: torch.stack(
                [a[0] + n[0], (a + n).sum() - a[0] - n[0]]
            ),
        },
    )


def share_between(answer: Any) -> Verdict:
    """Page 04: a function (log_density, level) → share of draws below the level, as a tensor."""
    log_density = torch.tensor([-3.0, -1.0, -0.5, -2.0, -4.0])
    level = torch.tensor(0.2)
    return function(
        answer,
        lambda log_density, level: (log_density.exp() < level).float().mean(),
        (log_density, level),
        hints={
            "this is the share inside; we ask for the draws outside": lambda log_density, level: (
                (log_density.exp() >= level).float().mean()
            ),
            "log densities are compared with a density: take exp": lambda log_density, level: (
                (log_density < level).float().mean()
            ),
            "this is a number of draws; a share is a mean": lambda log_density, level: (
                (log_density.exp() < level).float().sum()
            ),
        },
    )
