"""Immediate checks of page 07's exercises (the KL bound); pages call them through `checks`."""

from __future__ import annotations

import math
from typing import Any

import torch

from diffsbi_edu.course.verdicts import Verdict, function, number

__all__ = ["information_lost", "loss_floor", "score_integrand"]


def score_integrand(answer: Any) -> Verdict:
    """Page 07: a function (score_p, score_q, r) → the bound's integrand over ln r, (B,)."""
    generator = torch.Generator().manual_seed(0)
    score_p, score_q = torch.randn(2, 4, 3, generator=generator)
    r = torch.tensor([[0.1], [0.5], [2.0], [7.0]])

    def squared(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return (p - q).square().sum(-1)

    return function(
        answer,
        lambda p, q, r: r[:, 0] ** 2 * squared(p, q),
        (score_p, score_q, r),
        hints={
            "this is the integrand over r; dr is r d(ln r)": lambda p, q, r: (
                r[:, 0] * squared(p, q)
            ),
            "this is the weight of denoisers; a score is (D − y)/r²": lambda p, q, r: (
                squared(p, q) / r[:, 0] ** 2
            ),
            "the weight is missing": lambda p, q, r: squared(p, q),
            "add up over the coordinates, do not average": lambda p, q, r: (
                r[:, 0] ** 2 * squared(p, q) / 3
            ),
            "square the norm": lambda p, q, r: r[:, 0] ** 2 * squared(p, q).sqrt(),
        },
    )


def information_lost(answer: Any) -> Verdict:
    """Page 07: nats lost by s = x₁ when theta ~ N(0, 1) and x₁, x₂ ~ N(theta, 1)."""
    return number(
        answer,
        0.5 * math.log(3 / 2),
        tolerance=0.005,
        hints={
            "the one half before the log-determinant is missing": math.log(3 / 2),
            "this is in bits; nats use the natural logarithm": 0.5 * math.log2(3 / 2),
            "this is all that x says about theta; subtract what s still says": 0.5 * math.log(3),
            "this is what s says about theta; how much more does x say?": 0.5 * math.log(2),
            "a sign: losing information costs a positive number of nats": -0.5 * math.log(3 / 2),
        },
    )


def loss_floor(answer: Any) -> Verdict:
    """Page 07: E‖z − D_p‖² / r² as r → 0, for Dz = 4."""
    return number(
        answer,
        4.0,
        tolerance=0.05,
        hints={
            "even the exact denoiser cannot know eps: z is y − r·eps": 0.0,
            "this is for one coordinate; there are four": 1.0,
            "a squared norm, not a norm": 2.0,
        },
    )
