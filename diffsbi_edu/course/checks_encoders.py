"""Immediate checks of page 06's exercises (summary networks); pages call them through `checks`."""

from __future__ import annotations

from typing import Any

import torch

from diffsbi_edu.course.verdicts import Verdict, function, number

__all__ = ["half_as_wide", "masked_mean", "naive_product", "uniform_statistic"]


def masked_mean(answer: Any) -> Verdict:
    """Page 06: a function (h, mask) → means over the real observations, (B, W)."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(3, 5, 2, generator=generator)
    mask = torch.arange(5) < torch.tensor([[2], [3], [4]])

    def total(h: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (h * mask[..., None]).sum(1)

    return function(
        answer,
        lambda h, mask: total(h, mask) / mask.sum(1, keepdim=True),
        (h, mask),
        hints={
            "this averages over the padding as well; phi of a padded 0 is not 0": lambda h, mask: (
                h.mean(1)
            ),
            "the sum is right, but it is divided by the padded N": lambda h, mask: (
                total(h, mask) / h.shape[1]
            ),
            "this is the sum; divide by the number of real observations": total,
            "this is the mean of the padding: True means real": lambda h, mask: (
                total(h, ~mask) / (~mask).sum(1, keepdim=True)
            ),
            "this divides by the real observations of the whole batch, not of each data set": (
                lambda h, mask: total(h, mask) / mask.sum()
            ),
            "padding is left out of the count but not of the sum": lambda h, mask: (
                h.sum(1) / mask.sum(1, keepdim=True)
            ),
        },
    )


def uniform_statistic(answer: Any) -> Verdict:
    """Page 06: a function x (B, N) → what suffices, beside N, of data uniform on (0, theta)."""
    x = 2 * torch.rand(4, 6, generator=torch.Generator().manual_seed(0))
    return function(
        answer,
        lambda x: x.amax(1),
        (x,),
        hints={
            "the mean does not suffice: theta cannot be below any observation": lambda x: x.mean(1),
            "twice the mean estimates theta, but an observation may lie above it": lambda x: (
                2 * x.mean(1)
            ),
            "theta is above the smallest, but above all the others, too": lambda x: x.amin(1),
            "theta's lower end is known to be 0: the range is less than what suffices": lambda x: (
                x.amax(1) - x.amin(1)
            ),
            "this is an estimate made from what suffices and N; leave it as it is": lambda x: (
                x.amax(1) * (x.shape[1] + 1) / x.shape[1]
            ),
        },
    )


def half_as_wide(answer: Any) -> Verdict:
    """Page 06: N that halves the sd of the mean at N = 9, where the prior is worth 1."""
    return number(
        answer,
        39,
        tolerance=0.4,
        hints={
            "twice the data make it narrower by √2 only": 18,
            "twice the data make it narrower by √2 only, prior included": 19,
            "the prior is worth one observation, before and after": 36,
            "this counts the prior's one observation among the data": 40,
        },
    )


def naive_product(answer: Any) -> Verdict:
    """Page 06: variance of the product of ten posteriors N(x_i / 2, 1/2), one an observation."""
    return number(
        answer,
        1 / 20,
        tolerance=0.002,
        hints={
            "this is the exact posterior's variance; the product counts the prior ten times": 1
            / 11,
            "this is the likelihood's alone: precision 10; each posterior has precision 2": 1 / 10,
            "this is the variance of one factor; precisions add up": 1 / 2,
            "this is the sd; the variance is asked for": 0.05**0.5,
            "this is the precision; the variance is one over it": 20.0,
        },
    )
