"""What the suite runs: the problems and methods of `cases`, and the budgets."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from diffsbi_edu.cases import CASES, GROUPS, METHODS, Case, Method
from diffsbi_edu.errors import unknown_name

__all__ = [
    "BUDGETS",
    "CASES",
    "GROUPS",
    "METHODS",
    "PACE",
    "PACE_COLUMNS",
    "SHARES",
    "Budget",
    "Case",
    "Pace",
    "Method",
    "finish_of",
    "named",
    "pace_of",
    "paces",
]

PACE = Path(__file__).with_name("pace.csv")
PACE_COLUMNS = ("ms_per_step", "ms_per_decoder_step", "ms_per_pair")
#: Of the training time where the decoder goes on alone at the end: joint training, simulating and
#: summarising what the decoder then learns from, and that (the latter two in other proportions,
#: where passes over the stored pairs would be fewer or more than a method likes).
SHARES = 0.55, 0.2, 0.25


@dataclass(frozen=True)
class Budget:
    """How long each run may train, and how closely it is judged.

    Attributes:
        name: of the budget.
        seconds: of training on one core of the machine that `pace.csv` was measured on; the number
            of steps follows from it, so that a run gives the same numbers on any machine.
        steps: training steps instead; 0 for those of the paper's public code.
        encoder_share: how many times longer a run with a summary network may train.
        n_sims, n_samples: of the calibration checks. Many simulations and few draws tell more than
            the reverse: what an exact posterior's SBC distance is, falls with the former.
        observations, draws: at which C2ST against exact draws is measured, and how many draws.
    """

    name: str
    seconds: float | None = None
    steps: int | None = None
    encoder_share: float = 1.0
    n_sims: int = 10_000
    n_samples: int = 25
    observations: int = 5
    draws: int = 2000

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.steps is None):
            raise ValueError("give either seconds or steps, the budget of a run.")
        if (self.seconds is not None and not self.seconds > 0) or (self.steps or 0) < 0:
            raise ValueError(f"the budget must be positive, got {self.seconds or self.steps}.")
        if self.n_sims < 100 or self.n_samples < 4 or self.observations < 1 or self.draws < 10:
            raise ValueError(
                "a budget needs n_sims ≥ 100, n_samples ≥ 4, observations ≥ 1 and draws ≥ 10, got "
                f"{self.n_sims}, {self.n_samples}, {self.observations}, {self.draws}."
            )

    def steps_of(self, case: Case, method: str) -> int:
        """Training steps of a run.

        Raises:
            ValueError: the pace of this pair was never measured.
        """
        if self.steps is not None:
            return self.steps or case.steps
        share = self.encoder_share if case.encoder else 1.0
        share *= SHARES[0] if METHODS[method].finishing(case) else 1.0
        ms = pace_of(case, method).step
        return max(20, round(1000 * (self.seconds or 0.0) * share / ms))


#: Name → budget of the command line.
BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("quick", seconds=10.0, n_sims=1000, n_samples=25, observations=2, draws=1000),
        Budget("laptop", seconds=48.0, encoder_share=2.125),
        Budget("paper", steps=0),
    )
}


def finish_of(case: Case, method: str, steps: int) -> tuple[int, int] | None:
    """(summaries, steps) of the decoder alone after so many joint steps, None if there are none.

    Raises:
        ValueError: the pace of this pair was never measured.
    """
    how = METHODS[method]
    rest = how.finishing(case)
    if rest is None:
        return None
    return pace_of(case, method).finish(steps, rest["batch_size"], how.passes)


@dataclass(frozen=True)
class Pace:
    """Milliseconds on one core: a training step, and where the decoder goes on alone at the end, a
    step of that, and a stored summary with its simulation (NaN elsewhere).
    """

    step: float
    decoder: float = math.nan
    pair: float = math.nan

    def finish(self, steps: int, batch_size: int, passes: tuple[float, float]) -> tuple[int, int]:
        """(summaries, steps) of the decoder alone that so many joint steps leave the time for.

        Steps and summaries give way to one another where the steps would pass over the summaries
        fewer or more times than the two numbers.
        """
        total = steps * self.step / SHARES[0]
        summaries, alone = SHARES[1] * total / self.pair, SHARES[2] * total / self.decoder
        made, (least, most) = alone * batch_size / summaries, passes
        if not least <= made <= most:
            per_summary = min(max(made, least), most) / batch_size  # steps
            each = self.pair + per_summary * self.decoder
            summaries = (SHARES[1] + SHARES[2]) * total / each
            alone = per_summary * summaries
        return max(1, round(summaries)), max(1, round(alone))


@cache
def paces(path: Path = PACE) -> dict[tuple[str, str], Pace]:
    """(problem, method) → its pace, as measured."""
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (row["problem"], row["method"]): Pace(*(float(row[c] or "nan") for c in PACE_COLUMNS))
            for row in csv.DictReader(file)
        }


def pace_of(case: Case, method: str) -> Pace:
    """The pace of a method on a problem.

    Raises:
        ValueError: it was never measured.
    """
    pace = paces().get((case.problem, method))
    if pace is None:
        raise ValueError(
            f"no pace is known of {method!r} on {case.problem!r}, which turns seconds into "
            "steps: run `python -m diffsbi_edu.benchmark pace`, or use a budget in steps."
        )
    return pace


def named(kind: str, names: Sequence[str] | None, known: Mapping[str, Any]) -> list[str]:
    """The names, all if None, each once.

    Raises:
        ValueError: an unknown name; the message offers the nearest.
    """
    for name in names or ():
        if name not in known:
            raise unknown_name(kind, name, known)
    return list(dict.fromkeys(known if names is None else names))
