"""The working half of `LiveTraining`, without widgets: trains, samples, draws, one turn at a time.

Callbacks only put wishes into `mail` and wake the worker. Everything else here runs in the worker's
thread, so model, figure and history are never touched by two threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from diffsbi_edu import diagnostics
from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.problems import Problem
from diffsbi_edu.widgets.camera import Camera, View
from diffsbi_edu.widgets.canvas import png_bytes
from diffsbi_edu.widgets.cores import SMALL_STEP, one_core
from diffsbi_edu.widgets.export import csv_bytes, gif_bytes
from diffsbi_edu.widgets.frames import POINTS_SHOWN, Frame
from diffsbi_edu.widgets.loop import HURRY_SECONDS, Loop, Pace
from diffsbi_edu.widgets.snapshots import Snapshot, SnapshotHistory
from diffsbi_edu.widgets.trainer import Phase, Trainer, in_plain_words

C2ST_SAMPLES, C2ST_SECONDS, C2ST_SHARE = 250, 12.0, 0.02
# A classifier trained to the end takes seconds: 0.2 s in passing, 0.8 s when a run has ended.
QUICK_C2ST, FULL_C2ST = {"folds": 3, "max_epochs": 80}, {"folds": 5, "max_epochs": 200}
GIF_FRAMES, CSV_SAMPLES = 60, 2000


class LiveLoop(Loop):
    """Training, frames and wishes.

    Args:
        problem: what is learnt.
        trainer: the run.
        x_obs: the first observation (N, F).
        samples: posterior draws in a frame.
        show: called with every new `Frame`, from the worker's thread.
        tell: called with messages for the user, likewise; an empty one clears the last.
        write: called with (suffix, content) to export a file.
        draw_x: called with a newly simulated x_obs (N, F).
    """

    def __init__(
        self,
        problem: Problem,
        trainer: Trainer[ConditionalDiffusion],
        x_obs: torch.Tensor,
        *,
        samples: int,
        show: Callable[[Frame], None],
        tell: Callable[[str], None],
        write: Callable[[str, bytes], None],
        draw_x: Callable[[torch.Tensor], None],
    ) -> None:
        self.problem, self.trainer, self.samples = problem, trainer, samples
        self._show, self._tell, self._write, self._draw_x = show, tell, write, draw_x
        self.view = View(x_obs)
        super().__init__("diffsbi-live-training")
        self.snapshots = SnapshotHistory()
        self.c2st: float | None = None
        self.blocking = False  # inside `run`, which needs no page
        self._camera = Camera(problem, self.view)
        self._current: Snapshot | None = None
        # stale: the model must be sampled again; redraw: only the picture.
        self._stale = self._redraw = True
        self._unjudged: dict[str, int] | None = None  # a C2ST is due, with this effort
        self._page_gone = False
        self._pace, self._next_c2st = Pace(), 0.0
        self._rate_from, self._rate = (0.0, 0.0), 0.0
        self._draws = 0

    # --- everything below runs in the worker's thread ---

    def _cores(self) -> AbstractContextManager[None]:
        weights = sum(p.numel() for p in self.trainer.model.parameters())
        return one_core(weights * self.trainer.knobs.batch_size < SMALL_STEP)

    def _turn(self) -> bool:
        self._grant_wishes()
        try:
            if self.trainer.phase is Phase.TRAINING:
                self.trainer.advance()
                if self.trainer.phase is not Phase.TRAINING:
                    self._come_to_rest()
            if self._due():
                self._frame()
            elif self._unjudged and self.trainer.phase is not Phase.TRAINING:
                self._judge_at_rest()
        except Exception as error:  # nothing that happens in a thread may be lost
            self._fail(error)
        busy = self.trainer.phase is Phase.TRAINING or bool(self._unjudged)
        return busy or self._stale or self._redraw

    def _refuse(self, error: Exception) -> None:
        if isinstance(error, OSError | ValueError):
            self._tell(str(error))
        else:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.trainer.fail(error)
        self._stale = self._redraw = False
        self._unjudged = None
        self._tell(in_plain_words(error))

    def _do_start(self, steps: int | None) -> None:
        try:
            self.trainer.start(steps)
        except Exception as error:  # impossible knobs: `run` must hear of it too
            self._fail(error)
            return
        self._tell("")
        self.view.replay, self._page_gone = None, False
        self._next_c2st = max(self._next_c2st, time.perf_counter() + 0.4 * C2ST_SECONDS)

    def _do_pause(self, _: Any) -> None:
        if self.trainer.phase is Phase.TRAINING:
            self.trainer.pause()
            self._come_to_rest()

    def _do_stop(self, _: Any) -> None:
        if self.trainer.stop():
            self._come_to_rest()

    def _do_reset(self, _: Any) -> None:
        self.trainer.reset()
        self.snapshots.clear()
        self._camera.new_film()
        self.c2st, self.view.replay, self._rate_from = None, None, (0.0, 0.0)
        self._stale, self._unjudged = True, None
        self._tell("")

    def _do_page(self, present: bool) -> None:
        """Training for a page that nobody can see any more waits until it is opened again."""
        if present and self._page_gone and self.trainer.phase is Phase.PAUSED:
            self._do_start(None)
        elif not (present or self.blocking) and self.trainer.phase is Phase.TRAINING:
            self.trainer.pause()
            self._page_gone = self._redraw = True
            self._tell("Paused, since the page was closed.")

    def _do_x_obs(self, x_obs: torch.Tensor) -> None:
        self.view.x_obs, self.view.replay, self.c2st, self._stale = x_obs, None, None, True
        self._camera.forget()
        self._next_c2st = time.perf_counter() + 0.3 * C2ST_SECONDS
        self._unjudged = QUICK_C2ST if self.trainer.step else None

    def _do_draw_x(self, _: Any) -> None:
        self._draws += 1
        _, x = self.problem.sample(1, seed=self._draws, device="cpu")
        self._draw_x(x[0])
        self._do_x_obs(x[0])

    def _do_schedule(self, build: Callable[[], Any]) -> None:
        try:
            self.trainer.model.schedule = build()
        except ValueError as error:
            self._tell(f"{error} The schedule stays as it was.")
        else:
            self._tell("")
            self._stale = True

    def _do_lr(self, lr: float) -> None:
        self.trainer.knobs.lr = lr

    def _do_batch_size(self, batch_size: int) -> None:
        self.trainer.knobs.batch_size = batch_size

    def _do_run_steps(self, steps: int) -> None:
        self.trainer.run_steps = steps
        if self.trainer.phase is Phase.READY:
            self.trainer.goal, self._redraw = steps, True

    def _do_sampler(self, sampler: str) -> None:
        self.view.sampler, self._stale = sampler, True

    def _do_solver_steps(self, steps: int) -> None:
        self.view.solver_steps, self._stale = steps, True

    def _do_level(self, level: float) -> None:
        self.view.level, self._stale = level, True

    def _do_replay(self, index: int | None) -> None:
        self.view.replay, self._redraw = index, True

    def _do_export(self, kind: str) -> None:
        if kind == "csv":
            theta = self._camera.take(self.trainer.model, self.trainer.step, CSV_SAMPLES).theta
            self._write("csv", csv_bytes(theta, self.problem.theta_names))
        elif kind == "png":
            self._draw(self._shown())
            self._write("png", png_bytes(self._camera.image()))
        else:
            last = len(self.snapshots) - 1
            chosen = {round(i * last / (GIF_FRAMES - 1)) for i in range(GIF_FRAMES)}
            images = []
            for index in sorted(chosen) if last >= 0 else []:
                self._draw(self.snapshots[index])
                images.append(self._camera.image())
            self._redraw = True
            self._write("gif", gif_bytes(images))

    # --- frames ---

    def _due(self) -> bool:
        if self.trainer.phase is not Phase.TRAINING:
            return self._stale or self._redraw
        return self._pace.due(HURRY_SECONDS if self._stale or self._redraw else None)

    def _come_to_rest(self) -> None:
        """The last frame of a run: more draws, kept in the history, and its C2ST."""
        trainer = self.trainer
        if trainer.error is not None:
            self._tell(in_plain_words(trainer.error))
        self._redraw = True
        if trainer.step > 0:
            self._current = self._camera.take(trainer.model, trainer.step, POINTS_SHOWN)
            self.snapshots.add(self._current, always=True)
            self._stale, self._unjudged = False, FULL_C2ST

    def _frame(self) -> None:
        start = time.perf_counter()
        training = self.trainer.phase is Phase.TRAINING
        with self._pace.frame():
            self._look_and_show(training)
        if training and start >= self._next_c2st and self._current is not None:
            self._judge(self._current, QUICK_C2ST)

    def _look_and_show(self, training: bool) -> None:
        trainer = self.trainer
        if training or self._stale or self._current is None:
            n = self.samples if training else POINTS_SHOWN
            self._current = self._camera.take(trainer.model, trainer.step, n)
            if training:
                self.snapshots.add(self._current)
        self._stale = self._redraw = False
        png = self._draw(self._shown())
        loss = trainer.losses[-1] if trainer.losses else None
        rate, c2st, kept = self._recent_rate(), self.c2st, len(self.snapshots)
        step, goal, replay = trainer.step, trainer.goal, self.view.replay
        self._show(Frame(png, trainer.phase, step, goal, loss, rate, c2st, kept, replay))

    def _judge_at_rest(self) -> None:
        effort, self._unjudged = self._unjudged, None
        if self._current is not None and effort is not None:
            self._judge(self._current, effort)
            self._redraw = True

    def _shown(self) -> Snapshot:
        """The snapshot on show: the live one, or the one that the user went back to."""
        if self.view.replay is not None and len(self.snapshots):
            return self.snapshots[min(self.view.replay, len(self.snapshots) - 1)]
        if self._current is None:
            self._current = self._camera.take(self.trainer.model, self.trainer.step, self.samples)
        return self._current

    def _draw(self, snapshot: Snapshot) -> bytes:
        trainer = self.trainer
        trainer.read_curves()
        return self._camera.develop(snapshot, trainer.losses, trainer.grad_norms, trainer.goal)

    def _recent_rate(self) -> float:
        """Pairs per second of the training steps made since the last frame."""
        if self.trainer.history:
            last = self.trainer.history[-1]
            pairs, seconds = last.pairs_per_second * last.seconds, last.seconds
            then, since = self._rate_from if seconds >= self._rate_from[1] else (0.0, 0.0)
            if seconds > since:
                self._rate, self._rate_from = (pairs - then) / (seconds - since), (pairs, seconds)
        return self._rate

    def _judge(self, snapshot: Snapshot, effort: dict[str, int]) -> None:
        """C2ST on a few hundred draws: rarely, since nothing else happens meanwhile."""
        start = time.perf_counter()
        exact, n = snapshot.target.theta, min(C2ST_SAMPLES, len(snapshot.theta))
        if exact is not None and n >= 10 and bool(torch.isfinite(snapshot.theta).all()):
            self.c2st = diagnostics.c2st(snapshot.theta[:n], exact[:n], **effort)
        now = time.perf_counter()
        self._next_c2st = now + max(C2ST_SECONDS, (now - start) / C2ST_SHARE)
