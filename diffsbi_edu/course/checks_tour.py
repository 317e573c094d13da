"""Immediate checks of page 08's exercises (the benchmark); pages call them through `checks`."""

from __future__ import annotations

from math import comb
from typing import Any

import torch

from diffsbi_edu.course.verdicts import Verdict, function, number

__all__ = ["lucky_wins", "simulations_for_ks", "share_of_wins"]


def share_of_wins(answer: Any) -> Verdict:
    """Page 08: a function (ours (P, S), rivals (P, M, S)) → share of problems won, ()."""
    generator = torch.Generator().manual_seed(3)
    ours = 0.05 + 0.02 * torch.rand(40, 3, generator=generator)
    rivals = 0.05 + 0.03 * torch.rand(40, 2, 3, generator=generator)
    return function(
        answer,
        lambda ours, rivals: (ours.mean(1) <= rivals.mean(2).amin(1)).float().mean(),
        (ours, rivals),
        hints={
            "this beats the rivals' average; a user would take the best of them": (
                lambda ours, rivals: (ours.mean(1) <= rivals.mean((1, 2))).float().mean()
            ),
            "this picks the rivals' best seed, which nobody knows beforehand; average over seeds "
            "first": lambda ours, rivals: (ours.mean(1) <= rivals.amin((1, 2))).float().mean(),
            "this picks our best seed, which nobody knows beforehand; average over seeds first": (
                lambda ours, rivals: (ours.amin(1) <= rivals.mean(2).amin(1)).float().mean()
            ),
            "this counts wins seed by seed; average over seeds, then count problems": (
                lambda ours, rivals: (ours <= rivals.amin(1)).float().mean()
            ),
            "small is good: this counts the defeats": lambda ours, rivals: (
                (ours.mean(1) > rivals.mean(2).amin(1)).float().mean()
            ),
            "this is a number of problems; a share is asked for": lambda ours, rivals: (
                (ours.mean(1) <= rivals.mean(2).amin(1)).float().sum()
            ),
        },
    )


def lucky_wins(answer: Any) -> Verdict:
    """Page 08: P(at least 10 wins of 13) if each of two equals wins with probability 1/2."""
    tail = [comb(13, k) / 2**13 for k in range(10, 14)]
    return number(
        answer,
        sum(tail),
        tolerance=0.001,
        hints={
            "this is exactly ten wins; eleven, twelve and thirteen count as well": tail[0],
            "this is more than ten; ten count as well": sum(tail[1:]),
            "this is either of the two winning ten; ask for one of them": 2 * sum(tail),
            "this is the probability of the opposite": 1 - sum(tail),
            "this is the share of wins, not a probability": 10 / 13,
        },
    )


def simulations_for_ks(answer: Any) -> Verdict:
    """Page 08: simulations for which an exact posterior's KS distance is 0.01 on average."""
    return number(
        answer,
        (0.87 / 0.01) ** 2,
        tolerance=60,
        hints={
            "the distance falls with the root of n: square the ratio": 0.87 / 0.01,
            "the factor 0.87 is squared along with the rest": 0.87 / 0.01**2,
            "the factor 0.87 is missing": 1 / 0.01**2,
        },
    )
