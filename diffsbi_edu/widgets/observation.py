"""Choosing the observation: click in the data plane, move a slider, or draw a new data set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
import torch

from diffsbi_edu.problems import Problem
from diffsbi_edu.widgets.canvas import GREY, MARK, SMALL, Canvas, png_bytes
from diffsbi_edu.widgets.plane import DataPlane

MOST_SLIDERS = 4


class ObservationPicker(ipywidgets.VBox):
    """Plane, sliders and a button; calls back with the new x_obs (N, F).

    One slider for each feature of a single observation (N = 1, up to four features), and a
    clickable plane where there are two. Larger data sets are drawn afresh by the button.

    Args:
        problem: prior and simulator.
        on_pick: called with the new x_obs (N, F), on whatever thread the choice arrives.
        on_draw: called when the button is pressed; should bring about `choose` with new data.

    Example:
        >>> from diffsbi_edu.problems import TwoMoons
        >>> chosen = []
        >>> picker = ObservationPicker(TwoMoons(), chosen.append, lambda: None)
        >>> picker.sliders[0].value = 0.25
        >>> chosen[-1].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        problem: Problem,
        on_pick: Callable[[torch.Tensor], None],
        on_draw: Callable[[], None],
        x_obs: torch.Tensor | None = None,
    ) -> None:
        self._on_pick = on_pick
        n_obs = None if problem.fixed_n_obs else problem.draw_n_obs(torch.Generator())
        _, data = problem.sample(500, seed=0, device="cpu", n_obs=n_obs)
        self.x_obs = _typical(data) if x_obs is None else x_obs.reshape(-1, data.shape[-1])
        features = data.shape[-1]
        self._names = problem.x_names or tuple(f"x {i + 1}" for i in range(features))
        single = len(self.x_obs) == 1 and data.shape[1] == 1
        # Plane and sliders follow one another: the flag tells their echo from a choice, and the
        # lock keeps choices that arrive on several threads apart.
        self._moving, self._lock = False, threading.RLock()
        self._canvas = Canvas((2.5, 2.4))
        self.plane = DataPlane(clickable=single and features == 2, names=list(self._names[:2]))
        self.plane.label = (
            "Data plane: click, drag or use the arrow keys to choose x."
            if self.plane.clickable
            else "The observed data x."
        )
        self.sliders = self._make_sliders(data) if single and features <= MOST_SLIDERS else []
        button = ipywidgets.Button(
            description="Draw a new x", icon="random", tooltip="Simulate a new observation",
            layout={"width": "auto"},
        )  # fmt: skip
        button.on_click(lambda _: on_draw())
        self._draw_plane(data)
        self.choose(self.x_obs)
        self.plane.observe(self._from_plane, "point")
        for slider in self.sliders:
            slider.observe(self._from_sliders, "value")
        super().__init__([self.plane, *self.sliders, button], layout={"width": "262px"})

    def choose(self, x_obs: torch.Tensor) -> None:
        """Move the controls to x_obs (N, F), without calling back."""
        with self._lock:
            self._moving = True
            try:
                self.x_obs = x_obs
                for slider, value in zip(self.sliders, x_obs[0].tolist()):
                    slider.value = float(np.clip(value, slider.min, slider.max))
                if self.plane.clickable:
                    self.plane.point = x_obs[0].tolist()
                elif not self.sliders:
                    self._draw_data(x_obs)
            finally:
                self._moving = False

    def _pick(self, read: Callable[[], list[float]]) -> None:
        with self._lock:
            if not self._moving:
                x_obs = torch.tensor([read()])
                self.choose(x_obs)
                self._on_pick(x_obs)

    def _from_plane(self, _: dict[str, Any]) -> None:
        self._pick(lambda: list(self.plane.point))

    def _from_sliders(self, _: dict[str, Any]) -> None:
        self._pick(lambda: [slider.value for slider in self.sliders])

    def _make_sliders(self, data: torch.Tensor) -> list[Any]:
        sliders = []
        for i, name in enumerate(self._names[: data.shape[-1]]):
            low, high = _limits(data[:, 0, i])
            sliders.append(
                ipywidgets.FloatSlider(
                    min=low, max=high, step=(high - low) / 200, description=name,
                    readout_format=".2f", tooltip=f"observed {name}", layout={"width": "250px"},
                    style={"description_width": "30px"},
                )
            )  # fmt: skip
        return sliders

    def _draw_plane(self, data: torch.Tensor) -> None:
        axes = self._axes = self._canvas.figure.subplots()
        axes.tick_params(labelsize=SMALL - 1, length=2)
        if not self.plane.clickable:
            return
        first, second = data[:, 0, 0].numpy(), data[:, 0, 1].numpy()
        axes.plot(first, second, ".", color=GREY, ms=3, alpha=0.5, markeredgewidth=0)
        axes.set_title("data plane: click to choose x", fontsize=SMALL + 1)
        axes.set_xlabel(self._names[0], fontsize=SMALL)
        axes.set_ylabel(self._names[1], fontsize=SMALL)
        limits = (*_limits(data[:, 0, 0]), *_limits(data[:, 0, 1]))
        axes.axis(limits)
        self.plane.picture = png_bytes(self._canvas.image())
        area = axes.get_position()  # settled by the drawing
        self.plane.box = [area.x0, 1 - area.y1, area.x1, 1 - area.y0]
        self.plane.limits = list(limits)

    def _draw_data(self, x_obs: torch.Tensor) -> None:
        """A data set too large for sliders: points of two features, or values in their order."""
        axes, columns = self._axes, x_obs.numpy()
        axes.clear()
        if x_obs.shape[1] == 2:
            axes.plot(columns[:, 0], columns[:, 1], ".", color=MARK, ms=5)
        else:
            axes.plot(columns, ".-", ms=3, lw=0.8)
        axes.set_title(f"data x, N = {len(x_obs)}", fontsize=SMALL + 1)
        self._canvas.still_changed()
        self.plane.picture = png_bytes(self._canvas.image())


def _typical(data: torch.Tensor) -> torch.Tensor:
    """The simulated data set (N, F) nearest to the centre of its kind."""
    summary = data.mean(1)
    distance = ((summary - summary.median(0).values) / summary.std(0).clamp_min(1e-9)).norm(dim=1)
    return data[int(distance.argmin())]


def _limits(values: torch.Tensor) -> tuple[float, float]:
    low, high = torch.quantile(values, torch.tensor([0.005, 0.995])).tolist()
    margin = 0.08 * max(high - low, 1e-6)
    return low - margin, high + margin
