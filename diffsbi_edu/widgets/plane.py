"""A picture of the data in which a click chooses the observation.

ipywidgets has no mouse coordinates; `anywidget` carries the forty lines of JavaScript that do
(JupyterLab, VS Code and Colab all run it). Sliders do the same without it: see `observation.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

_HERE = Path(__file__).parent


class DataPlane(anywidget.AnyWidget):
    """The clickable picture, and the one part of a dashboard that knows whether a page shows it.

    Traits:
        picture: PNG bytes.
        box: left, top, right, bottom of the axes, as fractions of the picture.
        limits: x0, x1, y0, y1 of the axes, in data units.
        point: the chosen point, in data units.
        clickable: whether a click chooses.
        label, names: what a screen reader says.
    """

    _esm: ClassVar[Path] = _HERE / "plane.js"
    _css: ClassVar[Path] = _HERE / "plane.css"
    picture = traitlets.Bytes(b"").tag(sync=True)
    box = traitlets.List(traitlets.Float(), [0.0, 0.0, 1.0, 1.0]).tag(sync=True)
    limits = traitlets.List(traitlets.Float(), [0.0, 1.0, 0.0, 1.0]).tag(sync=True)
    point = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    clickable = traitlets.Bool(True).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    names = traitlets.List(traitlets.Unicode(), ["x 1", "x 2"]).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._views: set[str] = set()
        self._views_lock = threading.Lock()
        self._presence: Callable[[bool], None] | None = None
        self.on_msg(self._hear)

    def on_presence(self, callback: Callable[[bool], None]) -> None:
        """Call back with True when a page opens the dashboard, with False when the last one closes.

        Never called where there is no page at all, as in a test or in CI.
        """
        self._presence = callback

    def _hear(self, _: Any, message: Any, __: Any) -> None:
        kind = message.get("kind") if isinstance(message, dict) else None
        if kind not in ("open", "closed"):
            return
        with self._views_lock:
            change = self._views.add if kind == "open" else self._views.discard
            change(str(message.get("view")))
            present = bool(self._views)
        if self._presence is not None and (present or kind == "closed"):
            self._presence(present)
