"""`LiveTraining`: watch a posterior form, and turn every knob while it does."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
import torch

from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.problems import Problem, TwoMoons
from diffsbi_edu.run import Knobs
from diffsbi_edu.training import History
from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.cells import close_tree, replace_previous
from diffsbi_edu.widgets.export import download_link, write_file
from diffsbi_edu.widgets.frames import Frame
from diffsbi_edu.widgets.history_panel import HistoryPanel
from diffsbi_edu.widgets.live_loop import LiveLoop
from diffsbi_edu.widgets.observation import ObservationPicker
from diffsbi_edu.widgets.trainer import Trainer

_KINDS = {"png": "image/png", "gif": "image/gif", "csv": "text/csv"}
# One transparent pixel, until the first frame is drawn.
BLANK = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000000000005000165f9a2e80000000049454e44ae426082"
)


class LiveTraining(ipywidgets.VBox):
    """A dashboard that trains a `ConditionalDiffusion` and shows its posterior forming.

    Training runs in a background thread that ends by itself, so the kernel stays free. Running the
    same cell again, `close()`, or closing the page ends or pauses it. All controls take effect
    while it trains.

    Args:
        problem: what to learn; `TwoMoons` if None.
        width, depth: of the network.
        steps: optimiser steps in a run.
        device: "auto", "cpu", "cuda", …
        seed: of initial weights, data and noise.
        schedule: where the noise controls start; EDM if None.
        lr, batch_size: where these controls start.
        x_obs: the first observation (N, F); a typical one if None.
        samples: posterior draws in a live frame.
        **model_settings: more arguments of `ConditionalDiffusion`, e.g. encoder, prediction.

    Raises:
        ValueError, TypeError, SimulationError: as `ConditionalDiffusion` does.

    Example:
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> dashboard = LiveTraining(Gaussian2D(), width=16, depth=1, device="cpu")
        >>> history = dashboard.run(5)   # a front end would show it; `run` needs none
        >>> len(history), dashboard.model.sample(dashboard.x_obs, 10).shape
        (5, torch.Size([10, 2]))
        >>> dashboard.close()
    """

    def __init__(
        self,
        problem: Problem | None = None,
        *,
        width: int = 128,
        depth: int = 3,
        steps: int = 3000,
        device: str | torch.device = "auto",
        seed: int = 0,
        schedule: Any = None,
        lr: float = 6e-3,
        batch_size: int = 512,
        x_obs: torch.Tensor | None = None,
        samples: int = 300,
        **model_settings: Any,
    ) -> None:
        self.problem = TwoMoons() if problem is None else problem
        knobs = Knobs(lr=lr, batch_size=batch_size)
        knobs.check()

        def untrained() -> ConditionalDiffusion:
            model = ConditionalDiffusion(
                self.problem, schedule=self._schedule, width=width, depth=depth, device=device,
                seed=seed, **model_settings,
            )  # fmt: skip
            return model

        self._schedule = schedule
        trainer = Trainer(untrained, steps, knobs, seed)
        self._observation = ObservationPicker(
            self.problem,
            on_pick=lambda x: self._loop.setting("x_obs", x),
            on_draw=lambda: self._loop.command("draw_x"),
            x_obs=x_obs,
        )
        self._loop = LiveLoop(
            self.problem, trainer, self._observation.x_obs, samples=samples, show=self._show,
            tell=self._tell, write=self._write, draw_x=self._observation.choose,
        )  # fmt: skip
        super().__init__(self._build(knobs, steps), layout={"max_width": "980px"})
        self._observation.plane.on_presence(lambda here: self._loop.command("page", here))
        if self.comm is not None:
            self.comm.on_close(lambda _: self._loop.worker.close(0.0))
        replace_previous(self)
        self._loop.worker.wake()

    # --- for code ---

    @property
    def model(self) -> ConditionalDiffusion:
        """The model being trained; usable at any time. Reset puts another in its place."""
        return self._loop.trainer.model

    @property
    def history(self) -> History:
        """Every `TrainState` since the last reset."""
        return self._loop.trainer.history

    @property
    def knobs(self) -> Knobs:
        """What the training loop reads before every step."""
        return self._loop.trainer.knobs

    @property
    def x_obs(self) -> torch.Tensor:
        """The chosen observation (N, F)."""
        return self._observation.x_obs

    @property
    def status(self) -> str:
        """What the dashboard is doing: "ready", "training", "paused", "stopped", …"""
        return self._loop.trainer.phase.value

    def run(self, steps: int | None = None) -> History:
        """Train for `steps` (a whole run if None) and wait: the dashboard without a front end.

        Ctrl-C, or the notebook's stop button, stops training and loses nothing.

        Returns:
            The history of these steps; ``interrupted`` says whether it was cut short.

        Raises:
            RuntimeError: the dashboard has been closed.
            TrainingDiverged, SimulationError: whatever training raises.
        """
        loop = self._loop
        if loop.worker.closed:
            raise RuntimeError("this dashboard has been closed; make a new one.")
        loop.command("stop")
        loop.worker.join(float("inf"))
        first, loop.blocking = loop.trainer.step, True
        loop.command("start", steps)
        interrupted = False
        try:
            loop.worker.join(float("inf"))
        except KeyboardInterrupt:
            interrupted = True
            loop.command("stop")
            loop.worker.join(30.0)
        finally:
            loop.blocking = False
        if loop.trainer.error is not None:
            raise loop.trainer.error
        history = History(loop.trainer.history[first:])
        history.interrupted = interrupted
        return history

    def join(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is going on in the background; False if it took longer (s)."""
        return self._loop.worker.join(timeout)

    def close(self) -> None:
        """End training and remove the dashboard; the model stays usable."""
        if hasattr(self, "_loop"):  # ipywidgets also closes what was never finished
            self._loop.worker.close()
        close_tree(self)
        super().close()

    # --- from the worker's thread ---

    def _show(self, frame: Frame) -> None:
        self.image.value = frame.png
        self._observation.plane.forget_silent()
        self.summary.value = _summary(frame, str(self.model.device))
        self.past.show(frame)

    def _tell(self, message: str) -> None:
        self.message.value = f'<div role="status">{escape(message)}</div>'

    def _write(self, suffix: str, content: bytes) -> None:
        name = f"{self.problem.name}_step_{self._loop.trainer.step}.{suffix}"
        path = write_file(Path.cwd() / name, content)
        link = download_link(name, content, _KINDS[suffix]) if len(content) < 2**22 else ""
        self.message.value = f'<div role="status">wrote {escape(str(path))} {link}</div>'

    # --- building ---

    def _build(self, knobs: Knobs, steps: int) -> list[Any]:
        loop = self._loop
        self.image = ipywidgets.Image(
            value=BLANK, format="png", layout={"width": "960px", "min_height": "270px"}
        )
        self.image.alt = "exact posterior, learned posterior, scores and training curves"
        self.summary, self.message = ipywidgets.HTML("preparing …"), ipywidgets.HTML()
        self.buttons = {}
        for name, icon, style, tooltip in (
            ("Start", "play", "success", "begin training, or go on after a pause"),
            ("Pause", "pause", "", "hold training; Start goes on with it"),
            ("Stop", "stop", "", "end this run; what was learnt stays"),
            ("Reset", "refresh", "", "forget everything: an untrained network"),
        ):
            button = ipywidgets.Button(
                description=name, icon=icon, button_style=style, tooltip=tooltip,
                layout={"width": "90px"},
            )  # fmt: skip
            button.on_click(lambda _, name=name: loop.command(name.lower()))
            self.buttons[name] = button
        self.noise = ui.NoiseControls(self.model.schedule, full=False)
        self.noise.on_change(lambda: loop.setting("schedule", self._build_schedule))
        self.past = HistoryPanel(loop)
        panels = ipywidgets.HBox(
            [
                self._observation,
                ipywidgets.VBox(
                    [ui.titled("Noise", [self.noise]), self._build_training(knobs, steps)]
                ),
                ipywidgets.VBox([self._build_sampling(), self.past]),
            ],
            layout={"flex_flow": "row wrap", "grid_gap": "12px"},
        )
        bar = ipywidgets.HBox([*self.buttons.values()], layout={"flex_flow": "row wrap"})
        return [bar, self.summary, self.image, self.message, panels]

    def _build_schedule(self) -> Any:
        self._schedule = self.noise.build()  # a reset keeps it
        return self._schedule

    def _build_training(self, knobs: Knobs, steps: int) -> Any:
        self.lr = ui.log_slider("learning rate", knobs.lr, 1e-5, 1, "peak learning rate of Adam")
        sizes = sorted({*ui.BATCH_SIZES, knobs.batch_size})
        self.batch_size = ipywidgets.SelectionSlider(
            options=sizes, value=knobs.batch_size, description="batch size",
            **ui.style("simulated pairs (theta, x) in a step"),
        )  # fmt: skip
        self.run_steps = ipywidgets.BoundedIntText(
            value=steps, min=1, max=10**7, description="steps in a run",
            **ui.style("length of the next run; the learning rate falls to 0 over it"),
        )  # fmt: skip
        for name in ("lr", "batch_size", "run_steps"):
            self._connect(getattr(self, name), name)
        return ui.titled("Training", [self.lr, self.batch_size, self.run_steps])

    def _build_sampling(self) -> Any:
        view = self._loop.view
        self.sampler = ui.sampler_choice(view.sampler)
        self.solver_steps = ui.whole_slider(
            "solver steps", view.solver_steps, 1, 60, "noise levels that the sampler visits"
        )
        self.level = ui.log_slider("score at r", view.level, 0.01, 10, "noise level of the arrows")
        for name in ("sampler", "solver_steps", "level"):
            self._connect(getattr(self, name), name)
        return ui.titled("Sampling", [self.sampler, self.solver_steps, self.level])

    def _connect(self, control: Any, setting: str) -> None:
        control.observe(lambda change: self._loop.setting(setting, change["new"]), "value")


def _summary(frame: Frame, device: str) -> str:
    parts = [f"<b>{frame.phase.value}</b>", f"step {frame.step:,} of {frame.goal:,}"]
    if frame.loss is not None:
        parts += [f"loss {frame.loss:.3f}", f"{frame.pairs_per_second:,.0f} pairs/s"]
    parts += [f"device {escape(device)}"]
    parts += ["C2ST –" if frame.c2st is None else f"C2ST {frame.c2st:.2f} (0.5 is exact)"]
    bar = f'<progress value="{frame.step}" max="{frame.goal}" aria-label="progress"></progress>'
    return f"{bar}&ensp;" + " &ensp;·&ensp; ".join(parts)
