"""What a check says: right, not yet (and why), or not answered yet; for numbers and functions.

A check never raises for a wrong answer, so a page runs to its end whatever is in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

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


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    if a.shape != b.shape:
        return False
    return bool(((a.double().cpu() - b.double().cpu()).abs() <= tolerance).all())


def _what(answer: Any) -> str:
    if isinstance(answer, torch.Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    return f"a {type(answer).__name__}"
