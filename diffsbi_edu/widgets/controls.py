"""Labelled controls that say in the library's own terms what they are set to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets

from diffsbi_edu.samplers import SAMPLERS
from diffsbi_edu.schedules import (
    SCHEDULES,
    Karras,
    LogNormal,
    NoiseSchedule,
    UniformLogSNR,
    UniformSteps,
    UniformTime,
)

WIDTH = "300px"
BATCH_SIZES = (32, 64, 128, 256, 512, 1024, 2048)
_STOCHASTIC = ("euler_maruyama", "edm_stochastic")
_GRIDS = {"Karras": Karras, "UniformLogSNR": UniformLogSNR, "UniformSteps": UniformSteps}


def style(tooltip: str) -> dict[str, Any]:
    """Arguments that every control shares."""
    return {
        "tooltip": tooltip,
        "style": {"description_width": "105px"},
        "layout": {"width": WIDTH},
    }


def choice(description: str, options: Any, value: Any, tooltip: str) -> Any:
    """A labelled drop-down list."""
    return ipywidgets.Dropdown(
        options=options, value=value, description=description, **style(tooltip)
    )


def slider(
    description: str, value: float, low: float, high: float, step: float, tooltip: str
) -> Any:
    """A labelled slider of floats."""
    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=description, readout_format=".2f",
        **style(tooltip),
    )  # fmt: skip


def log_slider(description: str, value: float, low: float, high: float, tooltip: str) -> Any:
    """A labelled slider over 1, 2, 3, 5 times the powers of ten from low to high, and `value`.

    A selection, not a `FloatLogSlider`: that one moves a value between its ticks by itself as soon
    as a page shows it, so that a learning rate of 0.006 would turn into 0.0063.
    """
    powers = range(round(math.log10(low)), round(math.log10(high)) + 1)
    round_ones = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 3, 5)]
    options = sorted({v for v in round_ones if low <= v <= high} | {float(value)})
    return ipywidgets.SelectionSlider(
        options=[(f"{v:g}", v) for v in options], value=float(value), description=description,
        **style(tooltip),
    )  # fmt: skip


def whole_slider(description: str, value: int, low: int, high: int, tooltip: str) -> Any:
    """A labelled slider of whole numbers."""
    return ipywidgets.IntSlider(
        value=value, min=low, max=high, description=description, **style(tooltip)
    )


def titled(title: str, children: list[Any]) -> Any:
    """Controls under a heading."""
    return ipywidgets.VBox([ipywidgets.HTML(f"<b>{title}</b>"), *children])


class NoiseControls(ipywidgets.VBox):
    """Everything about a noise schedule; `build()` makes the schedule they describe.

    Args:
        schedule: where the controls start.
        full: also show the range of noise levels, the solver's grid and beta_min, beta_max.

    Example:
        >>> controls = NoiseControls(SCHEDULES["EDM"](), full=True)
        >>> controls.name.value = "Cosine"
        >>> controls.build().sigma_max
        20.0
    """

    def __init__(self, schedule: NoiseSchedule, *, full: bool) -> None:
        training, spacing = schedule.training, schedule.grid
        normal = training if isinstance(training, LogNormal) else LogNormal()
        self.name = choice(
            "schedule", list(SCHEDULES), type(schedule).__name__,
            "the clock and units of the noise: how alpha and sigma depend on t",
        )  # fmt: skip
        self.training = choice(
            "training on", ["LogNormal", "UniformTime"], type(training).__name__,
            "which noise levels r = sigma/alpha the network is trained on",
        )  # fmt: skip
        self.mean = slider("mean of ln r", normal.mean, -5, 3, 0.1, "LogNormal: mean of ln r")
        self.sd = slider("sd of ln r", normal.sd, 0.1, 4, 0.1, "LogNormal: sd of ln r")
        self.sigma_min = log_slider(
            "sigma_min", schedule.sigma_min, 1e-4, 10, "smallest noise-to-signal ratio r"
        )
        self.sigma_max = log_slider(
            "sigma_max", schedule.sigma_max, 0.1, 100, "largest noise-to-signal ratio r"
        )
        self.grid = choice(
            "solver grid", list(_GRIDS), type(spacing).__name__, "spacing of the solver's levels"
        )
        rho = spacing.rho if isinstance(spacing, Karras) else 7.0
        self.rho = slider("rho", rho, 0.5, 12, 0.5, "Karras: large values step finer near 0")
        self.beta_min = log_slider(
            "beta_min", getattr(schedule, "beta_min", 0.1), 1e-3, 10, "first noise rate"
        )
        self.beta_max = slider(
            "beta_max", getattr(schedule, "beta_max", 20.0), 1, 40, 0.5,
            "last noise rate",
        )  # fmt: skip
        ranges = [self.sigma_min, self.sigma_max, self.beta_min, self.beta_max]
        levels, grid = [self.training, self.mean, self.sd], [self.grid, self.rho]
        self.controls = [self.name, *ranges, *levels, *grid] if full else [self.name, *levels]
        self.unseen = [] if full else [*ranges, *grid]  # as `schedule` has them
        for control in (self.name, self.training, self.grid):
            control.observe(lambda _: self._hide_what_has_no_effect(), "value")
        self._hide_what_has_no_effect()
        super().__init__(self.controls)

    def build(self) -> NoiseSchedule:
        """The schedule that the controls describe.

        Raises:
            ValueError: an impossible combination, such as sigma_min ≥ sigma_max.
        """
        settings: dict[str, Any] = {
            "sigma_min": self.sigma_min.value,
            "sigma_max": self.sigma_max.value,
            "training": UniformTime(),
            "grid": Karras(self.rho.value),
        }
        if self.training.value == "LogNormal":
            settings["training"] = LogNormal(self.mean.value, self.sd.value)
        if self.grid.value != "Karras":
            settings["grid"] = _GRIDS[self.grid.value]()
        if self.name.value == "VariancePreserving":
            settings |= {"beta_min": self.beta_min.value, "beta_max": self.beta_max.value}
        return SCHEDULES[self.name.value](**settings)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back whenever any of the controls changes."""
        for control in self.controls:
            control.observe(lambda _: callback(), "value")

    def _hide_what_has_no_effect(self) -> None:
        log_normal = self.training.value == "LogNormal"
        preserving = self.name.value == "VariancePreserving"
        for visible, hidden in (
            (log_normal, (self.mean, self.sd)),
            (preserving, (self.beta_min, self.beta_max)),
            (self.grid.value == "Karras", (self.rho,)),
        ):
            for control in hidden:
                control.layout.display = None if visible else "none"


def sampler_choice(value: str) -> Any:
    """A drop-down list of the solvers."""
    options = [(f"{name} ({'SDE' if name in _STOCHASTIC else 'ODE'})", name) for name in SAMPLERS]
    return choice("sampler", options, value, "how the reverse process is solved")
