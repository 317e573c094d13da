"""What the working halves of dashboards that train share: wishes, a worker, a pace of frames."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from diffsbi_edu.widgets.worker import Mailbox, Worker

FRAME_SECONDS = 0.29  # a frame this often while training ...
FRAME_SHARE = 0.17  # ... but drawing takes at most this share of the time
HURRY_SECONDS = 0.1  # ... and what the user has just changed is shown after this


class Loop(ABC):
    """Wishes that any thread may put in, and the one thread that carries them out.

    A wish called ``name`` is granted by a method ``_do_name``.

    Args:
        name: of the thread.
    """

    _tell: Callable[[str], None]  # says something to the user

    def __init__(self, name: str) -> None:
        self.mail = Mailbox()
        self.worker = Worker(self._turn, name, self._cores)

    def setting(self, name: str, value: Any) -> None:
        """Change a setting soon; callable from any thread."""
        self.mail.setting(name, value)
        self.worker.wake()

    def command(self, name: str, value: Any = None) -> None:
        """Carry out a command soon; callable from any thread."""
        self.mail.command(name, value)
        self.worker.wake()

    @abstractmethod
    def _turn(self) -> bool:
        """One short piece of work, in the worker's thread; returns whether more is waiting."""

    def _grant_wishes(self) -> None:
        """All that wait, in order: the first thing in a turn."""
        for name, value in self.mail.take():
            try:
                getattr(self, f"_do_{name}")(value)
            except Exception as error:
                self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """What is done when a wish cannot be granted: it harms nothing, and the user is told."""
        self._tell(f"{type(error).__name__}: {error}")

    @abstractmethod
    def _cores(self) -> AbstractContextManager[None]:
        """What the worker's thread works in."""


class Pace:
    """When the next frame is due, such that drawing leaves time for training.

    Args:
        seconds: between two frames, at least.
        share: of the time that may go to frames.
        longest: seconds between two frames however long one takes; frames then cost more.

    Example:
        >>> pace = Pace(seconds=60.0)
        >>> pace.due()
        True
        >>> with pace.frame():
        ...     pass
        >>> pace.due(), pace.due(hurry=0.0)
        (False, True)
    """

    def __init__(
        self, seconds: float = FRAME_SECONDS, share: float = FRAME_SHARE, longest: float = 1.0
    ) -> None:
        self._seconds, self._share, self._longest = seconds, share, longest
        self._last, self._cost = float("-inf"), 0.0

    def due(self, hurry: float | None = None) -> bool:
        """Whether a frame is due; with `hurry`, whether that many seconds have passed since one."""
        since = time.perf_counter() - self._last
        if hurry is not None:
            return since >= hurry
        return since >= max(self._seconds, min(self._cost / self._share, self._longest))

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Draw a frame in here: it is timed."""
        self._last = time.perf_counter()
        yield
        self._cost = time.perf_counter() - self._last
