"""`EncoderLab`: train a summary network, then shuffle, shorten and lengthen its data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from itertools import combinations
from typing import Any

import ipywidgets
import torch

from diffsbi_edu.diffusion import ConditionalDiffusion
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.problems import AR1, NormalGamma, Problem
from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.cells import close_tree, replace_previous
from diffsbi_edu.widgets.encoder_loop import EncoderFrame, EncoderLoop
from diffsbi_edu.widgets.encoder_menu import COLOURS, ENCODERS, trained_range
from diffsbi_edu.widgets.encoder_picture import Moment
from diffsbi_edu.widgets.encoder_words import in_words, run_line
from diffsbi_edu.widgets.live_training import BLANK
from diffsbi_edu.widgets.plane import DataPlane

N_OBS = (5, 200)  # the range that the two problems are trained on: small, for speed
BEYOND = 5  # the largest N on offer, in units of the largest one trained on
FIRST_N = 50
BUTTONS = {
    "train": ("Train", "play", "success", "begin training, or go on after a pause"),
    "pause": ("Pause", "pause", "", "hold training; Train goes on with it"),
    "reset": ("Reset", "refresh", "", "forget everything: an untrained network"),
    "new": ("New data", "random", "", "another theta, and data simulated from it"),
    "shuffle": ("Shuffle", "th", "", "put the observations into a random order"),
    "reverse": ("Reverse", "exchange", "", "put the observations into the opposite order"),
    "restore": ("Original order", "undo", "", "put the observations back"),
}


class EncoderLab(ipywidgets.VBox):
    """A dashboard that trains a summary network and shows what its summary depends on.

    On the left the data, in the middle their summary s among those of other data sets, on the right
    the learned posterior beside the exact one. Shuffling the data moves neither s nor the posterior
    of a network made for sets; a network made for sequences has to learn as much, or, if the data
    are a time series, must not.

    Training runs in a background thread that ends by itself. Running the same cell again,
    `close()`, or closing the page ends or pauses it.

    Args:
        problem: one with an exact posterior; if None, `NormalGamma` and `AR1` with 5 to 200
            observations are on offer.
        encoder: where the choice of summary networks starts; one of "DeepSets", "SetTransformer",
            "BiLSTM", "GRU", "TemporalConv", "SequenceTransformer" and "Statistics" (by hand).
        steps: optimiser steps in a run, of 64 simulated pairs each.
        seed: of weights, data, noise and permutations.

    Raises:
        TypeError: `problem` is not a `Problem`.
        ValueError: an unknown encoder, or steps below 1.
        NoExactPosterior: the problem has none.

    Example:
        >>> lab = EncoderLab(encoder="Statistics", steps=5)
        >>> lab.buttons["train"].click(), lab.join(60.0), lab.step
        (None, True, 5)
        >>> lab.buttons["shuffle"].click(), lab.join(60.0), round(lab.moment.moved, 3)
        (None, True, 0.0)
        >>> lab.close()
    """

    def __init__(
        self,
        problem: Problem | None = None,
        *,
        encoder: str = "DeepSets",
        steps: int = 2000,
        seed: int = 0,
    ) -> None:
        if problem is not None and not isinstance(problem, Problem):
            raise TypeError(f"problem must be a diffsbi_edu.Problem or None, got {type(problem)}.")
        if encoder not in ENCODERS:
            raise unknown_name("encoder", encoder, ENCODERS)
        if steps < 1:
            raise ValueError(f"steps, the length of a run, must be at least 1, got {steps}.")
        if problem is None:
            self.problems: dict[str, Problem] = {
                "independent data (normal)": NormalGamma(N_OBS),
                "a time series (AR(1))": AR1(N_OBS),
            }
        else:
            self.problems = {problem.name: problem}
        first = next(iter(self.problems.values()))
        #: what the last picture shows; None before the first.
        self.moment: Moment | None = None
        self._trained = trained_range(first)
        n, most = self._first_sizes()
        self._loop = EncoderLoop(
            first, encoder, n=n, most=most, steps=steps, seed=seed, show=self._show,
            tell=self._tell,
        )  # fmt: skip
        first.posterior(self.x_obs)  # a problem without one says so here
        super().__init__(self._build(encoder, n), layout={"max_width": "980px"})
        self.image.on_presence(lambda here: self._loop.command("page", here))
        if self.comm is not None:
            self.comm.on_close(lambda _: self._loop.worker.close(0.0))
        replace_previous(self)
        self._loop.worker.wake()

    # --- for code ---

    @property
    def problem(self) -> Problem:
        """The problem that is learnt."""
        return self._loop.problem

    @property
    def model(self) -> ConditionalDiffusion:
        """The model being trained; Reset or another choice puts another in its place."""
        return self._loop.trainer.model

    @property
    def step(self) -> int:
        """Optimiser steps made since the model was new."""
        return self._loop.trainer.step

    @property
    def status(self) -> str:
        """What the dashboard is doing: "ready", "training", "paused", "finished", "failed"."""
        return self._loop.trainer.phase.value

    @property
    def x_obs(self) -> torch.Tensor:
        """The observed data in their present order, (N, F)."""
        return self._loop.data.x

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

    def _show(self, frame: EncoderFrame) -> None:
        self.summary.value = run_line(frame)
        if frame.moment is None or frame.png is None:
            return
        self.moment, self.image.picture = frame.moment, frame.png
        self.words.value = escape(in_words(frame, frame.moment))
        pairs = _pairs(frame.problem)
        if [*self.controls["pair"].options] != pairs:  # another problem has other parameters
            self.controls["pair"].options = pairs

    def _tell(self, message: str) -> None:
        self.message.value = f'<div role="status">{escape(message)}</div>'

    # --- building ---

    def _first_sizes(self) -> tuple[int | None, int | None]:
        if self._trained is None:
            return None, None
        low, high = self._trained
        return min(max(FIRST_N, low), high), BEYOND * high

    def _build(self, encoder: str, n: int | None) -> list[Any]:
        self.image = DataPlane(picture=BLANK, clickable=False, layout={"min_height": "330px"})
        self.image.label = "the data, their summary among others, learned and exact posterior"
        self.summary, self.message = ipywidgets.HTML("preparing …"), ipywidgets.HTML()
        # Room for three lines, lest the controls below move when there is more to be said.
        self.words = ipywidgets.HTML(layout={"min_height": "84px"})
        self.buttons = {name: self._button(name) for name in BUTTONS}
        self.controls: dict[str, Any] = {
            "problem": ui.choice(
                "problem", list(self.problems), next(iter(self.problems)), "what is to be inferred"
            ),
            "encoder": ui.choice(
                "encoder", [(label, name) for name, label in ENCODERS.items()], encoder,
                "what turns the data into s; another one begins untrained",
            ),
            "n_obs": self._n_slider(n),
            "colour": ui.choice(
                "colour by", list(COLOURS), next(iter(COLOURS)),
                "statistic that colours the data sets in summary space",
            ),
            "pair": ui.choice(
                "parameters", _pairs(self.problem), _pairs(self.problem)[0][1],
                "which are shown on the right",
            ),
        }  # fmt: skip
        for name in ("problem", "encoder", "colour", "pair"):
            self.controls[name].style.description_width = "75px"  # more room for the choices
        for name in ("encoder", "n_obs", "colour", "pair"):
            self._connect(name, partial(getattr, self.controls[name], "value"))
        self._connect("problem", lambda: self.problems[self.controls["problem"].value])
        bar = [self.buttons[name] for name in ("train", "pause", "reset")]
        orders = [self.buttons[name] for name in ("shuffle", "reverse", "restore", "new")]
        columns = [
            ui.titled("Model", [self.controls["problem"], self.controls["encoder"]]),
            ui.titled("Data", [self.controls["n_obs"], _row(orders[:2]), _row(orders[2:])]),
            ui.titled("Picture", [self.controls["colour"], self.controls["pair"]]),
        ]
        panels = ipywidgets.HBox(columns, layout={"flex_flow": "row wrap", "grid_gap": "12px"})
        return [_row([*bar, self.summary]), self.image, self.words, self.message, panels]

    def _connect(self, name: str, read: Callable[[], Any]) -> None:
        self.controls[name].observe(lambda _: self._loop.setting(name, read), "value")

    def _button(self, name: str) -> Any:
        description, icon, style, tooltip = BUTTONS[name]
        button = ipywidgets.Button(
            description=description, icon=icon, button_style=style, tooltip=tooltip,
            layout={"width": "90px" if name in ("train", "pause", "reset") else "145px"},
        )  # fmt: skip
        commands: dict[str, tuple[str, Any]] = {
            "train": ("start", None), "pause": ("pause", None), "reset": ("reset", None),
        }  # fmt: skip
        command = commands.get(name, ("data", name))
        button.on_click(lambda _: self._loop.command(*command))
        return button

    def _n_slider(self, n: int | None) -> Any:
        """1, 2, 3, 5, 7 times powers of ten; what was not trained on is marked."""
        if self._trained is None or n is None:
            only = len(self.x_obs)
            sizes, (low, high) = [only], (only, only)
        else:
            low, high = self._trained
            digits = {d * 10**power for power in range(8) for d in (1, 2, 3, 5, 7)}
            digits = {d for d in digits if d <= BEYOND * high}
            sizes = sorted(digits | {1, low, high, n})
        return ipywidgets.SelectionSlider(
            options=[(f"{v}" if low <= v <= high else f"{v} (beyond)", v) for v in sizes],
            value=len(self.x_obs), description="observations N", disabled=len(sizes) == 1,
            **ui.style(f"number of observations; trained on {low} to {high}"),
        )  # fmt: skip


def _pairs(problem: Problem) -> list[tuple[str, tuple[int, int]]]:
    """Labels and indices of any two parameters; of the only one, twice."""
    names = problem.theta_names
    if len(names) == 1:
        return [(names[0], (0, 0))]
    return [(f"{names[i]}, {names[j]}", (i, j)) for i, j in combinations(range(len(names)), 2)]


def _row(children: list[Any]) -> Any:
    return ipywidgets.HBox(children, layout={"flex_flow": "row wrap", "align_items": "center"})
