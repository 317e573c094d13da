"""The working half of `Gallery`, without widgets: trains two models in equal time, judges, draws.

As in `LiveLoop`, callbacks only put in wishes; all else runs in the worker's thread, one thing
after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from diffsbi_edu import problems
from diffsbi_edu.cases import CASES, METHODS
from diffsbi_edu.diagnostics.c2st import c2st
from diffsbi_edu.diagnostics.sbc import SBCResult, sbc
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.run import Knobs
from diffsbi_edu.widgets.cores import one_core
from diffsbi_edu.widgets.gallery_room import MANY, Room
from diffsbi_edu.widgets.loop import Loop, Pace
from diffsbi_edu.widgets.racer import Racer
from diffsbi_edu.widgets.trainer import Phase, Trainer

RIVALS = ("diffusion", "nsf")  # of `METHODS`; both with the suite's settings
ENDLESS = 10**9  # steps: the clock ends a run
COOLEST = 0.02  # the learning rate at the end, as a share of the peak
WARM_UP = 0.1  # share of the time in which the learning rate rises
SLICE = 0.2  # seconds of training of one model before it is the other one's turn
FRAME_SECONDS, FRAME_SHARE, LONGEST = 2.0, 0.2, 8.0  # see `Pace`
# An autoregressive flow needs a pass a parameter for a draw: with 80 of them, draws are dear.
WIDE = 20  # parameters from which on fewer draws are made
FEW, FEW_WIDE, MANY_WIDE = 200, 50, 200  # draws in a frame while training, and at rest (else MANY)
PARTS, PARTS_WIDE = (4, 50, 39), (5, 20, 9)  # SBC: parts, simulations in each, draws for each
SBC_SEED = 20_000
JUDGED, EFFORT = 500, {"folds": 3, "max_epochs": 100}  # of C2ST: rough, but in a second


@dataclass
class Score:
    """What is known of a method; None where it is not known (yet).

    Attributes:
        name: of the method.
        status: "ready", "training", "finished", "diverged", …
        steps: optimiser steps made.
        seconds: time spent on them.
        sbc: its calibration over data of the prior.
        c2st: of its draws against exact ones, given the data on show; 0.5 is perfect.
        why: what went wrong, if anything did.
    """

    name: str
    status: str = "ready"
    steps: int = 0
    seconds: float = 0.0
    sbc: SBCResult | None = None
    c2st: float | None = None
    why: str = ""


class GalleryLoop(Loop):
    """Training, judging, frames and wishes.

    Args:
        problem: name of a case.
        seconds: of training, of each model.
        seed: of weights, data and noise.
        show: called with every new picture (PNG; None if none could be drawn), the scores, the
            phase and the room, from the worker's thread.
        tell: called with messages for the user, likewise; an empty one clears the last.
    """

    def __init__(
        self,
        problem: str,
        *,
        seconds: float,
        seed: int,
        show: Callable[[bytes | None, list[Score], str, Room], None],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__("diffsbi-gallery")
        self.seconds, self._seed, self._show, self._tell = seconds, seed, show, tell
        self.phase = "ready"
        self.racers: list[Racer] = []
        self.ranks: dict[str, SBCResult] = {}
        self._parts: dict[str, list[SBCResult]] = {}
        self._pace, self._stale, self._page_gone = (
            Pace(FRAME_SECONDS, FRAME_SHARE, LONGEST),
            True,
            False,
        )
        self.room = Room(problem, seed)

    @property
    def scores(self) -> list[Score]:
        """What is known of both methods."""
        return [self._score(racer) for racer in self.racers] or [
            Score(METHODS[name].title) for name in RIVALS
        ]

    def _score(self, racer: Racer) -> Score:
        phase, trainer = racer.trainer.phase, racer.trainer
        status = "diverged" if phase is Phase.FAILED else phase.value
        why = "" if trainer.error is None else str(trainer.error)
        found = self.ranks.get(racer.name)
        return Score(racer.name, status, trainer.step, racer.seconds, found, racer.c2st, why)

    # --- everything below runs in the worker's thread ---

    def _cores(self) -> AbstractContextManager[None]:
        return one_core()

    def _turn(self) -> bool:
        self._grant_wishes()
        try:
            if self.phase == "training":
                self._train()
            if self._due():
                with self._pace.frame():
                    self._frame()
            elif self.phase == "judging":
                self._judge_one()
        except Exception as error:  # nothing that happens in a thread may be lost
            self._stale, self.phase = False, "failed"
            self._tell(f"{type(error).__name__}: {error}. Press Reset to begin again.")
            self._show(None, self.scores, self.phase, self.room)
        return self.phase in ("training", "judging") or self._stale

    def _train(self) -> None:
        """A slice of training of the model whose clock is behind."""
        running = [r for r in self.racers if r.trainer.phase is Phase.TRAINING]
        if not running:
            self.phase, self._stale = "judging", True
            return
        racer = min(running, key=lambda racer: racer.seconds)
        until = min(self.seconds, racer.seconds + SLICE)
        while racer.trainer.phase is Phase.TRAINING and racer.seconds < until:
            share = racer.seconds / self.seconds
            heat = min(1.0, share / WARM_UP + 0.05) * 0.5 * (1 + math.cos(math.pi * share))
            racer.trainer.knobs.lr = Knobs().lr * max(heat, COOLEST)
            racer.trainer.advance()
        if racer.trainer.phase is Phase.FAILED:
            self._tell(f"{racer.name} diverged: {racer.trainer.error} The other one goes on.")
        elif racer.seconds >= self.seconds:
            racer.trainer.finish()

    def _judge_one(self) -> None:
        """SBC and C2ST of one model, then its turn is over: wishes are heard in between."""
        for racer in self.racers:
            if racer.trainer.phase is Phase.FAILED:
                continue
            if racer.name not in self.ranks:
                self._judge_a_part(racer)
                return
            if racer.c2st is None and self.room.exact is not None and racer.theta is not None:
                n = min(JUDGED, len(racer.theta))
                racer.c2st = c2st(racer.theta[:n], self.room.exact[:n].to(racer.theta), **EFFORT)
                self._stale = True
                return
        self.phase, self._stale = "finished", True

    def _judge_a_part(self, racer: Racer) -> None:
        """Some of the simulations of SBC; the result, once all are done."""
        parts, sims, draws = PARTS_WIDE if self._wide else PARTS
        done = self._parts.setdefault(racer.name, [])
        seed = SBC_SEED + len(done)  # the same data for both methods, and none they trained on
        done.append(sbc(racer.trainer.model, self.room.problem, sims, draws, seed=seed))
        if len(done) == parts:
            ranks, dropped = torch.cat([d.ranks for d in done]), sum(d.dropped for d in done)
            self.ranks[racer.name] = SBCResult(ranks, draws, dropped, done[0].names)
            self._stale = True

    @property
    def _wide(self) -> bool:
        return self.room.problem.dim > WIDE

    # What a control says is read here, not when its callback came: of two callbacks on two threads
    # the one that comes second need not be the one of the value that stays.

    def _do_problem(self, read: Callable[[], str]) -> None:
        name = read()
        if name != self.room.name:
            self.room = Room(name, self._seed)
            self._forget()

    def _do_start(self, _: object) -> None:
        if self.phase in ("finished", "judging", "failed"):
            self._forget()
        if not self.racers:
            self.racers = [self._enter(name) for name in RIVALS]
        for racer in self.racers:
            if racer.trainer.phase in (Phase.READY, Phase.PAUSED):
                racer.trainer.start()
        self.phase, self._page_gone, self._stale = "training", False, True
        self._tell("")

    def _do_pause(self, _: object) -> None:
        if self.phase == "training":
            for racer in self.racers:
                racer.trainer.pause()
            self.phase, self._stale = "paused", True

    def _do_reset(self, _: object) -> None:
        self._forget()

    def _do_seconds(self, read: Callable[[], float]) -> None:
        self.seconds = read()

    def _do_new(self, _: object) -> None:
        """Other data; the models are amortised and need no more training."""
        self.room = Room(self.room.name, self.room.seed + 1, self.room.pair)
        for racer in self.racers:
            racer.c2st = None
        if self.phase == "finished":
            self.phase = "judging"
        self._stale = True

    def _do_pair(self, read: Callable[[], tuple[int, int]]) -> None:
        pair = read()
        if max(pair) < self.room.problem.dim:  # else it was meant for the last problem
            self.room.pair, self._stale = pair, True

    def _do_page(self, present: bool) -> None:
        """Training for a page that nobody can see any more waits until it is opened again."""
        if present and self._page_gone and self.phase == "paused":
            self._do_start(None)
        elif not present and self.phase == "training":
            self._do_pause(None)
            self._page_gone = True
            self._tell("Paused, since the page was closed.")

    def _forget(self) -> None:
        for racer in self.racers:
            racer.trainer.stop()
        self.racers, self.ranks, self._parts = [], {}, {}
        self.phase, self._stale = "ready", True
        self._tell("")

    def _enter(self, name: str) -> Racer:
        case, method, seed = CASES[self.room.name], METHODS[name], self._seed

        def make() -> Estimator:
            return method.model(case, problems.get(case.problem), seed, "cpu")

        settings = method.arguments(case)
        knobs = Knobs(batch_size=settings.pop("batch_size"))
        trainer = Trainer(make, ENDLESS, knobs, seed, decay=False, warmup=0, **settings)
        return Racer(method.title, trainer)

    # --- frames ---

    def _due(self) -> bool:
        return self._pace.due() if self.phase == "training" else self._stale

    def _frame(self) -> None:
        few, many = (FEW_WIDE, MANY_WIDE) if self._wide else (FEW, MANY)
        learned = {}
        for racer in self.racers:
            racer.look(self.room.x, few if self.phase == "training" else many)
            if racer.theta is not None:
                learned[racer.name] = racer.theta
        self._stale = False
        missing = "not trained yet" if self.phase == "ready" else "after the training"
        png = self.room.draw(learned, self.ranks, missing)
        self._show(png, self.scores, self.phase, self.room)
