"""A picture of the data in which a click chooses the observation.

ipywidgets has no mouse coordinates; `anywidget` carries the forty lines of JavaScript that do
(JupyterLab, VS Code and Colab all run it). Sliders do the same without it: see `observation.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

_HERE = Path(__file__).parent
# Seconds without a word after which a page counts as closed. Pages speak every 20 s, but browsers
# let those in the background do so only once a minute.
SILENT = 90.0


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
        self._views: dict[str, float] = {}  # each page that shows it, and when it was last heard
        self._views_lock = threading.Lock()
        self._presence: Callable[[bool], None] | None = None
        self.on_msg(self._hear)
        self.observe(lambda _: self.forget_silent(), "picture")

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
            if kind == "open":
                self._views[str(message.get("view"))] = time.monotonic()
            else:
                self._views.pop(str(message.get("view")), None)
            present = bool(self._views)
        if self._presence is not None and (present or kind == "closed"):
            self._presence(present)

    def forget_silent(self) -> None:
        """Count pages as closed that have been silent for long; to be called now and then.

        A new picture does so by itself.
        """
        with self._views_lock:
            before = bool(self._views)
            earliest = time.monotonic() - SILENT
            self._views = {view: at for view, at in self._views.items() if at > earliest}
            gone = before and not self._views
        if gone and self._presence is not None:
            self._presence(False)
