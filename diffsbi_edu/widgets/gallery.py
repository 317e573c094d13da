"""`Gallery`: pick a problem of the benchmark, read its story, train two methods on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import ipywidgets
import torch

from diffsbi_edu import problems
from diffsbi_edu.cases import CASES, GROUPS, METHODS
from diffsbi_edu.diagnostics.sbc import exact_ks
from diffsbi_edu.errors import unknown_name
from diffsbi_edu.findings import findings
from diffsbi_edu.problems import Problem
from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.cells import close_tree, replace_previous
from diffsbi_edu.widgets.gallery_loop import GalleryLoop, Score
from diffsbi_edu.widgets.gallery_room import Room
from diffsbi_edu.widgets.live_training import BLANK
from diffsbi_edu.widgets.plane import DataPlane

SECONDS, LEAST, MOST = 10, 5, 60
BUTTONS = {
    "start": ("Train both", "play", "success", "begin training, or go on after a pause"),
    "pause": ("Pause", "pause", "", "hold training; Train both goes on with it"),
    "reset": ("Reset", "refresh", "", "forget both models"),
    "new": ("New data", "random", "", "another theta, and data simulated from it"),
}


class Gallery(ipywidgets.VBox):
    """A dashboard with one room for each problem of the benchmark.

    A problem's story, its data, its prior and, where it is known, its exact posterior; and a
    diffusion and a spline flow, trained on it for the same *time* on one core, with the summary
    network, the batch size and the settings that the benchmark gives them. At the end both are
    judged: by SBC over data of the prior, and by C2ST at the data on show.

    Training runs in a background thread that ends by itself. Running the same cell again,
    `close()`, or closing the page ends or pauses it.

    Args:
        problem: where the tour starts; a name from the benchmark's list.
        seed: of weights, data and noise.

    Raises:
        ValueError: an unknown problem; the nearest is offered.

    Example:
        >>> gallery = Gallery("poisson_gamma")
        >>> gallery.join(60.0), gallery.status, tuple(gallery.x_obs.shape)
        (True, 'ready', (1, 10))
        >>> gallery.close()
    """

    def __init__(self, problem: str = "two_moons", *, seed: int = 0) -> None:
        if problem not in CASES:
            raise unknown_name("problem", problem, CASES)
        self._loop = GalleryLoop(
            problem, seconds=SECONDS, seed=seed, show=self._show, tell=self._tell
        )
        #: what is known of the two methods, in their order.
        self.scores: list[Score] = self._loop.scores
        self._shown = problem
        super().__init__(self._build(problem), layout={"max_width": "980px"})
        self.image.on_presence(lambda here: self._loop.command("page", here))
        if self.comm is not None:
            self.comm.on_close(lambda _: self._loop.worker.close(0.0))
        replace_previous(self)
        self._loop.worker.wake()

    # --- for code ---

    @property
    def problem(self) -> Problem:
        """The problem on show."""
        return self._loop.room.problem

    @property
    def models(self) -> dict[str, Any]:
        """Method → the model being trained; empty before the training."""
        return {racer.name: racer.trainer.model for racer in self._loop.racers}

    @property
    def status(self) -> str:
        """What it is doing: "ready", "training", "paused", "judging", "finished", "failed"."""
        return self._loop.phase

    @property
    def x_obs(self) -> torch.Tensor:
        """The data on show, (N, F)."""
        return self._loop.room.x

    def join(self, timeout: float = 60.0) -> bool:
        """Wait until nothing is going on in the background; False if it took longer (s)."""
        return self._loop.worker.join(timeout)

    def close(self) -> None:
        """End training and remove the dashboard; the models stay usable."""
        if hasattr(self, "_loop"):  # ipywidgets also closes what was never finished
            self._loop.worker.close()
        close_tree(self)
        super().close()

    # --- from the worker's thread ---

    def _show(self, png: bytes | None, scores: list[Score], phase: str, room: Room) -> None:
        self.scores = scores
        if png is not None:
            self.image.picture = png
        self.table.value = f"<b>{phase}</b>{_table(scores, room)}"
        if room.name != self._shown:  # other parameters
            self._shown = room.name
            self.words.value = _words(room.name)
            names = self._loop.room.problem.theta_names
            for place, name in enumerate(("first", "second")):
                control = self.controls[name]
                control.options = _numbered(names)
                control.value = room.pair[place]

    def _tell(self, message: str) -> None:
        self.message.value = f'<div role="status">{escape(message)}</div>'

    # --- building ---

    def _build(self, problem: str) -> list[Any]:
        self.image = DataPlane(picture=BLANK, clickable=False, layout={"min_height": "450px"})
        self.image.label = "the data, two parameters, the first of them, and SBC"
        self.words = ipywidgets.HTML(_words(problem), layout={"min_height": "90px"})
        self.table, self.message = ipywidgets.HTML("<b>preparing</b>"), ipywidgets.HTML()
        self.buttons = {name: self._button(name) for name in BUTTONS}
        names = self._loop.room.problem.theta_names
        self.controls: dict[str, Any] = {
            "problem": ui.choice(
                "problem", _grouped(), problem, "which room of the gallery; grouped as in the suite"
            ),
            "seconds": ui.whole_slider(
                "seconds each", SECONDS, LEAST, MOST, "training time of either model, on one core"
            ),
            "first": ui.choice("parameter", _numbered(names), 0, "the first one on show"),
            "second": ui.choice(
                "and", _numbered(names), min(1, len(names) - 1), "the second one on show"
            ),
        }
        for name in ("problem", "seconds"):
            self._connect(name, name, partial(getattr, self.controls[name], "value"))
        for name in ("first", "second"):
            self._connect(name, "pair", self._pair)
        bar = _row([self.controls["problem"], *self.buttons.values()])
        panels = _row([self.controls[name] for name in ("seconds", "first", "second")])
        return [bar, self.words, self.image, panels, self.table, self.message]

    def _pair(self) -> tuple[int, int]:
        # None for a moment, while the options are being replaced.
        first, second = (self.controls[name].value for name in ("first", "second"))
        return (first or 0, second or 0)

    def _connect(self, control: str, setting: str, read: Callable[[], Any]) -> None:
        self.controls[control].observe(lambda _: self._loop.setting(setting, read), "value")

    def _button(self, name: str) -> Any:
        description, icon, style, tooltip = BUTTONS[name]
        button = ipywidgets.Button(
            description=description, icon=icon, button_style=style, tooltip=tooltip,
            layout={"width": "110px"},
        )  # fmt: skip
        button.on_click(lambda _: self._loop.command(name))
        return button


def _grouped() -> list[tuple[str, str]]:
    """Label and name of every problem, group by group."""
    return [
        (f"{group}: {case.problem}", case.problem)
        for group in GROUPS
        for case in CASES.values()
        if case.group == group
    ]


def _numbered(names: Any) -> list[tuple[str, int]]:
    return [(name, place) for place, name in enumerate(names)]


def _words(problem: str) -> str:
    case = CASES[problem]
    network = f"summary network: {case.encoder}" if case.encoder else "no summary network"
    record = _record(problem)
    return f"<p>{escape(problems.story(problem))}</p><p><i>{case.group}; {network}</i></p>" + (
        f"<p>{escape(record)}</p>" if record else ""
    )


def _record(problem: str) -> str:
    """What the suite found here, in a sentence; empty if it was never run on this problem."""
    parts, runs, exact = [], set(), 0.0
    for found in findings(problem):
        c2st = "" if found.c2st is None else f" and a C2ST of {found.c2st:.2f}"
        title = METHODS[found.method].title if found.method in METHODS else found.method
        parts.append(f"{title}, an SBC distance (KS) of {found.sbc_ks:.3f}{c2st}")
        runs.add(found.runs)
        exact = exact_ks(found.n_sims, found.n_samples)
    if not parts:
        return ""
    number = str(min(runs)) if len(runs) == 1 else f"{min(runs)}–{max(runs)}"
    number += " run" if runs == {1} else " runs"
    return (
        f"In the suite, after a minute or two of training ({number} of each): "
        + "; ".join(parts)
        + f". An exact posterior would have about {exact:.3f} and 0.50."
    )


def _table(scores: list[Score], room: Room) -> str:
    """Both methods' numbers, as far as they are known."""
    heads = ("", "steps", "seconds", "SBC: KS distance", "SBC: p", "C2ST at these data")
    lines = ["".join(f'<th style="padding-right:16px">{head}</th>' for head in heads)]
    for score in scores:
        found = score.sbc
        cells = (
            score.name if score.status != "diverged" else f"{score.name} (diverged)",
            f"{score.steps:,}",
            f"{score.seconds:.1f}",
            "–" if found is None else f"{float(found.ks.mean()):.3f}",
            "–" if found is None else f"{found.p_value:.3f}",
            "–" if score.c2st is None else f"{score.c2st:.2f}",
        )
        lines.append("".join(f'<td style="padding-right:16px">{c}</td>' for c in cells))
    notes = [room.why_not]
    judged = next((s.sbc for s in scores if s.sbc is not None), None)
    if judged is not None:
        exact = exact_ks(len(judged.ranks), judged.n_samples)
        notes.append(
            f"KS: mean over parameters, {len(judged.ranks)} simulations; an exact posterior would "
            f"have about {exact:.3f}. C2ST: 0.5 is perfect, 1 hopeless."
        )
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    said = "".join(f"<p>{escape(note)}</p>" for note in notes if note)
    return f'<table role="status">{rows}</table>{said}'


def _row(children: list[Any]) -> Any:
    return ipywidgets.HBox(children, layout={"flex_flow": "row wrap", "align_items": "center"})
