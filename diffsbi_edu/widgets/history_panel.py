"""Going back to how the posterior formed, and taking it home: scrubber, player, exports."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets

from diffsbi_edu.widgets import controls as ui
from diffsbi_edu.widgets.frames import Frame
from diffsbi_edu.widgets.live_loop import LiveLoop
from diffsbi_edu.widgets.trainer import Phase


class HistoryPanel(ipywidgets.VBox):
    """The controls of `LiveTraining` that look back.

    Args:
        loop: is told what to show and what to export.
    """

    def __init__(self, loop: LiveLoop) -> None:
        self._loop, self._moved = loop, 0.0
        self.replay = ui.whole_slider("snapshot", 0, 0, 0, "go back to how the posterior formed")
        self.player = ipywidgets.Play(value=0, min=0, max=0, interval=150, show_repeat=False)
        self.player.description = "replay"
        # In the page itself, without a detour by the kernel.
        self.links = [ipywidgets.jslink((self.player, "value"), (self.replay, "value"))]
        self.replay.observe(self._on_replay, "value")
        self.live = _button("Live", "forward", "back to the present")
        self.live.on_click(lambda _: loop.setting("replay", None))
        self.exports = {}
        for kind, what in (
            ("png", "this picture"),
            ("gif", "how the posterior formed"),
            ("csv", "2,000 posterior draws"),
        ):
            button = _button(kind.upper(), "download", f"save {what}")
            button.on_click(lambda _, kind=kind: loop.command("export", kind))
            self.exports[kind] = button
        super().__init__(
            [
                ipywidgets.HTML("<b>History and export</b>"),
                ipywidgets.HBox([self.player, self.live]),
                self.replay,
                ipywidgets.HBox([*self.exports.values()]),
            ]
        )

    def show(self, frame: Frame) -> None:
        """Follow the growing history; called from the worker's thread.

        Once a second while training: the page answers each move with messages of its own, and the
        kernel would spend more on them than on the picture.
        """
        now = time.monotonic()
        if frame.phase is Phase.TRAINING and now - self._moved < 1.0:
            return
        self._moved = now
        last = max(frame.snapshots - 1, 0)
        if self.replay.max != last:
            self.replay.max = self.player.max = last
        if frame.replay is None and self.replay.value != last:
            self.replay.value = last

    def _on_replay(self, change: dict[str, Any]) -> None:
        if not self._loop.worker.current:  # that is our own following of the newest snapshot
            # The newest snapshot is the present; so is the one before: a frame may come in between.
            at_end = change["new"] >= self.replay.max - 1
            self._loop.setting("replay", None if at_end else change["new"])


def _button(description: str, icon: str, tooltip: str) -> Any:
    return ipywidgets.Button(
        description=description, icon=icon, tooltip=tooltip, layout={"width": "80px"}
    )
