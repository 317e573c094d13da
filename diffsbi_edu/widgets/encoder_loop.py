"""The working half of `EncoderLab`, without widgets: trains, summarises, samples, draws.

As in `LiveLoop`, callbacks only put in wishes; all else runs in the worker's thread, one thing
after another, so that a frame never shows a model in the middle of a step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import NoExactPosterior, TrainingDiverged
from diffsbi_edu.problems import Problem
from diffsbi_edu.run import Knobs
from diffsbi_edu.widgets.cores import one_core
from diffsbi_edu.widgets.encoder_menu import (
    COLOURS,
    Cloud,
    make_encoder,
    trained_range,
)
from diffsbi_edu.widgets.encoder_picture import EncoderPicture, Moment
from diffsbi_edu.widgets.loop import HURRY_SECONDS, Loop, Pace
from diffsbi_edu.widgets.orders import OrderedData
from diffsbi_edu.widgets.trainer import Phase, Trainer, in_plain_words

WIDTH, DEPTH = 64, 2  # of the denoiser
LR, BATCH = 6e-3, 64
FEW, MANY, SOLVER_STEPS = 300, 1000, 18  # posterior draws in a live frame, and at rest
SMOOTH = 50  # steps that the shown loss is averaged over


@dataclass(frozen=True)
class EncoderFrame:
    """A picture and what is to be said of it.

    Attributes:
        png: the picture; None if none could be drawn.
        phase: of the training run.
        step, goal: optimiser steps made, and where the run will end.
        loss: a mean over the last steps; None before the first.
        moment: what the picture shows; None likewise.
        problem, encoder: what is learnt, and the summary network's name.
        symmetry: what the network assumes of the order of the data; see `Encoder.symmetry`.
    """

    png: bytes | None
    phase: Phase
    step: int
    goal: int
    loss: float | None
    moment: Moment | None
    problem: Problem
    encoder: str
    symmetry: str | None


class EncoderLoop(Loop):
    """Training, frames and wishes.

    Args:
        problem: what is learnt.
        encoder: one of `ENCODERS`.
        n: observations; None where the simulator decides.
        most: the most observations that will be asked for.
        steps: of a run.
        seed: of weights, data and noise.
        show: called with every new `EncoderFrame`, from the worker's thread.
        tell: called with messages for the user, likewise; an empty one clears the last.
    """

    def __init__(
        self,
        problem: Problem,
        encoder: str,
        *,
        n: int | None,
        most: int | None,
        steps: int,
        seed: int,
        show: Callable[[EncoderFrame], None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__("diffsbi-encoder-lab")
        self.encoder, self._steps, self._seed = encoder, steps, seed
        self._most, self._show, self._tell = most, show, tell
        self._colour = next(iter(COLOURS))
        self._pair = (0, 1)
        self._pace, self._stale, self._page_gone = Pace(), True, False
        self._set_problem(problem, n)

    def _set_problem(self, problem: Problem, n: int | None) -> None:
        self.problem = problem
        self.data = OrderedData(problem, n, self._most, self._seed)
        self._exact: tuple[list[torch.Tensor], str] | None = None
        self._cloud: Cloud | None = None
        self._pair = (0, min(1, problem.dim - 1))
        self._picture = EncoderPicture(problem)
        self.trainer = self._untrained()

    def _untrained(self) -> Trainer[ConditionalDiffusion]:
        problem, features, seed = self.problem, self.data.x.shape[1], self._seed
        name = self.encoder
        # The lab itself says, in words, when an encoder does not suit the data: no warning beside.
        quiet = copy.copy(problem)
        quiet.data_kind = None

        def make() -> ConditionalDiffusion:
            encoder = make_encoder(name, problem, features, seed)
            return ConditionalDiffusion(
                quiet, encoder, width=WIDTH, depth=DEPTH, device="cpu", seed=seed
            )

        return Trainer(make, self._steps, Knobs(lr=LR, batch_size=BATCH), seed)

    # --- everything below runs in the worker's thread ---

    def _cores(self) -> AbstractContextManager[None]:
        return one_core()

    def _turn(self) -> bool:
        self._grant_wishes()
        try:
            if self.trainer.phase is Phase.TRAINING:
                self.trainer.advance()
                if self.trainer.phase is not Phase.TRAINING:  # the run has ended
                    self._stale = True
                    if self.trainer.error is not None:
                        self._tell(in_plain_words(self.trainer.error))
            if self._due():
                with self._pace.frame():
                    self._frame()
        except Exception as error:  # nothing that happens in a thread may be lost
            self._stale = False
            if self.trainer.error is None:  # what went wrong first says more
                self.trainer.fail(error)
                self._tell(in_plain_words(error))
            self._publish(None)
        return self.trainer.phase is Phase.TRAINING or self._stale

    def _do_start(self, _: Any) -> None:
        self.trainer.start()
        self._page_gone, self._stale = False, True
        self._tell("")

    def _do_pause(self, _: Any) -> None:
        self.trainer.pause()
        self._stale = True

    def _do_reset(self, _: Any) -> None:
        self.trainer.reset()
        self._stale = True
        self._tell("")

    def _do_page(self, present: bool) -> None:
        """Training for a page that nobody can see any more waits until it is opened again."""
        if present and self._page_gone and self.trainer.phase is Phase.PAUSED:
            self._do_start(None)
        elif not present and self.trainer.phase is Phase.TRAINING:
            self._do_pause(None)
            self._page_gone = True
            self._tell("Paused, since the page was closed.")

    # What a control says is read here, not when its callback came: of two callbacks on two threads
    # the one that comes second need not be the one of the value that stays.

    def _do_encoder(self, read: Callable[[], str]) -> None:
        self.encoder = read()
        self._begin_anew(lambda: setattr(self, "trainer", self._untrained()))

    def _do_problem(self, read: Callable[[], Problem]) -> None:
        self._begin_anew(lambda: self._set_problem(read(), self.data.n))

    def _begin_anew(self, change: Callable[[], None]) -> None:
        """Another model; if the last one was being trained, so is this one."""
        training = self.trainer.phase is Phase.TRAINING
        self.trainer.reset()  # ends its run
        change()
        if training:
            self.trainer.start()
        self._stale = True
        self._tell("")

    def _do_n_obs(self, read: Callable[[], int]) -> None:
        self._change_data(lambda: self.data.resize(read()))

    def _do_data(self, change: str) -> None:
        """New data ("new"), or another order: "shuffle", "reverse", "restore"."""
        self._change_data(getattr(self.data, change))

    def _change_data(self, change: Callable[[], None]) -> None:
        change()
        self._exact, self._stale = None, True

    def _do_colour(self, read: Callable[[], str]) -> None:
        self._colour, self._stale = read(), True

    def _do_pair(self, read: Callable[[], tuple[int, int]]) -> None:
        pair = read()
        if max(pair) < self.problem.dim:  # else it was meant for the last problem
            self._pair, self._stale = pair, True

    # --- frames ---

    def _due(self) -> bool:
        if self.trainer.phase is not Phase.TRAINING:
            return self._stale
        return self._pace.due(HURRY_SECONDS if self._stale else None)

    def _frame(self) -> None:
        moment = self._look(FEW if self.trainer.phase is Phase.TRAINING else MANY)
        self._stale = False
        self._publish(moment)

    def _publish(self, moment: Moment | None) -> None:
        trainer = self.trainer
        trainer.read_curves()
        last = trainer.losses[-SMOOTH:]
        loss = sum(last) / len(last) if last else None
        png = None if moment is None else self._picture.draw(moment)
        symmetry = getattr(trainer.model.encoder, "symmetry", None)
        self._show(
            EncoderFrame(
                png, trainer.phase, trainer.step, trainer.goal, loss, moment, self.problem,
                self.encoder, symmetry,
            )
        )  # fmt: skip

    def _look(self, n: int) -> Moment:
        """What the model makes of the data at this moment, with n posterior draws."""
        model, data = self.trainer.model, self.data
        if self._cloud is None:
            self._cloud = Cloud(self.problem, self._seed)
        with torch.no_grad():
            cloud = torch.cat([model.summarise(x) for x in self._cloud.x])
            visited = model.summarise(data.visited)
        # The same noise in every frame and for every order: what moves is the model's doing.
        draws = [
            model.sample(x, n, seed=0, steps=SOLVER_STEPS) for x in _distinct(data.original, data.x)
        ]
        if not all(bool(torch.isfinite(each).all()) for each in (cloud, visited, *draws)):
            raise TrainingDiverged(
                f"after step {self.trainer.step} the model's summaries or posterior draws became "
                "NaN or infinite: its weights have grown too large."
            )
        if self._exact is None:
            self._exact = self._exact_draws()
        exact, why_not = self._exact
        return Moment(
            x=data.x, order=data.order, label=data.label, extrapolating=self._beyond(),
            theta=data.theta[0], cloud=cloud, colour=self._cloud.colours(self._colour),
            colour_name=self._colour, visited=visited, before=draws[0], learned=draws[-1],
            exact_before=exact[0] if exact else None, exact=exact[-1] if exact else None,
            why_not=why_not, pair=self._pair,
        )  # fmt: skip

    def _beyond(self) -> bool:
        ends = trained_range(self.problem)
        return ends is not None and not ends[0] <= len(self.data.x) <= ends[1]

    def _exact_draws(self) -> tuple[list[torch.Tensor], str]:
        """Draws given the data in the original order and in the present one, or why not."""
        try:
            return [
                self.problem.posterior(x).sample((MANY,), seed=0)
                for x in _distinct(self.data.original, self.data.x)
            ], ""
        except (NoExactPosterior, ValueError) as error:
            return [], str(error)


def _distinct(first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
    return [first] if torch.equal(first, second) else [first, second]
