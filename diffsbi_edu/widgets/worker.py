"""One background thread for each dashboard, alive only while there is something to do.

Why one: everything slow (training, sampling, drawing, C2ST) happens in it, one after another, so no
two pieces ever touch the model or a figure at the same time. A second drawing thread would not be
faster either, since it would compete with the training thread for Python's interpreter lock.

Why only while there is something to do: a thread that ends by itself cannot be left behind.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class Mailbox:
    """Wishes of the user, put in by callbacks on any thread and taken out by the worker.

    A later value of a *setting* replaces an earlier one (dragging a slider leaves one wish, not
    fifty); *commands* such as button clicks are all kept, in order.

    Example:
        >>> mail = Mailbox()
        >>> mail.setting("lr", 0.1), mail.command("start"), mail.setting("lr", 0.2)
        (None, None, None)
        >>> mail.take()
        [('start', None), ('lr', 0.2)]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wishes: list[tuple[str, Any]] = []

    def setting(self, name: str, value: Any) -> None:
        """Wish that setting `name` be `value`."""
        with self._lock:
            self._wishes = [wish for wish in self._wishes if wish[0] != name]
            self._wishes.append((name, value))

    def command(self, name: str, value: Any = None) -> None:
        """Wish that command `name` be carried out."""
        with self._lock:
            self._wishes.append((name, value))

    def take(self) -> list[tuple[str, Any]]:
        """All wishes, in order; the box is empty afterwards."""
        with self._lock:
            wishes, self._wishes = self._wishes, []
        return wishes


class Worker:
    """Calls `turn` over and over in a daemon thread, as long as it returns True or is woken.

    Args:
        turn: does one short piece of work; returns whether more is waiting. Never runs twice at
            the same time.
        name: of the thread.
        around: makes a context that the thread works in.

    Example:
        >>> left = [3, 2, 1]
        >>> worker = Worker(lambda: left.pop() < 3, name="countdown")
        >>> worker.wake()
        >>> worker.join(5.0), left
        (True, [])
    """

    def __init__(
        self,
        turn: Callable[[], bool],
        name: str,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._turn, self._name, self._around = turn, name, around
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken = self._closed = False
        _workers.add(self)

    @property
    def alive(self) -> bool:
        """Whether the thread exists at this moment."""
        return self._thread is not None

    @property
    def closed(self) -> bool:
        """Whether `close` was called: the thread will not start again."""
        return self._closed

    @property
    def current(self) -> bool:
        """Whether the caller runs in the worker's thread."""
        return self._thread is threading.current_thread()

    def wake(self) -> None:
        """Make sure that `turn` is called at least once from now on. Callable from any thread."""
        with self._lock:
            self._woken = True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait until there is nothing left to do; False if that took longer than `timeout` s."""
        end = time.monotonic() + timeout
        while True:
            thread = self._thread
            if thread is None or self.current:
                return True
            thread.join(max(0.0, min(0.1, end - time.monotonic())))  # short: Ctrl-C gets through
            if time.monotonic() >= end:
                return self._thread is None

    def close(self, timeout: float = 10.0) -> bool:
        """End the thread after its current turn, for good; False if it did not end in time."""
        with self._lock:
            self._closed = True
        return self.join(timeout)

    def _work(self) -> None:
        with self._around():
            self._work_inside()

    def _work_inside(self) -> None:
        more = True
        while True:
            with self._lock:
                if self._closed or not (more or self._woken):
                    self._thread = None
                    return
                self._woken = False
            try:
                more = self._turn()
            except BaseException:
                # Turns handle their own errors; should one get through, do not leave `_thread` set
                # to a dead thread: the next wake must be able to start a new one.
                with self._lock:
                    self._thread = None
                raise


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """torch must not be computing in a daemon thread while the interpreter is taken down."""
    for worker in list(_workers):
        worker.close(timeout=3.0)
