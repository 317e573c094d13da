"""`ScheduleExplorer`: what a noise schedule does, on posteriors known exactly."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import torch

from diffsbi_edu import problems
from diffsbi_edu.problems import Problem
from diffsbi_edu.schedules import EDM, NoiseSchedule
from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.cells import close_tree, replace_previous
from diffsbi_edu.widgets.cores import one_core
from diffsbi_edu.widgets.exact import exact_target, latent_map
from diffsbi_edu.widgets.observation import ObservationPicker
from diffsbi_edu.widgets.schedule_pictures import Process, ProcessPicture, SchedulePicture
from diffsbi_edu.widgets.worker import Mailbox, Worker

DRAWS = 1000
FIRST_VIEW = 0.45  # of the way through the process: where there is something to see


class ScheduleExplorer(ipywidgets.VBox):
    """Choose a schedule, drag its parameters, and follow particles from noise to the posterior.

    Nothing is learnt here: the score is the exact one, so all that goes wrong is the schedule's or
    the solver's doing.

    Args:
        problem: one with an exact posterior and two parameters; `Gaussian2D` if None.
        x_obs: the observation (N, F); a typical one if None.
        schedule: where the controls start; `EDM` if None.

    Raises:
        ValueError: the problem has other than two parameters.

    Example:
        >>> explorer = ScheduleExplorer()
        >>> explorer.noise.name.value = "Cosine"
        >>> explorer.join(60.0), type(explorer.schedule).__name__
        (True, 'Cosine')
        >>> explorer.close()
    """

    def __init__(
        self,
        problem: Problem | None = None,
        x_obs: torch.Tensor | None = None,
        schedule: NoiseSchedule | None = None,
    ) -> None:
        self._given = problem if problem is not None else problems.Gaussian2D()
        _check(self._given)
        self.schedule: NoiseSchedule = EDM() if schedule is None else schedule
        self._mail = Mailbox()
        self._worker = Worker(self._turn, "diffsbi-schedule-explorer", one_core)
        self._curves = SchedulePicture()
        self._process: Process | None = None
        self._stale = True
        self._complaint = ""
        super().__init__(self._build(x_obs), layout={"max_width": "980px"})
        if self.comm is not None:
            self.comm.on_close(lambda _: self._worker.close(0.0))
        replace_previous(self)
        self._worker.wake()

    @property
    def x_obs(self) -> torch.Tensor:
        """The chosen observation (N, F)."""
        return self._observation.x_obs

    def join(self, timeout: float = 60.0) -> bool:
        """Wait until every change is on the picture; False if it took longer (s)."""
        return self._worker.join(timeout)

    def close(self) -> None:
        """Remove the explorer."""
        if hasattr(self, "_worker"):  # ipywidgets also closes what was never finished
            self._worker.close()
        close_tree(self)
        super().close()

    # --- in the worker's thread ---

    def _turn(self) -> bool:
        try:
            for name, value in self._mail.take():
                getattr(self, f"_do_{name}")(value)
            if self._stale:
                self._solve()
            self._draw()
        except ValueError as error:  # an impossible setting: say so, and keep what is shown
            self._complaint = str(error)
            self._tell(self._complaint)
        except Exception as error:
            self._tell(f"{type(error).__name__}: {error}")
        return False

    def _do_schedule(self, _: Any) -> None:
        self.schedule = self.noise.build()
        self._complaint = ""
        self._stale = True

    def _do_solve(self, _: Any) -> None:
        self._stale = True

    def _do_draw(self, _: Any) -> None:
        """Only the step has changed."""

    def _do_problem(self, name: str) -> None:
        self.problem = self._given if name == self._given.name else problems.get(name)
        self._observation = self._pick_from(self.problem, None)
        old = self._observation_box.children
        self._observation_box.children = [self._observation]
        for child in old:
            close_tree(child)
            child.close()
        self._new_problem()

    def _do_draw_x(self, _: Any) -> None:
        _, x = self.problem.sample(1, device="cpu")
        self._observation.choose(x[0])
        self._stale = True

    def _new_problem(self) -> None:
        self._to_latent = latent_map(self.problem)
        self._particles = ProcessPicture(self.problem, self._to_latent)
        self._stale = True

    def _solve(self) -> None:
        self._stale, was_impossible = False, self._process is None
        target = exact_target(self.problem, self.x_obs, self._to_latent, DRAWS)
        steps = self.steps.value
        self._process = Process.solve(self.schedule, target, self.sampler.value, steps)
        if self._process is None:
            raise ValueError(target.why_not)
        if was_impossible:
            self._complaint = ""
        if self.position.max != steps:
            share = self.position.value / self.position.max
            self.position.max = self.player.max = steps
            self.position.value = round(share * steps)

    def _draw(self) -> None:
        if self._process is None:
            return
        index = min(self.position.value, len(self._process.steps) - 1)
        ratio, alpha, sigma = self._process.level(index)
        self._curves.show(self.schedule, self.steps.value, ratio)
        self.curves.value = self._curves.canvas.png()
        self._particles.show(self._process, index)
        self.particles.value = self._particles.canvas.png()
        self._tell(self._complaint)  # a redraw does not make an impossible setting possible
        self.readout.value = (
            f"step {index} of {self.steps.value} &ensp;·&ensp; r = sigma/alpha = {ratio:.3g} &ensp;"
            f"·&ensp; alpha = {alpha:.3g} &ensp;·&ensp; sigma = {sigma:.3g}"
        )

    def _tell(self, message: str) -> None:
        text = f"<b>{escape(message)}</b> The picture stays as it was." if message else ""
        self.message.value = f'<div role="status">{text}</div>'

    # --- building ---

    def _wish(self, name: str, value: Any = None) -> None:
        self._mail.setting(name, value)
        self._worker.wake()

    def _build(self, x_obs: torch.Tensor | None) -> list[Any]:
        self.curves = ipywidgets.Image(format="png", layout={"width": "960px", "height": "230px"})
        self.curves.alt = "alpha, sigma, log-SNR and noise levels of the schedule"
        self.particles = ipywidgets.Image(
            format="png", layout={"width": "960px", "height": "300px"}
        )
        self.particles.alt = "noised exact posterior with its score, and particles"
        self.message, self.readout = ipywidgets.HTML(), ipywidgets.HTML("preparing …")
        self.problem = self._given
        names = list(dict.fromkeys([self._given.name, *problems.available()]))
        self.problem_choice = ui.choice("problem", names, names[0], "whose posterior to noise")
        self.problem_choice.observe(lambda change: self._wish("problem", change["new"]), "value")
        self._observation = self._pick_from(self.problem, x_obs)
        self._observation_box = ipywidgets.VBox([self._observation])
        self._new_problem()
        self.noise = ui.NoiseControls(self.schedule, full=True)
        self.noise.on_change(lambda: self._wish("schedule"))
        self.sampler = ui.sampler_choice("heun")
        self.steps = ui.whole_slider("solver steps", 20, 1, 60, "noise levels that it visits")
        for control in (self.sampler, self.steps):
            control.observe(lambda _: self._wish("solve"), "value")
        self.position = ui.whole_slider(
            "step", round(FIRST_VIEW * 20), 0, 20, "scrub from pure noise (0) to the posterior"
        )
        self.player = ipywidgets.Play(value=self.position.value, min=0, max=20, interval=250)
        self.player.description = "play the reverse process"
        self.links = [ipywidgets.jslink((self.player, "value"), (self.position, "value"))]
        self.position.observe(lambda _: self._wish("draw"), "value")
        scrub = ipywidgets.HBox([self.player, self.position, self.readout])
        panels = ipywidgets.HBox(
            [
                self._observation_box,
                ui.titled("Noise schedule", [self.noise]),
                ui.titled("Posterior and solver", [self.problem_choice, self.sampler, self.steps]),
            ],
            layout={"flex_flow": "row wrap", "grid_gap": "12px"},
        )
        return [self.curves, self.particles, scrub, self.message, panels]

    def _pick_from(self, problem: Problem, x_obs: torch.Tensor | None) -> ObservationPicker:
        return ObservationPicker(
            problem, lambda _: self._wish("solve"), lambda: self._wish("draw_x"), x_obs
        )


def _check(problem: Problem) -> None:
    if problem.dim != 2:
        raise ValueError(
            f"ScheduleExplorer shows two parameters; {problem.name!r} has {problem.dim}."
        )
