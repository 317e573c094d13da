"""One model in a race, and its line of the scoreboard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from diffsbi_edu import diagnostics
from diffsbi_edu.widgets.trainer import Phase, Trainer


@dataclass(frozen=True)
class Standing:
    """One line of the scoreboard.

    Attributes:
        name: of the racer.
        status: "ready", "training", "finished", "diverged", …
        steps: optimiser steps made.
        seconds: time spent on them.
        loss: the last one, in the method's own units; None before the first step.
        largest_grad_norm: before clipping.
        worst_spike: see `diagnostics.spikes`; None in the first 40 steps.
        jumped: whether the loss jumped back above its start.
        c2st: of the draws on show, 0.5 is exact; None if not measured yet or no longer possible.
        why: what went wrong, if anything did.
    """

    name: str
    status: str
    steps: int
    seconds: float
    loss: float | None = None
    largest_grad_norm: float | None = None
    worst_spike: float | None = None
    jumped: bool = False
    c2st: float | None = None
    why: str = ""

    @property
    def diverged(self) -> bool:
        """Non-finite numbers, or a loss that jumped."""
        return self.status == "diverged" or self.jumped


class Racer:
    """One model in the race: its run, its clock, its draws."""

    def __init__(self, name: str, trainer: Trainer[Any]) -> None:
        self.name, self.trainer = name, trainer
        self.theta: torch.Tensor | None = None
        self.c2st: float | None = None

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.trainer.history[-1].seconds if self.trainer.history else 0.0

    def look(self, x_obs: torch.Tensor, n: int) -> None:
        """Posterior draws of this moment; none if the model can give no finite ones."""
        try:
            theta = self.trainer.model.sample(x_obs, n, seed=0).cpu()
        except (ValueError, RuntimeError):  # an inverse that has overflowed
            theta = torch.full((1, 1), math.nan)
        self.theta = theta if bool(torch.isfinite(theta).all()) else None

    def standing(self) -> Standing:
        """This racer's line of the scoreboard."""
        trainer = self.trainer
        status = "diverged" if trainer.phase is Phase.FAILED else trainer.phase.value
        if not trainer.history:
            return Standing(self.name, status, 0, 0.0, c2st=self.c2st)
        trainer.read_curves()
        spike, jumped = diagnostics.spikes(trainer.losses)
        return Standing(
            name=self.name,
            status=status,
            steps=trainer.step,
            seconds=self.seconds,
            loss=trainer.losses[-1],
            largest_grad_norm=max(trainer.grad_norms),
            worst_spike=None if math.isnan(spike) else spike,
            jumped=jumped,
            c2st=self.c2st,
            why="" if trainer.error is None else str(trainer.error),
        )
