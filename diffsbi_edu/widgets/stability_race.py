"""`StabilityRace`: a flow and a diffusion model, same data, same clock, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

import ipywidgets
import torch

from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.flow import ConditionalFlow
from diffsbi_edu.problems import Problem, WitchsHat
from diffsbi_edu.run import Knobs
from diffsbi_edu.training import History
from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.cells import close_tree, replace_previous
from diffsbi_edu.widgets.live_training import BLANK
from diffsbi_edu.widgets.race import Race
from diffsbi_edu.widgets.racer import Standing

DIFFUSION = "diffusion"
#: What may race against the diffusion model: label → arguments of `ConditionalFlow`.
OPPONENTS: dict[str, dict[str, Any]] = {
    "coupling": {"flow": "coupling"},
    "coupling_loose": {"flow": "coupling", "clamp": 2.0},
    "maf": {"flow": "maf"},
    "nsf": {"flow": "nsf"},
}
LABELS = {
    "coupling": "coupling flow (paper's clamp)",
    "coupling_loose": "coupling flow (loose clamp)",
    "maf": "masked autoregressive flow",
    "nsf": "neural spline flow",
}


class StabilityRace(ipywidgets.VBox):
    """A dashboard in which a diffusion model and a normalizing flow train side by side.

    Both see the same data in the same order: one pool of simulated pairs. They take turns on one
    clock, the one that has had less training time moving next, until both have had `seconds` of it;
    so the cheaper step makes more of them. The learning rate of both falls along a cosine of the
    clock. A racer that diverges stops, and the race goes on without it.

    Args:
        problem: what to learn; `WitchsHat` in 5 dimensions if None.
        flow: the opponent: "coupling" (the paper's), "coupling_loose" (its scales clamped at
            e^±2, not e^±0.1), "maf" or "nsf".
        seconds: training time of each racer.
        lr: peak learning rate of both.
        clip: largest gradient norm; inf for no clipping.
        batch_size: pairs a step.
        pool: simulated pairs that both are trained on; a multiple of batch_size is best.
        observations: name → x_obs (N, F), to choose from; for the Witch's hat an x in the middle,
            one at an edge and one outside the box, for others two simulated ones.
        diffusion_settings, flow_settings: more arguments of the two estimators.
        device: "auto", "cpu", "cuda", …
        seed: of weights, data and noise.

    Raises:
        ValueError, TypeError, SimulationError: as the estimators do; an unknown flow, impossible
            knobs, seconds not positive.

    Example:
        >>> from diffsbi_edu.problems import Gaussian2D
        >>> race = StabilityRace(Gaussian2D(), flow="maf", device="cpu", pool=2048)
        >>> diffusion, flow = race.run(seconds=0.2)
        >>> diffusion.status, flow.status
        ('finished', 'finished')
        >>> race.close()
    """

    def __init__(
        self,
        problem: Problem | None = None,
        *,
        flow: str = "coupling",
        seconds: float = 20.0,
        lr: float = 3e-3,
        clip: float = 1.0,
        batch_size: int = 512,
        pool: int = 2**17,
        observations: Mapping[str, torch.Tensor] | None = None,
        diffusion_settings: Mapping[str, Any] | None = None,
        flow_settings: Mapping[str, Any] | None = None,
        device: str | torch.device = "auto",
        seed: int = 0,
    ) -> None:
        if flow not in OPPONENTS:
            raise unknown_name("flow", flow, OPPONENTS)
        _check_seconds(seconds)
        if pool < batch_size:
            raise ValueError(f"pool, {pool} pairs, must hold at least one batch of {batch_size}.")
        self.problem = WitchsHat() if problem is None else problem
        self._flow_settings, self._where = dict(flow_settings or {}), {"device": device}
        self._seed = seed
        knobs = Knobs(lr=lr, clip=clip, batch_size=batch_size)
        knobs.check()
        self.observations = dict(observations or _presets(self.problem))
        settings = {**(diffusion_settings or {}), **self._where}
        makers: dict[str, Callable[[], Estimator]] = {
            DIFFUSION: partial(ConditionalDiffusion, self.problem, seed=seed, **settings),
            flow: self._maker(flow),
        }
        first = next(iter(self.observations.values()))
        self._race = Race(
            self.problem, makers, first, seconds=seconds, knobs=knobs, pool=pool, seed=seed,
            show=self._show, tell=self._tell,
        )  # fmt: skip
        super().__init__(self._build(flow, knobs, seconds), layout={"max_width": "980px"})
        if self.comm is not None:
            self.comm.on_close(lambda _: self._race.worker.close(0.0))
        replace_previous(self)
        self._race.worker.wake()

    # --- for code ---

    @property
    def models(self) -> dict[str, Estimator]:
        """Name → the model as it is now; a reset puts others in their place."""
        return {racer.name: racer.trainer.model for racer in self._race.racers}

    @property
    def histories(self) -> dict[str, History]:
        """Name → every `TrainState` since the last reset."""
        return {racer.name: racer.trainer.history for racer in self._race.racers}

    @property
    def results(self) -> list[Standing]:
        """The scoreboard: diffusion first, then the flow."""
        return self._race.standings()

    def run(self, seconds: float | None = None) -> list[Standing]:
        """Race from the start to the end and wait: the dashboard without a front end.

        Ctrl-C, or the notebook's stop button, holds the race and loses nothing.

        Args:
            seconds: training time of each racer; None for what the slider says.

        Returns:
            The scoreboard; a racer that diverged has the status "diverged".

        Raises:
            RuntimeError: the dashboard has been closed.
            ValueError: seconds not positive.
        """
        race = self._race
        if race.worker.closed:
            raise RuntimeError("this dashboard has been closed; make a new one.")
        if seconds is not None:
            _check_seconds(seconds)
            race.setting("seconds", float(seconds))
        race.command("reset")
        race.command("start")
        try:
            race.worker.join(float("inf"))
        except KeyboardInterrupt:
            race.command("pause")
            race.worker.join(30.0)
        return self.results

    def join(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is going on in the background; False if it took longer (s)."""
        return self._race.worker.join(timeout)

    def close(self) -> None:
        """End the race and remove the dashboard; the models stay usable."""
        if hasattr(self, "_race"):  # ipywidgets also closes what was never finished
            self._race.worker.close()
        close_tree(self)
        super().close()

    # --- from the worker's thread ---

    def _show(self, png: bytes, standings: list[Standing]) -> None:
        self.image.value = png
        self.scoreboard.value = _table(standings, self._race.seconds)

    def _tell(self, message: str) -> None:
        self.message.value = f'<div role="status">{escape(message)}</div>'

    # --- building ---

    def _maker(self, flow: str) -> Callable[[], Estimator]:
        settings = {**OPPONENTS[flow], **self._flow_settings, **self._where}
        return partial(ConditionalFlow, self.problem, seed=self._seed, **settings)

    def _build(self, flow: str, knobs: Knobs, seconds: float) -> list[Any]:
        race = self._race
        self.image = ipywidgets.Image(
            value=BLANK, format="png", layout={"width": "960px", "min_height": "480px"}
        )
        self.image.alt = "exact and learned posteriors, losses and gradient norms of both racers"
        self.scoreboard, self.message = ipywidgets.HTML("preparing …"), ipywidgets.HTML()
        self.buttons = {}
        for name, icon, style, tooltip in (
            ("Start", "play", "success", "begin the race, or go on after a pause"),
            ("Pause", "pause", "", "hold the race; Start goes on with it"),
            ("Reset", "refresh", "", "both back to untrained networks"),
        ):
            button = ipywidgets.Button(
                description=name, icon=icon, button_style=style, tooltip=tooltip,
                layout={"width": "90px"},
            )  # fmt: skip
            button.on_click(lambda _, name=name: race.command(name.lower()))
            self.buttons[name] = button
        self.flow = ui.choice(
            "opponent", [(LABELS[name], name) for name in OPPONENTS], flow,
            "the flow that races against the diffusion model; both begin anew",
        )  # fmt: skip
        self.lr = ui.log_slider("learning rate", knobs.lr, 1e-5, 1, "peak learning rate of both")
        self.clip = ipywidgets.Checkbox(
            value=math.isfinite(knobs.clip), description="clip gradients at norm 1", indent=False,
            tooltip="scale larger gradients down", layout={"width": ui.WIDTH},
        )  # fmt: skip
        self.seconds = ui.slider(
            "seconds each", seconds, min(1.0, seconds), max(120.0, seconds), 1.0,
            "training time of each racer",
        )  # fmt: skip
        names = list(self.observations)
        self.observation = ui.choice("x is", names, names[0], "whose posterior is shown and judged")
        self._connect()
        bar = ipywidgets.HBox([*self.buttons.values()], layout={"flex_flow": "row wrap"})
        panels = ipywidgets.HBox(
            [
                ui.titled("Race", [self.flow, self.seconds]),
                ui.titled("Both", [self.lr, self.clip]),
                ui.titled("Observation", [self.observation]),
            ],
            layout={"flex_flow": "row wrap", "grid_gap": "12px"},
        )
        return [bar, self.image, self.scoreboard, self.message, panels]

    def _connect(self) -> None:
        race = self._race
        self.flow.observe(
            lambda change: race.setting("opponent", (change["new"], self._maker(change["new"]))),
            "value",
        )
        self.lr.observe(lambda change: race.setting("lr", change["new"]), "value")
        self.seconds.observe(lambda change: race.setting("seconds", change["new"]), "value")
        self.clip.observe(
            lambda change: race.setting("clip", 1.0 if change["new"] else math.inf), "value"
        )
        self.observation.observe(
            lambda change: race.setting("x_obs", self.observations[change["new"]]), "value"
        )


def _check_seconds(seconds: float) -> None:
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds, the training time of each racer, must be > 0, got {seconds}.")


def _presets(problem: Problem) -> dict[str, torch.Tensor]:
    if isinstance(problem, WitchsHat):
        places = {"in the middle": 0.5, "at an edge of the box": 0.89, "outside the box": 0.97}
        rest = [0.45, 0.55, 0.6, 0.4, 0.5, 0.35]
        return {
            name: torch.tensor([[first, *(rest[i % 6] for i in range(problem.dim - 1))]])
            for name, first in places.items()
        }
    n_obs = None if problem.fixed_n_obs else problem.draw_n_obs(torch.Generator())
    _, x = problem.sample(2, seed=20240410, device="cpu", n_obs=n_obs)
    return {"one simulated data set": x[0], "another": x[1]}


def _table(standings: list[Standing], seconds: float) -> str:
    """The scoreboard as HTML."""
    heads = ("", "status", "steps", "ms a step", "loss", "largest gradient", "worst spike", "C2ST")
    rows = []
    for s in standings:
        status = f"{s.status}, loss jumped" if s.jumped and s.status != "diverged" else s.status
        if s.status == "training":
            status = f"training, {min(s.seconds, seconds):.0f} of {seconds:g} s"
        cells = [
            f"<b>{escape(s.name)}</b>", escape(status), f"{s.steps:,}",
            f"{1000 * s.seconds / s.steps:.1f}" if s.steps else "–",
            _number(s.loss), _number(s.largest_grad_norm), _number(s.worst_spike), _number(s.c2st),
        ]  # fmt: skip
        rows.append("".join(f'<td style="padding:1px 12px 1px 0">{c}</td>' for c in cells))
    head = "".join(f'<th style="text-align:left;padding-right:12px">{h}</th>' for h in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
