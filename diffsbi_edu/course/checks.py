"""Immediate checks of the pages' exercises: right, not yet (and why), or not answered yet.

A check never raises for a wrong answer, so a page runs to its end whatever is in it. Below the two
general checks stand those of the pages, by the page's number; an unanswered exercise is `None`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from diffsbi_edu.denoiser import IdealDenoiser

NOT_ANSWERED = "Not answered yet: put your answer in place of None and run this cell again."


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found: `correct` (None if there was no answer) and a message for the student."""

    correct: bool | None
    message: str

    def __bool__(self) -> bool:
        return self.correct is True

    def __repr__(self) -> str:
        return self.message


def number(
    answer: Any, expected: float, *, tolerance: float, hints: Mapping[str, float] | None = None
) -> Verdict:
    """Check a number.

    Args:
        answer: the student's; a float, an int, or a tensor of one element. None: not answered.
        expected: the right one.
        tolerance: largest absolute error that is still right.
        hints: what is wrong → the answer that this mistake leads to.

    Example:
        >>> number(2.0, 4.0, tolerance=0.1, hints={"square it": 2.0})
        Not yet: square it.
    """
    if answer is None:
        return Verdict(None, NOT_ANSWERED)
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError):
        return Verdict(False, f"Not yet: a single number is asked for, this is {_what(answer)}.")
    if not math.isfinite(value):
        return Verdict(False, f"Not yet: the answer is a finite number, this is {value}.")
    if abs(value - expected) <= tolerance:
        return Verdict(True, "Correct.")
    for hint, wrong in (hints or {}).items():
        if abs(value - wrong) <= tolerance:
            return Verdict(False, f"Not yet: {hint}.")
    side = "small" if value < expected else "large"
    return Verdict(False, f"Not yet: {value:.4g} is too {side}.")


def function(
    answer: Any,
    expected: Callable[..., torch.Tensor],
    inputs: tuple[Any, ...],
    *,
    tolerance: float = 1e-4,
    hints: Mapping[str, Callable[..., torch.Tensor]] | None = None,
) -> Verdict:
    """Check a function of tensors by calling it.

    Args:
        answer: the student's function. None, or one that returns None: not answered.
        expected: the right one.
        inputs: what both are called with.
        tolerance: largest absolute error that is still right.
        hints: what is wrong → the function that this mistake leads to.
    """
    if answer is None:
        return Verdict(None, NOT_ANSWERED)
    if not callable(answer):
        return Verdict(False, f"Not yet: a function is asked for, this is {_what(answer)}.")
    try:
        got = answer(*inputs)
    except Exception as error:  # whatever a student's code may raise is for the student to read
        return Verdict(False, f"Not yet: calling it raised {type(error).__name__}: {error}")
    if got is None:
        return Verdict(None, NOT_ANSWERED)
    right = expected(*inputs)
    if not isinstance(got, torch.Tensor):
        return Verdict(False, f"Not yet: it should return a tensor, not {_what(got)}.")
    if got.shape != right.shape:
        return Verdict(
            False, f"Not yet: it returns shape {tuple(got.shape)}, not {tuple(right.shape)}."
        )
    if _close(got, right, tolerance):
        return Verdict(True, "Correct.")
    for hint, wrong in (hints or {}).items():
        if _close(got, wrong(*inputs), tolerance):
            return Verdict(False, f"Not yet: {hint}.")
    off = float((got.double().cpu() - right.double().cpu()).abs().max())
    return Verdict(False, f"Not yet: the shape is right, but values are off by up to {off:.3g}.")


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


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    if a.shape != b.shape:
        return False
    return bool(((a.double().cpu() - b.double().cpu()).abs() <= tolerance).all())


def _what(answer: Any) -> str:
    if isinstance(answer, torch.Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    return f"a {type(answer).__name__}"
