"""The working half of `StabilityRace`, without widgets: two runs that take turns on one clock.

As in `LiveLoop`, callbacks only put wishes into `mail`; all else runs in the worker's thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from diffsbi_edu import diagnostics
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.problems import Problem
from diffsbi_edu.run import Knobs
from diffsbi_edu.widgets.cores import SMALL_STEP, one_core
from diffsbi_edu.widgets.loop import Loop, Pace
from diffsbi_edu.widgets.race_picture import Lane, RacePicture
from diffsbi_edu.widgets.racer import Racer, Standing
from diffsbi_edu.widgets.trainer import Phase, Trainer

FRAME_SECONDS = 0.4
FRAME_SHARE = 0.2  # of the time goes to drawing, at most
FEW, MANY = 400, 1000  # draws in a live frame, and in the last one
JUDGED = 500  # draws of each kind in a C2ST: about 2 s
EFFORT = {"folds": 5, "max_epochs": 200}
ENDLESS = 10**9  # steps: a race ends by the clock
COOLEST = 1e-3  # share of the learning rate that is left at the end


class Race(Loop):
    """Training, turns, frames and wishes.

    Args:
        problem: what is learnt.
        makers: name → a function that builds the untrained model.
        x_obs: the first observation (N, F).
        seconds: training time of each racer.
        knobs: learning rate, batch size, clip: the same for all.
        pool: pairs (theta, x) that all are trained on, in the same order.
        seed: of the pool and of all training noise.
        show: called with (PNG picture, scoreboard), from the worker's thread.
        tell: called with messages for the user.
    """

    def __init__(
        self,
        problem: Problem,
        makers: dict[str, Callable[[], Estimator]],
        x_obs: torch.Tensor,
        *,
        seconds: float,
        knobs: Knobs,
        pool: int,
        seed: int,
        show: Callable[[bytes, list[Standing]], None],
        tell: Callable[[str], None],
    ) -> None:
        self.problem, self.seconds, self.knobs, self.seed = problem, seconds, knobs, seed
        self._x_obs, self._show, self._tell = x_obs, show, tell
        self._data = problem.sample(pool, seed=seed, device="cpu")
        self.racers = [self._enter(name, make) for name, make in makers.items()]
        super().__init__("diffsbi-stability-race")
        self._picture = RacePicture(problem.theta_names, [racer.name for racer in self.racers])
        self._exact: torch.Tensor | None = None
        self._exact_known = self._racing = False
        self._stale, self._judge = True, False
        self._pace = Pace(FRAME_SECONDS, FRAME_SHARE, longest=2.0)

    def standings(self) -> list[Standing]:
        """The scoreboard, in the order of the lanes."""
        return [racer.standing() for racer in self.racers]

    # --- everything below runs in the worker's thread ---

    def _enter(self, name: str, make: Callable[[], Estimator]) -> Racer:
        """A racer at the start. The learning rate is set by the race's clock, so `decay` is off."""
        knobs = Knobs(self.knobs.lr, self.knobs.batch_size, self.knobs.clip, self.knobs.ema)
        trainer = Trainer(
            make, ENDLESS, knobs, self.seed, data=self._data, decay=False, patience=None,
            validation_fraction=0.0,
        )  # fmt: skip
        return Racer(name, trainer)

    def _cores(self) -> AbstractContextManager[None]:
        weights = max(sum(p.numel() for p in r.trainer.model.parameters()) for r in self.racers)
        return one_core(weights * self.knobs.batch_size < 10 * SMALL_STEP)

    def _turn(self) -> bool:
        self._grant_wishes()
        try:
            running = [r for r in self.racers if r.trainer.phase is Phase.TRAINING]
            if running:
                self._advance(min(running, key=lambda racer: racer.seconds))
            elif self._racing:
                self._racing, self._stale, self._judge = False, True, True
            if self._due():
                self._frame()
            elif self._judge and not self._racing:
                self._judge_all()
        except Exception as error:  # nothing that happens in a thread may be lost
            self._stop_all(error)
        return self._racing or self._stale or self._judge

    def _advance(self, racer: Racer) -> None:
        """One step of the racer whose clock is behind."""
        trainer, share = racer.trainer, min(1.0, racer.seconds / self.seconds)
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        trainer.knobs.lr = self.knobs.lr * max(cosine, COOLEST)
        trainer.knobs.clip = self.knobs.clip
        trainer.advance()
        if trainer.phase is Phase.FAILED:
            self._tell(f"{racer.name} diverged: {trainer.error} The race goes on without it.")
            self._stale = True
        elif racer.seconds >= self.seconds:
            trainer.finish()

    def _stop_all(self, error: Exception) -> None:
        for racer in self.racers:
            if racer.trainer.phase is Phase.TRAINING:
                racer.trainer.fail(error)
        self._racing = self._stale = self._judge = False
        self._tell(f"{type(error).__name__}: {error}. Press Reset to begin again.")

    def _do_start(self, _: Any) -> None:
        if all(r.trainer.phase in (Phase.FINISHED, Phase.FAILED) for r in self.racers):
            self._do_reset(None)  # a new race, from untrained models
        self.knobs.check()
        for racer in self.racers:
            if racer.trainer.phase in (Phase.READY, Phase.PAUSED):
                racer.trainer.start()
        self._racing = True
        self._tell("")

    def _do_pause(self, _: Any) -> None:
        for racer in self.racers:
            racer.trainer.pause()

    def _do_reset(self, _: Any) -> None:
        for racer in self.racers:
            racer.trainer.reset()
            racer.c2st = racer.theta = None
        self._picture.new_film()
        self._racing, self._stale, self._judge = False, True, False
        self._tell("")

    def _do_opponent(self, opponent: tuple[str, Callable[[], Estimator]]) -> None:
        """Another racer in the second lane: both begin anew."""
        self.racers[1].trainer.reset()  # ends its run
        self.racers[1] = self._enter(*opponent)
        self._picture = RacePicture(self.problem.theta_names, [r.name for r in self.racers])
        self._exact_known = False
        self._do_reset(None)

    def _do_lr(self, lr: float) -> None:
        self.knobs.lr = lr

    def _do_clip(self, clip: float) -> None:
        self.knobs.clip = clip

    def _do_seconds(self, seconds: float) -> None:
        self.seconds = seconds

    def _do_x_obs(self, x_obs: torch.Tensor) -> None:
        self._x_obs, self._exact_known, self._stale = x_obs, False, True
        for racer in self.racers:
            racer.c2st = None
        self._judge = not self._racing and bool(self.racers[0].trainer.history)

    # --- frames ---

    def _due(self) -> bool:
        if not self._racing:
            return self._stale
        return self._pace.due()

    def _frame(self) -> None:
        with self._pace.frame():
            self._look_and_publish()

    def _look_and_publish(self) -> None:
        if not self._exact_known:
            self._exact, why_not = self._exact_draws()
            self._picture.set_exact(self._exact, why_not, self._prior_draws())
            self._exact_known = True
        for racer in self.racers:
            racer.look(self._x_obs, FEW if self._racing else MANY)
        self._stale = False
        self._publish()

    def _publish(self) -> None:
        standings = self.standings()
        lanes = [
            Lane(r.theta, [s.seconds for s in r.trainer.history], r.trainer.losses,
                 r.trainer.grad_norms, standing.diverged)
            for r, standing in zip(self.racers, standings, strict=True)
        ]  # fmt: skip
        self._show(self._picture.draw(lanes, self.seconds), standings)

    def _exact_draws(self) -> tuple[torch.Tensor | None, str]:
        try:
            return self.problem.posterior(self._x_obs).sample((MANY,), seed=0), ""
        except (NoExactPosterior, ValueError) as error:
            return None, str(error)

    def _prior_draws(self) -> torch.Tensor:
        return self._data[0][:MANY]

    def _judge_all(self) -> None:
        self._judge = False
        for racer in self.racers:
            if self._exact is not None and racer.theta is not None and racer.trainer.step:
                n = min(JUDGED, len(racer.theta))
                racer.c2st = diagnostics.c2st(racer.theta[:n], self._exact[:n], **EFFORT)
        self._publish()
