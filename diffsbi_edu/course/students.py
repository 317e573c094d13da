"""Who solves a problem set, and the random numbers that are theirs.

Every student works on numbers of their own, so an answer copied from a neighbour is an answer to
another question. The numbers come from a hash of course, student and exercise: nobody stores them,
and the hidden tests compute them again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TypeVar

import torch

T = TypeVar("T")

# Set where a submission is graded: who handed it in decides, not what is written in it. Read once,
# at import, before any code of a student runs.
_GRADED = os.environ.get("DIFFSBI_STUDENT"), os.environ.get("DIFFSBI_COURSE")


class Student:
    """A student of a course, as the source of that student's own random numbers.

    Where a submission is graded, the student is the one who handed it in, whatever `student` says.

    Args:
        student: the id under which the student hands in; surrounding blanks do not count.
        course: the course's name, which changes everybody's numbers from one year to the next.

    Raises:
        ValueError: an id that is no text, or empty.

    Example:
        >>> ada, bob = Student("ada", course="2027"), Student("bob", course="2027")
        >>> ada.seed("ex1") == Student(" ada ", course="2027").seed("ex1")
        True
        >>> ada.seed("ex1") in (bob.seed("ex1"), ada.seed("ex2"))
        False
        >>> bool(1 <= ada.uniform("ex1", 1.0, 2.0) <= 2)
        True
    """

    def __init__(self, student: str, *, course: str = "diffsbi") -> None:
        if not isinstance(student, str) or not student.strip():
            raise ValueError(
                f"a student id should be the text that you hand in under, not {student!r}"
            )
        graded, graded_course = _GRADED
        self.student = (graded or student).strip()
        self.course = graded_course or course

    def __repr__(self) -> str:
        return f"Student({self.student!r}, course={self.course!r})"

    def seed(self, exercise: str) -> int:
        """A number in 0 … 2⁶³ − 1 that belongs to this student and exercise: SHA-256 of both."""
        text = "\n".join((self.course, self.student, exercise))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, exercise: str) -> torch.Generator:
        """A random generator (CPU) that starts at `seed(exercise)`."""
        return torch.Generator().manual_seed(self.seed(exercise))

    def uniform(
        self, exercise: str, low: float, high: float, shape: tuple[int, ...] = ()
    ) -> torch.Tensor:
        """Numbers uniform on (low, high), rounded to two decimals so that they can be read out."""
        numbers = torch.rand(shape, generator=self.generator(exercise), dtype=torch.float64)
        return ((low + (high - low) * numbers) * 100).round().float() / 100

    def normal(self, exercise: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator(exercise))

    def choice(self, exercise: str, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.seed(exercise) % len(options)]

    def shuffled(self, exercise: str, options: Sequence[T]) -> list[T]:
        """All of the options, in an order of the student's own."""
        order = torch.randperm(len(options), generator=self.generator(exercise))
        return [options[i] for i in order.tolist()]
