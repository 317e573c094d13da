"""Immediate checks of page 05's exercises (calibration); pages call them through `checks`."""

from __future__ import annotations

from typing import Any

import torch

from diffsbi_edu.course.verdicts import Verdict, function, number

__all__ = ["coverage_level", "false_alarms", "sbc_ranks", "share_learnt"]


def sbc_ranks(answer: Any) -> Verdict:
    """Page 05: a function (theta, samples) → ranks of truths (B, D) among draws (n, B, D)."""
    theta = torch.tensor([[0.5, -0.3], [2.0, 0.1], [-1.0, 0.7]])
    samples = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
    return function(
        answer,
        lambda theta, samples: (samples < theta).sum(0),
        (theta, samples),
        hints={
            "these count the draws above the truth": lambda t, s: (s > t).sum(0),
            "these are shares; a rank is a number of draws": lambda t, s: (s < t).double().mean(0),
            "ranks start at 0, where no draw is below the truth": lambda t, s: 1 + (s < t).sum(0),
        },
    )


def coverage_level(answer: Any) -> Verdict:
    """Page 05: a function (theta, samples, reference) → TARP's coverage level of one truth."""
    theta, reference = torch.tensor([0.4, 0.2]), torch.tensor([-1.0, 0.5])
    samples = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))

    def share(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return (near.norm(dim=-1) < far.norm(dim=-1)).float().mean()

    return function(
        answer,
        lambda t, s, r: share(s - r, t - r),
        (theta, samples, reference),
        hints={
            "this is the share outside the ball": lambda t, s, r: share(t - r, s - r),
            "a level is a share, not a number of draws": lambda t, s, r: 40 * share(s - r, t - r),
            "the ball is centred on the reference": lambda t, s, r: share(s - t, t - r),
            "coordinate by coordinate this is no ball; take the norm": lambda t, s, r: (
                ((s - r).abs() < (t - r).abs()).float().mean()
            ),
        },
    )


def share_learnt(answer: Any) -> Verdict:
    """Page 05: a function (samples, prior_sd) → contraction of each coordinate, (D,)."""
    noise = torch.randn(400, 2, generator=torch.Generator().manual_seed(2))
    return function(
        answer,
        lambda s, sd: 1 - s.var(0) / sd**2,
        (torch.tensor([0.3, 1.0]) * noise + 1, torch.tensor([1.0, 2.0])),
        tolerance=0.01,
        hints={
            "contraction compares variances, this compares sds": lambda s, sd: 1 - s.std(0) / sd,
            "this is the share that is left; 1 minus it was learnt": lambda s, sd: s.var(0) / sd**2,
            "square the prior's sd": lambda s, sd: 1 - s.var(0) / sd,
        },
    )


def false_alarms(answer: Any) -> Verdict:
    """Page 05: the chance that at least one of 20 independent tests at 5 % gives a false alarm."""
    return number(
        answer,
        1 - 0.95**20,
        tolerance=0.01,
        hints={
            "this is how many alarms to expect, not the chance of any": 1.0,
            "this is the chance of none": 0.95**20,
            "this is the chance for one test": 0.05,
        },
    )
