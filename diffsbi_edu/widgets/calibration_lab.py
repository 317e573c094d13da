"""`CalibrationLab`: break an exact posterior, and see which diagnostics notice."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import torch

from diffsbi_edu import problems
from diffsbi_edu.diagnostics.spoilt import Error, Spoilt
from diffsbi_edu.diagnostics.suite import Calibration, calibrate_draws
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import make_generator
from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.calibration_picture import CalibrationPicture
from diffsbi_edu.widgets.cells import close_tree, replace_previous
from diffsbi_edu.widgets.cores import one_core
from diffsbi_edu.widgets.worker import Mailbox, Worker

PRIOR_DRAWS = 10_000
#: What each check is called on the scoreboard.
LABELS = {
    "sbc": "SBC, each coordinate",
    "tarp, random references": "TARP, random references",
    "tarp, guessed references": "TARP, references guessed from x",
    "discriminative": "learned test (a classifier)",
}


class CalibrationLab(ipywidgets.VBox):
    """Sliders that spoil an exact posterior, and every diagnostic answering at once.

    The draws of the exact posterior are made once, for `n_sims` data sets; moving a slider changes
    the draws, not the data, and all diagnostics are computed again.

    Args:
        problem: one with an exact posterior and at least two parameters; `TwoMoons` if None.
        n_sims: data sets.
        n_samples: posterior draws for each.
        error: where the sliders start; None for nothing wrong.
        seed: of data and draws.

    Raises:
        ValueError: the problem has one parameter, n_sims below 100 or n_samples below 4.
        NoExactPosterior: the problem has none.

    Example:
        >>> lab = CalibrationLab(n_sims=200, n_samples=20)
        >>> lab.controls["ignore"].value = 1.0
        >>> lab.join(60.0), lab.result.p_value < 0.01
        (True, True)
        >>> lab.close()
    """

    def __init__(
        self,
        problem: Problem | None = None,
        *,
        n_sims: int = 1000,
        n_samples: int = 100,
        error: Error | None = None,
        seed: int = 0,
    ) -> None:
        self.problem = problems.TwoMoons() if problem is None else problem
        if self.problem.dim < 2:
            raise ValueError("CalibrationLab shows two parameters; this problem has one.")
        if n_sims < 100 or n_samples < 4:
            raise ValueError(f"needs n_sims ≥ 100, n_samples ≥ 4; got {n_sims}, {n_samples}.")
        self._mail = Mailbox()
        self._worker = Worker(self._turn, "diffsbi-calibration-lab", one_core)
        self._seed, self._n_samples = seed, n_samples
        self._theta, self._x = self.problem.sample(n_sims, seed=seed, device="cpu")
        self.problem.posterior(self._x[0])  # a problem without one says so here
        self._prior = self.problem.sample_prior(PRIOR_DRAWS, seed=seed + 1, device="cpu")
        self._exact: torch.Tensor | None = None
        self.error = Error() if error is None else error
        #: what the suite says of the posterior on show; None before the first picture.
        self.result: Calibration | None = None
        self._picture = CalibrationPicture(self.problem.theta_names)
        super().__init__(self._build(), layout={"max_width": "980px"})
        if self.comm is not None:
            self.comm.on_close(lambda _: self._worker.close(0.0))
        replace_previous(self)
        self._worker.wake()

    def join(self, timeout: float = 60.0) -> bool:
        """Wait until every change is on the picture; False if it took longer (s)."""
        return self._worker.join(timeout)

    def close(self) -> None:
        """Remove the lab."""
        if hasattr(self, "_worker"):  # ipywidgets also closes what was never finished
            self._worker.close()
        close_tree(self)
        super().close()

    # --- in the worker's thread ---

    def _turn(self) -> bool:
        try:
            for _, values in self._mail.take():
                self.error = Error(**values)
            if self._exact is None:  # once: a second or two, not in the page's own thread
                self._exact = Spoilt(self.problem).sample(self._x, self._n_samples, seed=self._seed)
            generator = make_generator(self._seed)
            draws = self.error.applied(self._exact, self._prior, generator)
            self.result = calibrate_draws(
                self._theta, self._x, draws, self.problem, seed=self._seed
            )
            at = self.observation.value
            self._picture.show(self.result, self._exact[:, at], draws[:, at])
            self.image.value = self._picture.canvas.png()
            self.scoreboard.value = _table(self.result)
        except Exception as error:
            self.scoreboard.value = escape(f"{type(error).__name__}: {error}")
        return False

    # --- building ---

    def _wish(self) -> None:
        self._mail.setting("error", {name: c.value for name, c in self.controls.items()})
        self._worker.wake()

    def _build(self) -> list[Any]:
        self.image = ipywidgets.Image(format="png", layout={"width": "960px", "height": "320px"})
        self.image.alt = "spoilt and exact posterior, SBC ranks, and coverage curves"
        self.scoreboard = ipywidgets.HTML("preparing …")
        e = self.error
        self.controls: dict[str, Any] = {
            "shift": ui.slider("shift (sds)", e.shift, -1, 1, 0.05, "move every draw"),
            "scale": ui.slider(
                "width, times", e.scale, 0.3, 2, 0.05, "narrow (< 1) or widen (> 1) about the mean"
            ),
            "drop": ui.slider(
                "drop a mode",
                e.drop,
                0,
                1,
                0.05,
                "share of the draws on one side of the mean that move to the other",
            ),
            "ignore": ui.slider(
                "ignore x", e.ignore, 0, 1, 0.05, "share of the draws that come from the prior"
            ),
            "flip": _box("flip the sign", e.flip, "mirror every draw at the prior's centre"),
            "decorrelate": _box(
                "lose the dependence", e.decorrelate, "shuffle each coordinate by itself"
            ),
        }
        for control in self.controls.values():
            control.observe(lambda _: self._wish(), "value")
        self.observation = ui.whole_slider(
            "data set", 0, 0, len(self._x) - 1, "whose posterior is on the left"
        )
        self.observation.observe(lambda _: self._worker.wake(), "value")
        self.mend = ipywidgets.Button(
            description="Mend", icon="undo", tooltip="everything back to exact",
            layout={"width": "90px"},
        )  # fmt: skip
        self.mend.on_click(lambda _: self._mend())
        sliders = [self.controls[name] for name in ("shift", "scale", "drop", "ignore")]
        rest = [self.controls["flip"], self.controls["decorrelate"], self.observation, self.mend]
        panels = ipywidgets.HBox(
            [ui.titled("Spoil it", sliders), ui.titled("More", rest), self.scoreboard],
            layout={"flex_flow": "row wrap", "grid_gap": "16px"},
        )
        return [self.image, panels]

    def _mend(self) -> None:
        for name, control in self.controls.items():
            control.value = getattr(Error(), name)


def _box(description: str, value: bool, tooltip: str) -> Any:
    return ipywidgets.Checkbox(
        value=value, description=description, indent=False, tooltip=tooltip,
        layout={"width": ui.WIDTH},
    )  # fmt: skip


def _table(result: Calibration) -> str:
    """The scoreboard as HTML: what each check says."""
    lines = [(LABELS[name], p) for name, p in result.p_values.items()]
    lines.append(("<b>all together</b>", result.p_value))
    rows = "".join(
        f'<tr><td style="padding-right:14px">{label}</td>'
        f'<td style="padding-right:14px">{"p &lt; 0.0001" if p < 1e-4 else f"p = {p:.4f}"}</td>'
        f'<td style="color:{"#b03a2e" if p < 0.05 else "#1e7d4e"}">'
        f"{'notices' if p < 0.05 else 'passes'}</td></tr>"
        for label, p in lines
    )
    learnt = (
        "<tr><td>contraction (no test)</td>"
        f"<td>{result.contraction:.2f}</td><td>0: nothing learnt from x</td></tr>"
    )
    return f'<table role="status">{rows}{learnt}</table>'
