"""The errors this package raises on purpose: each says what was wrong and what to do.

They subclass the built-in exception a caller would expect (`ValueError`, `RuntimeError`, …), so
``except ValueError`` keeps working, while a notebook can catch exactly the case it explains.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SimulationError(ValueError):
    """A prior or simulator returned something that cannot be trained on."""


class NoExactPosterior(NotImplementedError):
    """The problem has no exact posterior to compare with."""


class TrainingDiverged(RuntimeError):
    """The training loss became NaN or infinite; the message lists what to try."""


class CheckpointError(ValueError):
    """A file is not a readable checkpoint, or belongs to another model."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a misspelt name: offers the nearest and lists the valid ones.

    Example:
        >>> print(unknown_name("sampler", "huen", ["euler", "heun"]))
        unknown sampler 'huen'; did you mean 'heun'? Valid names: 'euler', 'heun'.
    """
    known = sorted(known)
    near = get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    valid = ", ".join(repr(k) for k in known)
    return ValueError(f"unknown {kind} {name!r}; {hint}Valid names: {valid}.")
