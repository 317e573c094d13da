"""What a check says: right, not yet (and why), or not answered yet; for numbers and functions.

A check never raises for a wrong answer, so a page runs to its end whatever is in it. In a problem
set, where points are lost by raising, `must` turns a verdict into an `AssertionError`.
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
    return tensor(
        got,
        expected(*inputs),
        tolerance=tolerance,
        hints={hint: wrong(*inputs) for hint, wrong in (hints or {}).items()},
    )


def tensor(
    answer: Any,
    expected: torch.Tensor,
    *,
    tolerance: float = 1e-4,
    hints: Mapping[str, torch.Tensor] | None = None,
) -> Verdict:
    """Check a tensor: its shape, then its values.

    Args:
        answer: the student's. None: not answered.
        expected: the right one.
        tolerance: largest absolute error that is still right.
        hints: what is wrong → the tensor that this mistake leads to.

    Example:
        >>> tensor(torch.ones(2), torch.zeros(2), hints={"start at 0": torch.ones(2)})
        Not yet: start at 0.
    """
    if answer is None:
        return Verdict(None, NOT_ANSWERED)
    if not isinstance(answer, torch.Tensor):
        return Verdict(False, f"Not yet: it should return a tensor, not {_what(answer)}.")
    for hint, wrong in (hints or {}).items():  # first: a mistake may show in the shape
        if _close(answer, wrong, tolerance) and not _close(answer, expected, tolerance):
            return Verdict(False, f"Not yet: {hint}.")
    if answer.shape != expected.shape:
        return Verdict(
            False, f"Not yet: it returns shape {tuple(answer.shape)}, not {tuple(expected.shape)}."
        )
    if _close(answer, expected, tolerance):
        return Verdict(True, "Correct.")
    if not bool(answer.isfinite().all()):
        return Verdict(False, "Not yet: some values are infinite or not a number.")
    off = float((answer.double().cpu() - expected.double().cpu()).abs().max())
    return Verdict(False, f"Not yet: the shape is right, but values are off by up to {off:.3g}.")


def must(what: str, verdict: Verdict) -> None:
    """Raise unless the verdict is "correct"; for the checks of a problem set.

    Args:
        what: what should hold, in words; the message begins with it.
        verdict: from `number`, `tensor` or `function`.

    Raises:
        AssertionError: with `what` and the verdict's message.

    Example:
        >>> must("Half of 4", number(2.0, 2.0, tolerance=0.1))
        >>> must("Half of 4", number(8.0, 2.0, tolerance=0.1, hints={"halve, not double": 8.0}))
        Traceback (most recent call last):
        AssertionError: Half of 4. Not yet: halve, not double.
    """
    if not verdict.correct:
        raise AssertionError(f"{what.rstrip('.')}. {verdict.message}")


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    if a.shape != b.shape:
        return False
    return bool(((a.double().cpu() - b.double().cpu()).abs() <= tolerance).all())


def _what(answer: Any) -> str:
    if isinstance(answer, torch.Tensor):
        return f"a tensor of shape {tuple(answer.shape)}"
    return f"a {type(answer).__name__}"
